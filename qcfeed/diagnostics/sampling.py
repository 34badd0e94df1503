"""Divides a sample among groups, so that a large group does not hide the small ones. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

Key = TypeVar("Key")


def sample_sizes(sizes: Sequence[int], budget: int) -> list[int]:
    """How many items to sample from each group: small groups whole, the rest divided among large ones.

    Every group that is not empty gets at least one, so with many groups the sum may exceed ``budget``.
    """
    taken = [0] * len(sizes)
    smallest_first = sorted(range(len(sizes)), key=lambda part: sizes[part])
    for place, part in enumerate(smallest_first):
        fair = max(1, budget // (len(sizes) - place))
        taken[part] = min(sizes[part], fair)
        budget -= taken[part]
    return taken


def scale_to_total(counts: Mapping[Key, int], total: int) -> dict[Key, int]:
    """The ``counts`` of a sample, scaled in proportion to whole numbers whose sum is ``total``.

    By largest remainder (Hamilton's method of apportionment), so each is off by less than one.
    """
    sampled = sum(counts.values())
    if not sampled:
        return {}
    whole = {key: count * total // sampled for key, count in counts.items()}
    remainders = sorted(counts, key=lambda key: -(counts[key] * total % sampled))
    for key in remainders[: total - sum(whole.values())]:
        whole[key] += 1
    return whole
