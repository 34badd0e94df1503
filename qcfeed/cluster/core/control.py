"""The messages between owners and gateways, beside the quotes (JSON; envelope.py has those)."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

ShortText = Annotated[str, Meta(max_length=256)]
EpochNumber = Annotated[int, Meta(ge=0, le=2**62)]


class Announcement(msgspec.Struct, frozen=True, tag="owner/1"):
    """An owner announces its share, its epoch and the state of its upstream."""

    owner: ShortText
    number: Annotated[int, Meta(ge=1, le=256)]
    count: Annotated[int, Meta(ge=1, le=256)]
    epoch: EpochNumber
    upstream: ShortText
    upstream_connected: bool
    lease_s: float


class Wanted(msgspec.Struct, frozen=True, tag="wanted/1"):
    """A gateway's answer: the symbols it wants of that share, and the highest epoch that it knows.

    ``share_epoch``: the lowest epoch of which it still accepts quotes of that share. If it is above the
    announced one, it accepts nothing of this owner, and wants nothing.
    """

    gateway: ShortText
    symbols: list[Annotated[str, Meta(max_length=16)]]
    highest_epoch: EpochNumber
    share_epoch: EpochNumber = 0


HIGHEST_BELIEVED = 7_258_118_400_000_000
"""Microseconds of the year 2200: revisions begin at the time, and no clock says later. A feeder does not
believe a gateway that claims to have seen a higher epoch, because raising revisions cannot be undone."""

_announcement = msgspec.json.Decoder(Announcement)
_wanted = msgspec.json.Decoder(Wanted)
encode = msgspec.json.Encoder().encode


def decode_announcement(data: bytes) -> Announcement:
    """Raises msgspec.ValidationError or DecodeError for anything else."""
    return _announcement.decode(data)


def decode_wanted(data: bytes) -> Wanted:
    """Raises msgspec.ValidationError or DecodeError for anything else."""
    return _wanted.decode(data)
