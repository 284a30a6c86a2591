"""Messages of protocols, and what is worked out from them, as pure functions: for what no library fits.

No socket, no clock and no waiting lives here, and no opinion of what is good. Every reader takes hostile bytes: it
answers with values or raises `Malformed`, in time and memory bounded by the size of what came.
"""

from __future__ import annotations


class Malformed(Exception):  # noqa: N818 -- a finding about bytes, not an error of ours
    """These bytes are no message of the protocol; the text says what is wrong, without showing them."""
