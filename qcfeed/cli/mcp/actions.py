"""The acting tools, with ``--allow-actions`` only: each describes a plan, and ``confirm_plan`` does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from qcfeed.cli.mcp.plans import LIFETIME_S, Plans
from qcfeed.cli.mcp.tool import NoArguments, Tool
from qcfeed.control import routes
from qcfeed.control.client import ControlClient
from qcfeed.errors import NotFoundError, UsageError
from qcfeed.formats import plural
from qcfeed.model import symbol
from qcfeed.model.answer import Answer
from qcfeed.model.drills import Drills, DrillStopped, StopDrillRequest
from qcfeed.model.feeds import CancelFeedsRequest, CancelledFeeds, Feeds
from qcfeed.model.orphans import Orphans, Reaped, ReapRequest
from qcfeed.model.subscribers import Kicked, KickRequest, Subscribers
from qcfeed.model.task_details import CancelledTasks, CancelPlan, CancelTasksRequest

AnyAnswer = TypeVar("AnyAnswer", bound=Answer)

NAMED = 20
"""Symbols, tasks or connections that a plan names; the others are counted."""


class FeedsArguments(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of plan_cancel_feeds."""

    symbols: Annotated[list[str], Meta(min_length=1, description="The symbols of the feeds.")]


class CancelArguments(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of plan_cancel_tasks: serial numbers, or a spawn location."""

    serials: Annotated[list[int], Meta(description="Serial numbers of live tasks.")] = []
    site: Annotated[str, Meta(description="Spawn location: FILE:LINE, or FILE.")] = ""


class KickArguments(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of plan_disconnect_subscribers."""

    ids: Annotated[list[int], Meta(min_length=1, description="The id of each, from `subscribers`.")]


class ConfirmArguments(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of confirm_plan."""

    plan_id: Annotated[str, Meta(description="The id that the plan_ tool returned.")]


class Planner:
    """Makes plans for one service, and carries out those that are confirmed.

    ``client_for``: a client whose requests are audited under a name that has the plan's id.
    """

    def __init__(
        self, client: ControlClient, client_for: Callable[[str], ControlClient], plans: Plans
    ) -> None:
        self._client = client
        self._client_for = client_for
        self._plans = plans

    def tools(self) -> Sequence[Tool]:
        return (
            Tool(
                "plan_reap_orphans",
                "Plan to cancel all proven orphans: live tasks whose owner is gone. Touches nothing else.",
                NoArguments,
                self.reap,
            ),
            Tool(
                "plan_cancel_feeds",
                "Plan to cancel feeds. Their subscribers are disconnected and may come back.",
                FeedsArguments,
                self.cancel_feeds,
            ),
            Tool(
                "plan_cancel_tasks",
                "Plan to cancel live tasks, by serial number or by spawn location.",
                CancelArguments,
                self.cancel_tasks,
            ),
            Tool(
                "plan_disconnect_subscribers",
                "Plan to close the connections of subscribers, which are told that they may come back.",
                KickArguments,
                self.disconnect,
            ),
            Tool(
                "plan_stop_drill",
                "Plan to stop the active drill, a fault that was injected on purpose.",
                NoArguments,
                self.stop_drill,
            ),
            Tool(
                "confirm_plan",
                "Carry out a plan. Show it to the person who decides first, and call this with its id"
                " when that person agrees.",
                ConfirmArguments,
                lambda arguments: self.confirm(arguments.plan_id),
                (Reaped, CancelledFeeds, CancelledTasks, Kicked, DrillStopped),
                acts=True,
            ),
        )

    def confirm(self, plan_id: str) -> Answer:
        """Carry out the plan. Raises NotFoundError if there is none, and what the service refuses."""
        return self._plans.take(plan_id).carry_out(plan_id)

    def reap(self, _: NoArguments) -> str:
        found = self._client.get(routes.ORPHANS, Orphans, limit=NAMED, spread=True)
        if not found.total:
            raise NotFoundError("there are no orphans, so nothing is to be reaped")
        places = sorted({each.location for each in found.orphans if each.location})
        where = f", created at {', '.join(places)}" if places else ""
        return self._plan(
            f"cancel {plural(found.total, 'orphan')}{where}: their owners are gone. Nothing else is touched.",
            routes.REAP,
            ReapRequest(timeout_s=self._client.timeout),
            Reaped,
        )

    def cancel_feeds(self, arguments: FeedsArguments) -> str:
        wanted = list(dict.fromkeys(symbol.parse(each) for each in arguments.symbols))
        running = {each.symbol: each for each in self._client.get(routes.FEEDS, Feeds).feeds}
        if missing := [each for each in wanted if each not in running]:
            raise NotFoundError(
                f"no feed for {_named(missing)}", hint="the tool `feeds` lists them"
            )
        subscribers = sum(running[each].subscriber_count for each in wanted)
        request = CancelFeedsRequest(
            symbols=[*wanted], force=subscribers > 0, timeout_s=self._client.timeout
        )
        return self._plan(
            f"cancel {plural(len(wanted), 'feed')} ({_named(wanted)}) and disconnect"
            f" {plural(subscribers, 'subscriber')} with close code 4410; they may come back.",
            routes.FEEDS_CANCEL,
            request,
            CancelledFeeds,
        )

    def cancel_tasks(self, arguments: CancelArguments) -> str:
        if bool(arguments.serials) == bool(arguments.site):
            raise UsageError("give serials or a site, and not both")
        chosen = ",".join(map(str, arguments.serials))
        plan = self._client.get(
            routes.TASKS_CANCEL_PLAN,
            CancelPlan,
            serials=chosen or None,
            site=arguments.site or None,
        )
        if not plan.total:
            raise NotFoundError("no live task matches, so nothing is to be cancelled")
        places = ", ".join(f"{each.count:,} of {each.location}" for each in plan.locations[:NAMED])
        spared = "".join(
            f" Task {each.serial} is skipped: {each.why}." for each in plan.spared[:NAMED]
        )
        request = CancelTasksRequest(
            serials=arguments.serials,
            site=arguments.site,
            up_to=plan.up_to,
            timeout_s=self._client.timeout,
        )
        return self._plan(
            f"cancel {plural(plan.total, 'live task')}: {places}. Tasks created from now on are not"
            f" touched.{spared}",
            routes.TASKS_CANCEL,
            request,
            CancelledTasks,
        )

    def disconnect(self, arguments: KickArguments) -> str:
        ids = list(dict.fromkeys(arguments.ids))
        found = self._client.get(
            routes.SUBSCRIBERS, Subscribers, ids=",".join(map(str, ids)), limit=len(ids)
        )
        if not found.subscribers:
            raise NotFoundError(f"no connection {_named(ids)}", hint="`subscribers` lists them")
        peers = [f"{each.id} from {each.peer}" for each in found.subscribers]
        return self._plan(
            f"close {plural(len(peers), 'connection')} ({_named(peers)}) with close code 4411.",
            routes.SUBSCRIBERS_KICK,
            KickRequest(ids=ids, force=True, timeout_s=self._client.timeout),
            Kicked,
        )

    def stop_drill(self, _: NoArguments) -> str:
        active = self._client.get(routes.DRILLS, Drills).active
        if active is None:
            raise NotFoundError("no drill is active")
        return self._plan(
            f"stop the drill {active.drill}, which has run for {active.active_s:.0f} s.",
            routes.DRILLS_STOP,
            StopDrillRequest(timeout_s=self._client.timeout),
            DrillStopped,
        )

    def _plan(self, summary: str, path: str, request: msgspec.Struct, kind: type[AnyAnswer]) -> str:
        plan = self._plans.add(
            summary, lambda plan_id: self._client_for(plan_id).post(path, request, kind)
        )
        return (
            f"plan {plan.id}: {summary}\nNothing was done yet. `confirm_plan` with this id carries it"
            f" out, once, within {LIFETIME_S:.0f} s."
        )


def _named(items: Sequence[object]) -> str:
    more = f" and {len(items) - NAMED:,} more" if len(items) > NAMED else ""
    return ", ".join(map(str, items[:NAMED])) + more
