"""How many connections a process can hold with the files that it may open. No I/O."""

from __future__ import annotations

from typing import NamedTuple

from qcfeed.config import SPARE_FILES

REFUSAL_SLOTS = 1_000
"""Connections accepted above the limit, to be refused with a proper HTTP response."""
_FEW_SLOTS = 200
"""The same where files are few, and each place for a refusal takes one from the connections."""


class Capacity(NamedTuple):
    """``connections``: the limit. ``refusals``: further ones that are accepted to be refused."""

    connections: int
    refusals: int


def fit(wanted: int, allowed: int, in_use: int) -> Capacity:
    """The capacity of a process that wants ``wanted`` connections.

    ``allowed``: files that it may open; ``in_use``: those that it has open before the first connection.
    SPARE_FILES are left for the control plane, the upstream and files; a quarter if few are allowed.
    """
    room = max(2, allowed - in_use - min(SPARE_FILES, allowed // 4))
    refusals = min(REFUSAL_SLOTS, max(room - wanted, min(_FEW_SLOTS, room // 5), 1))
    return Capacity(min(wanted, room - refusals), refusals)
