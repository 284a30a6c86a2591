"""Measurements: each script prints its figures beside a peer or a baseline of the same run; docs/benchmarks.md holds
the last ones. Nothing of `cemd` imports them.
"""
