from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcfeed.diagnostics.sampling import sample_sizes, scale_to_total


@pytest.mark.parametrize(
    ("sizes", "budget", "taken"),
    [
        ([], 10, []),
        ([3, 2], 10, [3, 2]),
        ([1_000, 2, 1_000], 100, [49, 2, 49]),
        ([47_829, 1, 0], 10, [9, 1, 0]),
        ([5, 5, 5], 2, [1, 1, 1]),
        ([7, 9], 0, [1, 1]),
    ],
)
def test_small_groups_are_taken_whole_and_large_ones_share_the_rest(
    sizes: list[int], budget: int, taken: list[int]
) -> None:
    assert sample_sizes(sizes, budget) == taken


@given(st.lists(st.integers(0, 500), max_size=30), st.integers(0, 2_000))
def test_every_group_is_sampled_and_the_budget_is_used(sizes: list[int], budget: int) -> None:
    taken = sample_sizes(sizes, budget)
    assert all(min(1, size) <= some <= size for size, some in zip(sizes, taken, strict=True))
    if budget >= len(sizes):
        assert sum(taken) <= budget
        assert sum(taken) > budget - len(sizes) or taken == sizes


@given(
    st.dictionaries(st.integers(0, 9), st.integers(1, 50), min_size=1),
    st.integers(0, 100_000),
)
def test_the_weights_of_a_sample_add_up_to_the_whole(counts: dict[int, int], total: int) -> None:
    whole = scale_to_total(counts, total)
    sampled = sum(counts.values())
    assert sum(whole.values()) == total
    assert all(abs(whole[key] - counts[key] * total / sampled) < 1 for key in counts)


def test_an_empty_sample_scales_to_nothing() -> None:
    assert scale_to_total({}, 10) == {}
