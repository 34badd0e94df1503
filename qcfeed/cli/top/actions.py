"""Reap, cancel and kick, as the commands do: the same requests, the plan first, and what became of it.

Synchronous. The service writes each into its audit log, as it does for the commands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from qcfeed.cli import orphans, subscribers
from qcfeed.cli.context import ACTION_GRACE
from qcfeed.cli.feeds import CANCELLED_TABLE, FEED_TABLE
from qcfeed.cli.tasks import cancel
from qcfeed.cli.top.observer import Looker
from qcfeed.cli.top.recent import Row
from qcfeed.cli.ui.figures import FIGURES, Figure
from qcfeed.cli.ui.table import Table, lay_out
from qcfeed.control.routes import (
    FEEDS_CANCEL,
    ORPHANS,
    REAP,
    SUBSCRIBERS_KICK,
    TASKS_CANCEL,
    TASKS_CANCEL_PLAN,
)
from qcfeed.errors import NeedsConfirmationError
from qcfeed.formats import plural
from qcfeed.model.answers import (
    CancelFeedsRequest,
    CancelledFeeds,
    Feed,
    Orphan,
    Orphans,
    Reaped,
    ReapRequest,
    Task,
)
from qcfeed.model.subscribers import Kicked, KickRequest, Subscriber
from qcfeed.model.task_details import CancelledTasks, CancelPlan, CancelTasksRequest

PREVIEW = 10
"""Rows of a plan that are shown; more are counted."""


class Outcome(NamedTuple):
    """What became of it; ``alarming``: not all that was asked for."""

    title: str
    lines: list[str]
    alarming: bool = False


class Plan(NamedTuple):
    """What would be done, and what does it once a person has said yes; None for nothing to do."""

    question: str
    lines: list[str]
    act: Callable[[], Outcome] | None


class Actions:
    """What can be done to the service that is looked at. ``width``: cells of a line."""

    def __init__(self, looker: Looker, width: int) -> None:
        self._looker = looker
        self._width = width

    def against(self, row: Any) -> Callable[[], Plan] | str:
        """What plans the end of this row, or why there is nothing to end."""
        match row:
            case Row(location=site):
                return partial(self.cancel, site=site)
            case Task(serial=serial) | Orphan(serial=int(serial)):
                return partial(self.cancel, serials=[serial])
            case Orphan():
                return "a subscription has no task to cancel: r reaps it"
            case Feed():
                return partial(self.cancel_feed, row)
            case Subscriber():
                return partial(self.kick, row)
        return "there is nothing to cancel in this row"

    def reap(self) -> Plan:
        """All orphans, and only them."""
        seen = self._looker.client.get(ORPHANS, Orphans, limit=PREVIEW)
        if not seen.total:
            return Plan("there are no orphans to reap", [], None)
        lines = [*self._table(orphans.ORPHAN_TABLE, seen.orphans), *_more(seen.total)]
        return Plan(f"reap {plural(seen.total, 'orphan')}?", lines, self._once(self._reap))

    def _reap(self) -> Outcome:
        request = ReapRequest(timeout_s=self._looker.client.timeout)
        answer = self._looker.actor(ACTION_GRACE).post(REAP, request, Reaped)
        lines = self._figures(orphans.outcome(answer))
        lines += self._table(orphans.SURVIVOR_TABLE, answer.survivors) if answer.survivors else []
        return Outcome("reaped", lines, alarming=bool(answer.survivors))

    def cancel(self, *, site: str = "", serials: Sequence[int] = ()) -> Plan:
        """The tasks of a location, or those of these numbers."""
        which: dict[str, Any] = (
            {"serials": ",".join(map(str, serials))} if serials else {"site": site}
        )
        plan = self._looker.client.get(TASKS_CANCEL_PLAN, CancelPlan, **which)
        if not plan.total:
            besides = cancel.besides(plan)
            return Plan(f"there is nothing to cancel{besides}", [], None)
        lines = (
            self._table(cancel.LOCATION_TABLE, plan.locations)
            if plan.total > cancel.LISTED
            else self._table(cancel.PLANNED_TABLE, plan.tasks)
        )
        request = CancelTasksRequest(
            serials=list(serials),
            site="" if serials else site,
            up_to=plan.up_to,
            timeout_s=self._looker.client.timeout,
        )
        question = f"cancel {plural(plan.total, 'task')}{cancel.besides(plan)}?"
        return Plan(question, lines, self._once(lambda: self._cancel(request)))

    def _cancel(self, request: CancelTasksRequest) -> Outcome:
        answer = self._looker.actor(ACTION_GRACE).post(TASKS_CANCEL, request, CancelledTasks)
        lines = self._figures(cancel.outcome(answer))
        for survivor in answer.survivors:
            lines += ["", *cancel.why(survivor)]
        return Outcome("cancelled", lines, alarming=bool(answer.survived))

    def cancel_feed(self, feed: Feed) -> Plan:
        """One feed, with its subscribers."""
        readers = plural(feed.subscriber_count, "subscriber")
        request = CancelFeedsRequest(
            symbols=[feed.symbol], force=True, timeout_s=self._looker.client.timeout
        )
        lines = [*self._table(FEED_TABLE, [feed]), "", "they are told so (close 4410)"]
        question = f"cancel the feed of {feed.symbol} with {readers}?"
        return Plan(question, lines, self._once(lambda: self._cancel_feed(request)))

    def _cancel_feed(self, request: CancelFeedsRequest) -> Outcome:
        answer = self._looker.actor(ACTION_GRACE).post(FEEDS_CANCEL, request, CancelledFeeds)
        late = not all(feed.joined for feed in answer.feeds)
        return Outcome("cancelled", self._table(CANCELLED_TABLE, answer.feeds), alarming=late)

    def kick(self, reader: Subscriber) -> Plan:
        """One connection."""
        request = KickRequest(ids=[reader.id], force=True, timeout_s=self._looker.client.timeout)
        lines = [*self._table(subscribers.SUBSCRIBER_TABLE, [reader]), "", "close 4411"]
        question = f"end connection {reader.id} of {reader.peer}?"
        return Plan(question, lines, self._once(lambda: self._kick(request)))

    def _kick(self, request: KickRequest) -> Outcome:
        answer = self._looker.actor(ACTION_GRACE).post(SUBSCRIBERS_KICK, request, Kicked)
        lines = self._figures(subscribers.outcome(answer))
        return Outcome("kicked", lines, alarming=bool(answer.closing))

    def _once(self, act: Callable[[], Outcome]) -> Callable[[], Outcome]:
        """The act, refused when another process answers by then: its numbers are of other tasks."""
        planned = self._looker.life()

        def checked() -> Outcome:
            if self._looker.life() != planned:
                raise NeedsConfirmationError(
                    "the service was restarted since this was planned; nothing was done",
                    hint="look again, and plan anew",
                )
            return act()

        return checked

    def _table(self, table: Table[Any], rows: Sequence[Any]) -> list[str]:
        return lay_out(table, rows[:PREVIEW], width=self._width).lines

    def _figures(self, figures: Iterable[Figure]) -> list[str]:
        return lay_out(FIGURES, list(figures), width=self._width, header=False).lines


def _more(count: int) -> list[str]:
    return [f"and {count - PREVIEW:,} more"] if count > PREVIEW else []
