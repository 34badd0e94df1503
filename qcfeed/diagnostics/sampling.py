"""How a sample is divided, so that a large part does not leave the small ones unseen. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

Key = TypeVar("Key")


def sample_sizes(sizes: Sequence[int], budget: int) -> list[int]:
    """How many to take of each part: the small ones whole, what is left shared by the large ones.

    At least one of each that has any, so it may come to more than ``budget`` where parts are many.
    """
    taken = [0] * len(sizes)
    smallest_first = sorted(range(len(sizes)), key=lambda part: sizes[part])
    for place, part in enumerate(smallest_first):
        fair = max(1, budget // (len(sizes) - place))
        taken[part] = min(sizes[part], fair)
        budget -= taken[part]
    return taken


def scale_to_total(counts: Mapping[Key, int], total: int) -> dict[Key, int]:
    """``counts`` of a sample, in proportion, as whole numbers whose sum is ``total``.

    By largest remainder (Hamilton's method of apportionment), so none is off by one or more.
    """
    sampled = sum(counts.values())
    if not sampled:
        return {}
    whole = {key: count * total // sampled for key, count in counts.items()}
    remainders = sorted(counts, key=lambda key: -(counts[key] * total % sampled))
    for key in remainders[: total - sum(whole.values())]:
        whole[key] += 1
    return whole
