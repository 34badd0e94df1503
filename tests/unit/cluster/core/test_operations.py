from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcfeed.cluster.core import operations
from qcfeed.cluster.core.operations import (
    AnswerCollector,
    ClusterRequest,
    Here,
    InvalidAnswerError,
    Roster,
)


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=20), st.binary(max_size=40), min_size=1, max_size=4
    ),
    st.randoms(use_true_random=False),
)
def test_answers_are_put_together_in_whatever_order_their_parts_come(
    answers: dict[str, bytes], random: object
) -> None:
    patch = pytest.MonkeyPatch()
    with patch.context() as changed:
        changed.setattr(operations, "PART", 7)
        messages = [
            part for name, raw in answers.items() for part in operations.parts(name, 200, raw)
        ]
        messages += messages[:3]  # some come twice
        random.shuffle(messages)  # type: ignore[attr-defined]
        collector = AnswerCollector()
        completed = [name for name in map(collector.add, messages) if name is not None]
    assert sorted(completed) == sorted(answers), "each is complete once"
    assert collector.complete == {name: (200, raw) for name, raw in answers.items()}


def test_an_answer_of_which_a_part_is_missing_is_not_complete(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(operations, "PART", 4)
    first, _, third = operations.parts("a", 200, b"0123456789")
    collector = AnswerCollector()
    assert [collector.add(first), collector.add(third)] == [None, None]
    assert collector.complete == {}


def test_an_answer_that_is_too_long_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "PART", 1)
    collector = AnswerCollector()
    for part in operations.parts("a", 200, b"x" * (operations.MAX_PARTS + 1)):
        collector.add(part)
    assert collector.complete == {"a": (413, b"")}


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"no JSON\n",
        b'{"member":"a","status":200}',
        b'{"member":"a","status":200,"part":2,"parts":1}\n',
        b'{"member":"a","status":200,"part":0,"parts":1}\n',
        b'{"member":"a","status":200,"parts":100000}\n',
        b'{"member":7,"status":200}\n',
        b"\xff\xfe\n",
    ],
)
def test_what_is_no_part_of_an_answer_is_refused(message: bytes) -> None:
    collector = AnswerCollector()
    with pytest.raises(InvalidAnswerError):
        collector.add(message)
    assert collector.complete == {}


def test_requests_keep_their_body_as_it_is() -> None:
    request = ClusterRequest("/v1/feeds/cancel", {"a": "1"}, msgspec.Raw(b'{"symbols": ["AAPL"]}'))
    found = operations.decode_request(operations.encode(request))
    assert (found.path, found.params) == ("/v1/feeds/cancel", {"a": "1"})
    assert bytes(found.body) == b'{"symbols": ["AAPL"]}'
    assert operations.text_params({"limit": 5, "slow": None}) == {"limit": "5"}


def test_each_instance_takes_actions_on_a_subject_of_its_own_that_is_one_token() -> None:
    names = ["8006-1@a", "8006-1@b", "x.y*>@ h", ""]
    subjects = {operations.act_subject(name) for name in names}
    assert len(subjects) == len(names)
    for subject in subjects:
        assert subject.removeprefix(operations.ACT).isalnum()


def test_a_roster_remembers_who_was_there_until_it_ends_or_is_silent_for_long() -> None:
    roster = Roster()
    roster.hear(Here("a"), 0.0)
    roster.hear(Here("b"), 5.0)
    roster.hear(Here("a"), 10.0)
    assert roster.heard(12.0) == {"b": 7.0, "a": 2.0}
    roster.hear(Here("a", ends=True), 13.0)
    assert roster.heard(14.0) == {"b": 9.0}
    assert roster.heard(5.0 + Roster.KEPT + 1) == {}


def test_a_roster_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Roster, "MOST", 3)
    roster = Roster()
    for number in range(10):
        roster.hear(Here(str(number)), float(number))
    assert set(roster.heard(10.0)) == {"7", "8", "9"}
