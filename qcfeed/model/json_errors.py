"""The exceptions that decoding a stranger's JSON raises."""

from __future__ import annotations

import msgspec

JSON_ERRORS = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""Not JSON, or of another form; not UTF-8; nested more deeply than any message."""
