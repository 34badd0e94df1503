"""Faults of the upstream: silence, lost connections, and invalid ticks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import msgspec

from qcfeed.drills.base import DrillEnvironment
from qcfeed.model.messages import Tick

_CONNECTION_SECONDS = 0.2
"""Seconds a connection of a flapping upstream lasts: enough for one quote."""


class SilentUpstream:
    """The upstream is connected, but no quote reaches any feed."""

    def __init__(self, environment: DrillEnvironment, _: float) -> None:
        self._upstream = environment.upstream

    def start(self) -> None:
        self._upstream.alter = _nothing

    async def stop(self) -> None:
        self._upstream.alter = None


class FlappingUpstream:
    """Every connection is lost right after it opens; feeds back off and retry, up to 30 s apart."""

    def __init__(self, environment: DrillEnvironment, _: float) -> None:
        self._upstream = environment.upstream

    def start(self) -> None:
        self._upstream.limit_runs(_CONNECTION_SECONDS)

    async def stop(self) -> None:
        self._upstream.limit_runs(None)


class InvalidTicksUpstream:
    """Every tick is invalid: NaN, negative or infinite numbers, or a bad timestamp."""

    def __init__(self, environment: DrillEnvironment, _: float) -> None:
        self._upstream = environment.upstream
        self._faults = itertools.cycle(_FAULTS)

    def start(self) -> None:
        self._upstream.alter = self._corrupt

    async def stop(self) -> None:
        self._upstream.alter = None

    def _corrupt(self, ticks: Sequence[Tick]) -> Sequence[Tick]:
        return [
            msgspec.structs.replace(tick, **fault)
            for tick, fault in zip(ticks, self._faults, strict=False)
        ]


def _nothing(_: Sequence[Tick]) -> Sequence[Tick]:
    return ()


_FAULTS: tuple[dict[str, Any], ...] = (
    {"bid": math.nan},
    {"ask": -1.0},
    {"last": math.inf},
    {"bid_size": -100},
    {"ts": "yesterday"},
)
