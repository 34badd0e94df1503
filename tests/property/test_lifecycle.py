"""The feed's machine in every order of events that chance finds, under a clock of our own.

The model beside it is a hub in miniature: it carries commands out and reports what became of them,
late, twice or out of order.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from qcfeed.feed.lifecycle import Command, Demand, Lifecycle, Operation, UpstreamState

SUBSCRIBERS = st.integers(0, 3)
DRAWS = st.floats(0, 1, exclude_max=True)


class FeedLife(RuleBasedStateMachine):
    @initialize(linger=st.sampled_from([0.0, 5.0]))
    def begin(self, linger: float) -> None:
        self.linger = linger
        self.life: Lifecycle[int] = Lifecycle(linger)
        self.now = 0.0
        self.running: set[int] = set()
        """Generations whose upstream task has started and is not joined."""
        self.ending: set[int] = set()
        self.past: list[int] = []
        self.opened: list[tuple[int, float]] = []
        self.emptied_at: float | None = None

    def carry_out(self, commands: list[Command]) -> None:
        for command in commands:
            if command.operation is Operation.OPEN:
                assert not self.running, "at most one upstream run a symbol"
                assert self.life.subscribers, "an upstream is opened only under demand"
                self.running.add(command.generation)
            elif command.operation is Operation.CLOSE:
                assert command.generation in self.running, "only what runs is closed"
                assert not self.life.subscribers, "a feed with subscribers is not closed"
                self.ending.add(command.generation)
            else:
                assert not self.running, "a feed is forgotten only after its run was joined"
                assert not self.life.subscribers

    def join(self, generation: int, draw: float) -> None:
        self.running.discard(generation)
        self.ending.discard(generation)
        self.past.append(generation)
        self.carry_out(self.life.ended(generation, self.now, draw))

    @rule(who=SUBSCRIBERS)
    def subscribe(self, who: int) -> None:
        self.emptied_at = None
        self.carry_out(self.life.subscribe(who, self.now))
        assert who in self.life.subscribers
        assert self.life.demand is Demand.WANTED

    @rule(who=SUBSCRIBERS)
    def unsubscribe(self, who: int) -> None:
        last = self.life.subscribers == {who}
        self.carry_out(self.life.unsubscribe(who, self.now))
        if last:
            self.emptied_at = self.now

    @rule()
    def stop(self) -> None:
        self.carry_out(self.life.stop(self.now))
        assert self.life.demand is Demand.NONE

    @precondition(lambda self: self.running - self.ending)
    @rule()
    def upstream_opens(self) -> None:
        (generation,) = self.running
        self.carry_out(self.life.opened(generation, self.now))
        assert self.life.upstream is UpstreamState.OPEN

    @precondition(lambda self: self.running)
    @rule(draw=DRAWS)
    def upstream_ends(self, draw: float) -> None:
        (generation,) = self.running
        self.join(generation, draw)

    @precondition(lambda self: self.past)
    @rule(data=st.data(), draw=DRAWS)
    def a_late_event_of_an_old_generation_changes_nothing(
        self, data: st.DataObject, draw: float
    ) -> None:
        generation = data.draw(st.sampled_from(self.past))
        if generation == self.life.generation:
            return
        before = (self.life.demand, self.life.upstream, self.life.deadline, self.life.generation)
        assert self.life.opened(generation, self.now) == []
        assert self.life.ended(generation, self.now, draw) == []
        after = (self.life.demand, self.life.upstream, self.life.deadline, self.life.generation)
        assert after == before

    @rule(draw=DRAWS)
    def a_duplicate_opened_changes_nothing(self, draw: float) -> None:
        if self.life.upstream is UpstreamState.OPEN:
            assert self.life.opened(self.life.generation, self.now) == []
            assert self.life.upstream is UpstreamState.OPEN

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 4.9, 5.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.carry_out(self.life.tick(self.now))

    @invariant()
    def an_upstream_exists_only_under_demand_or_linger(self) -> None:
        if self.running - self.ending:
            assert self.life.demand is not Demand.NONE

    @invariant()
    def demand_is_what_the_set_says(self) -> None:
        assert (self.life.demand is Demand.WANTED) == bool(self.life.subscribers)

    @invariant()
    def nothing_lingers_longer_than_the_linger_time(self) -> None:
        if self.life.demand is Demand.LINGERING:
            assert self.emptied_at is not None
            assert self.life.deadline == self.emptied_at + self.linger

    @invariant()
    def the_state_agrees_with_what_runs(self) -> None:
        runs = self.life.upstream in (
            UpstreamState.OPENING,
            UpstreamState.OPEN,
            UpstreamState.CLOSING,
        )
        assert bool(self.running) == runs
        assert (self.life.upstream is UpstreamState.CLOSING) == bool(self.ending)

    def teardown(self) -> None:
        """Without demand the feed closes within a bounded time."""
        if not hasattr(self, "life"):
            return
        for who in list(self.life.subscribers):
            self.carry_out(self.life.unsubscribe(who, self.now))
        for _ in range(5):
            for generation in list(self.ending):
                self.join(generation, 0.5)
            deadline = self.life.deadline
            if deadline is not None:
                self.now = max(self.now, deadline)
                self.carry_out(self.life.tick(self.now))
        assert (self.life.demand, self.life.upstream) == (Demand.NONE, UpstreamState.CLOSED)
        assert not self.running
        assert self.life.deadline is None


TestFeedLife = FeedLife.TestCase
