from __future__ import annotations

from qcfeed.access.rate_limit import TokenBucket


def test_a_burst_and_then_the_rate() -> None:
    bucket = TokenBucket(rate=10, burst=3, now=0.0)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.take(0.1)
    assert not bucket.take(0.1)


def test_it_never_saves_more_than_its_burst() -> None:
    bucket = TokenBucket(rate=10, burst=2, now=0.0)
    assert [bucket.take(1000.0) for _ in range(3)] == [True, True, False]


def test_no_rate_is_no_limit() -> None:
    bucket = TokenBucket(rate=0, burst=0, now=0.0)
    assert all(bucket.take(0.0) for _ in range(1000))


def test_it_says_how_long_to_wait_and_a_debt_makes_it_longer() -> None:
    bucket = TokenBucket(rate=10, burst=2, now=0.0)
    assert bucket.wait(0.0) == 0
    bucket.charge(0.0, 4)
    assert round(bucket.wait(0.0), 6) == 0.3
    assert not bucket.is_full(0.3)
    assert bucket.is_full(0.5)


def test_a_clock_that_goes_backwards_gives_nothing() -> None:
    bucket = TokenBucket(rate=10, burst=1, now=5.0)
    assert bucket.take(5.0)
    assert not bucket.take(1.0)
