"""When a client is told that its token expires, and when its connection ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qcfeed.access.grants import EVERYTHING, Identity, Method, grant
from qcfeed.access.session import WARN_BEFORE, Due, Session


def of(ends_at: float | None) -> Identity:
    return Identity("reader", Method.JWT, EVERYTHING, ends_at)


def begun(ends_at: float | None, wall: float = 0.0) -> Session:
    session = Session(deadline=0.0)
    session.begin(of(ends_at), 1, wall)
    return session


def test_a_connection_that_does_not_authenticate_ends_at_its_deadline() -> None:
    session = Session(deadline=5.0)
    assert session.due(4.9, 1e9) is Due.NOTHING
    assert session.due(5.0, 0.0) is Due.TIMEOUT
    assert not session.allows("AAPL")
    session.begin(of(None), 1, 0.0)
    assert session.due(5.0, 1e9) is Due.NOTHING
    assert session.allows("AAPL")


def test_a_client_is_told_a_minute_before_the_end_or_in_the_last_quarter() -> None:
    long, short = begun(3_600), begun(40)
    assert long.due(0, 3_600 - WARN_BEFORE - 1) is Due.NOTHING
    assert long.due(0, 3_600 - WARN_BEFORE) is Due.WARNING
    assert short.due(0, 29) is Due.NOTHING
    assert short.due(0, 30) is Due.WARNING


@given(st.floats(1, 1e6), st.lists(st.floats(0, 2e6), max_size=20))
def test_a_client_is_told_at_most_once_and_never_served_after_the_end(
    ends_at: float, times: list[float]
) -> None:
    session = begun(ends_at)
    seen = [(wall, session.due(0.0, wall)) for wall in sorted(times)]
    assert [due for _, due in seen].count(Due.WARNING) <= 1
    assert all((due is Due.END) == (wall >= ends_at) for wall, due in seen)


def test_a_new_token_is_told_of_again_and_the_same_one_is_not() -> None:
    session = begun(100)
    assert session.due(0, 90) is Due.WARNING
    session.begin(of(100), 2, 90)
    assert session.due(0, 91) is Due.NOTHING
    session.begin(of(1_000), 2, 91)
    assert session.due(0, 100) is Due.NOTHING
    assert session.due(0, 940) is Due.WARNING
    assert session.due(0, 1_000) is Due.END


def test_what_a_session_allows_follows_its_identity() -> None:
    session = begun(None)
    session.begin(Identity("reader", Method.KEY, grant(["BTC-*"])), 2, 0.0)
    assert session.allows("BTC-USD")
    assert not session.allows("AAPL")
    assert session.revision == 2
