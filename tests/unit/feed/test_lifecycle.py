"""The feed's state machine, one line per scenario, in virtual time."""

from __future__ import annotations

import itertools

import pytest

from qcfeed.feed.lifecycle import (
    STABLE_AFTER,
    TABLE,
    Command,
    Demand,
    Lifecycle,
    LifecycleEvent,
    Operation,
    UpstreamState,
)


class Scenario:
    """A scenario as a chain of events and expected commands."""

    def __init__(self, linger: float = 5.0) -> None:
        self.life: Lifecycle[str] = Lifecycle(linger)
        self.now = 100.0
        self.commands: list[Command] = []

    def subscribe(self, who: str) -> Scenario:
        self.commands += self.life.subscribe(who, self.now)
        return self

    def unsubscribe(self, who: str) -> Scenario:
        self.commands += self.life.unsubscribe(who, self.now)
        return self

    def stop(self) -> Scenario:
        self.commands += self.life.stop(self.now)
        return self

    def opened(self, generation: int) -> Scenario:
        self.commands += self.life.opened(generation, self.now)
        return self

    def ended(self, generation: int, draw: float = 0.5) -> Scenario:
        self.commands += self.life.ended(generation, self.now, draw)
        return self

    def after(self, seconds: float) -> Scenario:
        self.now += seconds
        self.commands += self.life.tick(self.now)
        return self

    def expect(self, *said: tuple[Operation, int]) -> Scenario:
        assert [(each.operation, each.generation) for each in self.commands] == list(said)
        self.commands.clear()
        return self

    def at(self, demand: Demand, upstream: UpstreamState) -> Scenario:
        assert (self.life.demand, self.life.upstream) == (demand, upstream)
        return self


def opens(generation: int) -> tuple[Operation, int]:
    return Operation.OPEN, generation


def closes(generation: int) -> tuple[Operation, int]:
    return Operation.CLOSE, generation


def drops(generation: int) -> tuple[Operation, int]:
    return Operation.DROP, generation


def test_the_first_subscriber_opens_the_feed_and_it_lingers_after_the_last_one() -> None:
    (
        Scenario()
        .subscribe("a").expect(opens(1)).opened(1).subscribe("b").unsubscribe("a").expect()
        .unsubscribe("b").at(Demand.LINGERING, UpstreamState.OPEN).after(4.9).expect()
        .after(0.1).expect(closes(1)).ended(1).expect(drops(1)).at(Demand.NONE, UpstreamState.CLOSED)
    )  # fmt: skip


def test_a_subscriber_during_the_linger_keeps_the_generation() -> None:
    (
        Scenario()
        .subscribe("a").expect(opens(1)).opened(1).unsubscribe("a").after(4)
        .subscribe("b").after(60).expect().at(Demand.WANTED, UpstreamState.OPEN)
    )  # fmt: skip


def test_a_subscriber_during_closing_waits_until_the_old_task_is_joined() -> None:
    (
        Scenario()
        .subscribe("a").opened(1).unsubscribe("a").after(5).expect(opens(1), closes(1))
        .subscribe("b").expect().at(Demand.WANTED, UpstreamState.CLOSING)
        .ended(1).expect(opens(2)).at(Demand.WANTED, UpstreamState.OPENING)
    )  # fmt: skip


def test_a_subscriber_that_leaves_again_during_closing_does_not_reopen_the_feed() -> None:
    (
        Scenario()
        .subscribe("a").opened(1).unsubscribe("a").after(5)
        .subscribe("b").unsubscribe("b").ended(1).expect(opens(1), closes(1), drops(1))
    )  # fmt: skip


def test_after_a_failure_the_feed_backs_off_and_reopens_if_there_is_demand() -> None:
    (
        Scenario()
        .subscribe("a").expect(opens(1)).ended(1, draw=0.5).expect()
        .at(Demand.WANTED, UpstreamState.BACKOFF).after(0.24).expect().after(0.01).expect(opens(2))
    )  # fmt: skip


def test_a_feed_never_reopens_without_demand() -> None:
    (
        Scenario()
        .subscribe("a").ended(1).unsubscribe("a").expect(opens(1))
        .after(60).expect(drops(1)).after(60).expect().at(Demand.NONE, UpstreamState.CLOSED)
    )  # fmt: skip


def test_resubscribing_does_not_shorten_a_backoff() -> None:
    (
        Scenario()
        .subscribe("a").ended(1, draw=0.99).unsubscribe("a").expect(opens(1))
        .after(0.1).subscribe("b").expect().at(Demand.WANTED, UpstreamState.BACKOFF)
        .after(0.5).expect(opens(2))
    )  # fmt: skip


def test_the_backoff_grows_until_the_upstream_has_been_stable() -> None:
    story = Scenario().subscribe("a")
    waits = []
    for generation in range(1, 9):
        story.ended(generation, draw=1.0)
        waits.append(story.life.deadline - story.now)
        story.after(waits[-1])
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]
    story.opened(9).after(STABLE_AFTER - 0.1).ended(9, draw=1.0)
    assert story.life.deadline - story.now == 30, "open for too short a time to count"
    story.after(30).opened(10).after(STABLE_AFTER).ended(10, draw=1.0)
    assert story.life.deadline - story.now == 0.5


def test_stop_closes_the_feed_despite_subscribers() -> None:
    (
        Scenario()
        .subscribe("a").subscribe("b").opened(1).stop().expect(opens(1), closes(1))
        .at(Demand.NONE, UpstreamState.CLOSING).ended(1).expect(drops(1))
    )  # fmt: skip


def test_an_event_of_another_generation_changes_nothing() -> None:
    (
        Scenario()
        .subscribe("a").ended(1, draw=0).after(0).expect(opens(1), opens(2))
        .opened(1).ended(1).expect().at(Demand.WANTED, UpstreamState.OPENING)
    )  # fmt: skip


IGNORED = {
    LifecycleEvent.FIRST_SUBSCRIBED: "only an empty set's first one is FIRST_SUBSCRIBED",
    LifecycleEvent.LAST_UNSUBSCRIBED: "only a wanted feed can be emptied",
    LifecycleEvent.OPENED: "a duplicate, or after the close was asked for",
    LifecycleEvent.ENDED: "a duplicate",
    LifecycleEvent.LINGER_ENDED: "its clock runs only while lingering",
    LifecycleEvent.BACKOFF_ENDED: "its clock runs only in backoff",
}


@pytest.mark.parametrize("state", sorted({(row[0], row[1]) for row in TABLE}))
def test_every_reachable_state_can_be_stopped(state: tuple[Demand, UpstreamState]) -> None:
    if state == (Demand.NONE, UpstreamState.CLOSING):
        return  # it is stopping already
    assert (*state, LifecycleEvent.STOPPED) in TABLE


def test_the_table_is_closed_and_every_state_in_it_is_reachable() -> None:
    reached = {(Demand.NONE, UpstreamState.CLOSED)}
    frontier = list(reached)
    while frontier:
        state = frontier.pop()
        for event in LifecycleEvent:
            row = TABLE.get((*state, event))
            if row is not None and row[:2] not in reached:
                reached.add(row[:2])
                frontier.append(row[:2])
    assert reached == {row[:2] for row in TABLE} | {row[:2] for row in TABLE.values()}
    for state, event in itertools.product(reached, LifecycleEvent):
        assert (*state, event) in TABLE or event in IGNORED or event is LifecycleEvent.STOPPED
