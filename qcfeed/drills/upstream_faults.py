"""An upstream that is silent, one that comes and goes, and one that sends rubbish."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import msgspec

from qcfeed.drills.base import DrillEnvironment
from qcfeed.model.messages import Tick

_LIFE = 0.2
"""Seconds that a connection of a flapping upstream lasts: enough for a quote."""


class SilentUpstream:
    """It is connected and says nothing: no quote reaches any feed."""

    def __init__(self, environment: DrillEnvironment, _: float) -> None:
        self._upstream = environment.upstream

    def start(self) -> None:
        self._upstream.alter = _nothing

    async def stop(self) -> None:
        self._upstream.alter = None


class FlappingUpstream:
    """Every connection is lost as soon as it stands; feeds back off and try again, up to 30 s apart."""

    def __init__(self, environment: DrillEnvironment, _: float) -> None:
        self._upstream = environment.upstream

    def start(self) -> None:
        self._upstream.cut(_LIFE)

    async def stop(self) -> None:
        self._upstream.cut(None)


class RubbishUpstream:
    """What should be quotes is none: no number, below nought, without end, at no time."""

    def __init__(self, environment: DrillEnvironment, _: float) -> None:
        self._upstream = environment.upstream
        self._spoil = itertools.cycle(_RUBBISH)

    def start(self) -> None:
        self._upstream.alter = self._spoiled

    async def stop(self) -> None:
        self._upstream.alter = None

    def _spoiled(self, ticks: Sequence[Tick]) -> Sequence[Tick]:
        return [
            msgspec.structs.replace(tick, **spoilt)
            for tick, spoilt in zip(ticks, self._spoil, strict=False)
        ]


def _nothing(_: Sequence[Tick]) -> Sequence[Tick]:
    return ()


_RUBBISH: tuple[dict[str, Any], ...] = (
    {"bid": math.nan},
    {"ask": -1.0},
    {"last": math.inf},
    {"bid_size": -100},
    {"ts": "yesterday"},
)
