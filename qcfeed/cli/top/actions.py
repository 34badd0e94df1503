"""The actions of ``qcfeed top``: reap, cancel and kick, with the same requests as the commands.

Each action first makes a plan, to be confirmed. Synchronous. The service logs them in its audit log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from qcfeed.cli import orphans, subscribers
from qcfeed.cli.context import ACTION_GRACE
from qcfeed.cli.feeds import CANCELLED_TABLE, FEED_TABLE
from qcfeed.cli.tasks import cancel
from qcfeed.cli.top.observer import Observer
from qcfeed.cli.ui.figures import FIGURES, LabelledValue
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
from qcfeed.model.feeds import CancelFeedsRequest, CancelledFeeds, FeedStatus
from qcfeed.model.orphans import Orphan, Orphans, Reaped, ReapRequest
from qcfeed.model.subscribers import Kicked, KickRequest, SubscriberStatus
from qcfeed.model.task_details import CancelledTasks, CancelPlan, CancelTasksRequest
from qcfeed.model.tasks import Task
from qcfeed.observe.recent import LocationTrend

PREVIEW = 10
"""The number of rows of a plan to show; the rest is counted."""


class ActionResult(NamedTuple):
    """The outcome of an action; ``alarming``: it did not succeed completely."""

    title: str
    lines: list[str]
    alarming: bool = False


class ProposedAction(NamedTuple):
    """What an action would do; ``act`` does it, after confirmation. None if there is nothing to do."""

    question: str
    lines: list[str]
    act: Callable[[], ActionResult] | None


class ScreenActions:
    """The actions on the observed service. ``width``: the width of a line, in cells."""

    def __init__(self, observer: Observer, width: int) -> None:
        self._observer = observer
        self._width = width

    def for_row(self, row: Any) -> Callable[[], ProposedAction] | str:
        """A function that plans to cancel or kick what the row shows, or why that is not possible."""
        match row:
            case LocationTrend(location=site):
                return partial(self.cancel, site=site)
            case Task(serial=serial) | Orphan(serial=int(serial)):
                return partial(self.cancel, serials=[serial])
            case Orphan():
                return "a subscription has no task to cancel; r reaps it"
            case FeedStatus():
                return partial(self.cancel_feed, row)
            case SubscriberStatus():
                return partial(self.kick, row)
        return "there is nothing to cancel in this row"

    def reap(self) -> ProposedAction:
        """Plan to reap all orphans, and nothing else."""
        found = self._observer.client.get(ORPHANS, Orphans, limit=PREVIEW)
        if not found.total:
            return ProposedAction("there are no orphans to reap", [], None)
        lines = [*self._table(orphans.ORPHAN_TABLE, found.orphans), *_more(found.total)]
        return ProposedAction(
            f"reap {plural(found.total, 'orphan')}?", lines, self._same_process(self._reap)
        )

    def _reap(self) -> ActionResult:
        request = ReapRequest(timeout_s=self._observer.client.timeout)
        answer = self._observer.actor(ACTION_GRACE).post(REAP, request, Reaped)
        lines = self._figures(orphans.figures(answer))
        lines += self._table(orphans.SURVIVOR_TABLE, answer.survivors) if answer.survivors else []
        return ActionResult("reaped", lines, alarming=bool(answer.survivors))

    def cancel(self, *, site: str = "", serials: Sequence[int] = ()) -> ProposedAction:
        """Plan to cancel the tasks of a location, or those with these serial numbers."""
        params: dict[str, Any] = (
            {"serials": ",".join(map(str, serials))} if serials else {"site": site}
        )
        plan = self._observer.client.get(TASKS_CANCEL_PLAN, CancelPlan, **params)
        if not plan.total:
            return ProposedAction(cancel.nothing_to_cancel(plan), [], None)
        lines = (
            self._table(cancel.LOCATION_TABLE, plan.locations)
            if plan.total > cancel.LISTED
            else self._table(cancel.PLANNED_TABLE, plan.tasks)
        )
        lines += [f"  {warning}" for warning in cancel.warnings(plan)]
        request = CancelTasksRequest(
            serials=list(serials),
            site="" if serials else site,
            up_to=plan.up_to,
            timeout_s=self._observer.client.timeout,
        )
        question = f"cancel {plural(plan.total, 'task')}{cancel.not_planned(plan)}?"
        return ProposedAction(question, lines, self._same_process(lambda: self._cancel(request)))

    def _cancel(self, request: CancelTasksRequest) -> ActionResult:
        answer = self._observer.actor(ACTION_GRACE).post(TASKS_CANCEL, request, CancelledTasks)
        lines = self._figures(cancel.figures(answer))
        for survivor in answer.survivors:
            lines += ["", *cancel.survivor_lines(survivor)]
        return ActionResult("cancelled", lines, alarming=bool(answer.survived))

    def cancel_feed(self, feed: FeedStatus) -> ProposedAction:
        """Plan to cancel a feed."""
        subscribers = plural(feed.subscriber_count, "subscriber")
        request = CancelFeedsRequest(
            symbols=[feed.symbol], force=True, timeout_s=self._observer.client.timeout
        )
        lines = [*self._table(FEED_TABLE, [feed]), "", "its subscribers get close code 4410"]
        question = f"cancel the feed of {feed.symbol} with {subscribers}?"
        return ProposedAction(
            question, lines, self._same_process(lambda: self._cancel_feed(request))
        )

    def _cancel_feed(self, request: CancelFeedsRequest) -> ActionResult:
        answer = self._observer.actor(ACTION_GRACE).post(FEEDS_CANCEL, request, CancelledFeeds)
        late = not all(feed.joined for feed in answer.feeds)
        return ActionResult("cancelled", self._table(CANCELLED_TABLE, answer.feeds), alarming=late)

    def kick(self, subscriber: SubscriberStatus) -> ProposedAction:
        """Plan to end a connection."""
        request = KickRequest(
            ids=[subscriber.id], force=True, timeout_s=self._observer.client.timeout
        )
        table = self._table(subscribers.SUBSCRIBER_TABLE, [subscriber])
        question = f"end connection {subscriber.id} of {subscriber.peer}?"
        act = self._same_process(lambda: self._kick(request))
        return ProposedAction(question, [*table, "", "the subscriber gets close code 4411"], act)

    def _kick(self, request: KickRequest) -> ActionResult:
        answer = self._observer.actor(ACTION_GRACE).post(SUBSCRIBERS_KICK, request, Kicked)
        lines = self._figures(subscribers.figures(answer))
        return ActionResult("kicked", lines, alarming=bool(answer.closing))

    def _same_process(self, act: Callable[[], ActionResult]) -> Callable[[], ActionResult]:
        """``act``, refused if the service has been restarted since: serials are of other tasks then."""
        planned = self._observer.process_id()

        def checked() -> ActionResult:
            if self._observer.process_id() != planned:
                raise NeedsConfirmationError(
                    "the service was restarted after this was planned; nothing was done",
                    hint="check the new tasks and try again",
                )
            return act()

        return checked

    def _table(self, table: Table[Any], rows: Sequence[Any]) -> list[str]:
        return lay_out(table, rows[:PREVIEW], width=self._width).lines

    def _figures(self, figures: Iterable[LabelledValue]) -> list[str]:
        return lay_out(FIGURES, list(figures), width=self._width, header=False).lines


def _more(count: int) -> list[str]:
    return [f"and {count - PREVIEW:,} more"] if count > PREVIEW else []
