"""cemd watches telecom services the way customers live them.

One ordered log, one pure step, four wings (monitor, analyze, improve, report), and a page. README.md shows the way in.
"""

__version__ = "0.1.0"
