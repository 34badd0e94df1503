"""The lists of all instances: status, feeds, subscribers and tasks by location."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import typer

from qcfeed.cli import target
from qcfeed.cli.cluster.members import Answered, Answers, ask
from qcfeed.cli.context import Format, say
from qcfeed.cli.feeds import FEED_TABLE
from qcfeed.cli.status import findings
from qcfeed.cli.subscribers import SUBSCRIBER_TABLE
from qcfeed.cli.tasks.tables import LOCATION_TABLE
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.render import show
from qcfeed.cli.ui.table import Column, Row, Table
from qcfeed.control.routes import FEEDS, STATUS, SUBSCRIBERS, TASKS_BY_LOCATION
from qcfeed.errors import ExitStatus, UsageError
from qcfeed.model.feeds import Feeds
from qcfeed.model.status import ServiceStatus
from qcfeed.model.subscribers import Subscribers
from qcfeed.model.tasks import Location, TasksByLocation

NO_ANSWER = "no answer"


class Of(NamedTuple):
    """A row of one instance's answer."""

    member: str
    row: Any


class StatusRow(NamedTuple):
    """One instance; ``status`` is None if it did not answer."""

    member: str
    status: ServiceStatus | None

    @property
    def role(self) -> str | None:
        if self.status is None:
            return None
        return "embedded" if self.status.cluster is None else self.status.cluster.role

    @property
    def state(self) -> str:
        if self.status is None:
            return NO_ANSWER
        part = self.status.cluster
        if part is not None and part.role == "feeder":
            return (
                f"owner {part.symbol_share}"
                if part.lease_epoch is not None
                else f"standby {part.symbol_share}"
            )
        return self.status.state


def _status(name: str) -> Any:
    return lambda row: None if row.status is None else getattr(row.status, name)


def _resident(row: StatusRow) -> int | None:
    return None if row.status is None else row.status.memory.resident_bytes


def _epoch(row: StatusRow) -> int | None:
    return (
        None if row.status is None or row.status.cluster is None else row.status.cluster.lease_epoch
    )


STATUS_TABLE: Table[StatusRow] = Table(
    (
        Column("member", header="INSTANCE"),
        Column("role"),
        Column("state", colour=lambda row: "red" if row.status is None else None),
        Column("uptime_s", _status("uptime_s"), formats.age, "UP", right=True, rank=3),
        Column("connections", _status("connections"), formats.count, right=True, rank=1),
        Column("feeds", _status("feed_count"), formats.count, right=True),
        Column("subscriptions", _status("subscriptions"), formats.count, "SUBS", right=True),
        Column("memory", _resident, formats.size, right=True, rank=2),
        Column("loop_lag_ms", _status("loop_lag_ms"), formats.milliseconds, "LAG", right=True),
        Column("epoch", _epoch, wide=True),
        Column("upstream", _status("upstream"), wide=True),
    ),
    identity=lambda row: row.member,
)


def status(ctx: typer.Context, output: Format) -> None:
    """One row per instance, and the findings of each."""
    answers = ask(ctx, STATUS, ServiceStatus)
    rows = [StatusRow(each.member, each.answer) for each in answers.good]
    silent = [StatusRow(each.member, None) for each in answers.unanswered]
    show(output, STATUS_TABLE, [*rows, *silent], raw=answers.json())
    wrong = answers.tell_unanswered()
    for row in rows:
        for what, suggestions in findings(row.status) if row.status else ():
            wrong = True
            say(f"finding: {row.member}: {what}")
            name = row.member.partition("@")[0]  # as its own machine knows it
            named = [target.of_instance(each, name) for each in suggestions]
            say(f"  next: {', then '.join(named)}")
    if wrong:
        raise typer.Exit(ExitStatus.FINDINGS)


def feeds(ctx: typer.Context, output: Format) -> None:
    """The feeds of all instances: a symbol has one per gateway that serves it, and one at its owner."""
    answers = ask(ctx, FEEDS, Feeds)
    rows = [Of(each.member, feed) for each in answers.good for feed in each.answer.feeds]
    rows.sort(key=lambda of: (of.row.symbol, of.member))
    _show(output, with_member(FEED_TABLE), rows, answers, "no feeds: there are no subscribers")


def subscribers(ctx: typer.Context, output: Format, **params: Any) -> None:
    """The connections of all gateways, the furthest behind first."""
    answers = ask(ctx, SUBSCRIBERS, Subscribers, **params)
    rows = [Of(each.member, one) for each in answers.good for one in each.answer.subscribers]
    rows.sort(key=lambda of: (-of.row.lag, -of.row.age_s))
    _show(output, with_member(SUBSCRIBER_TABLE), rows, answers, "no subscribers")
    total = sum(each.answer.total for each in answers.good)
    if total > len(rows) and output in (Format.TABLE, Format.WIDE):
        say(f"{len(rows):,} of {total:,} connections; --limit N lists more of each instance")


def tasks_by_location(ctx: typer.Context, output: Format, *, by_location: bool) -> None:
    """One row per spawn location, the sum over all instances."""
    if not by_location:
        raise UsageError(
            "a list of single tasks is for one instance",
            hint="`qcfeed --cluster tasks --by-location` counts all",
        )
    answers = ask(ctx, TASKS_BY_LOCATION, TasksByLocation)
    rows = merged(answers.good)
    show(output, LOCATION_TABLE, rows, raw=answers.json())
    if answers.tell_unanswered():
        raise typer.Exit(ExitStatus.FINDINGS)


def merged(answers: Iterable[Answered[TasksByLocation]]) -> list[Location]:
    """The locations of all instances, with their counts added; the note says how many instances have it."""
    found: dict[str, list[Location]] = {}
    for each in answers:
        for location in each.answer.locations:
            found.setdefault(location.location, []).append(location)
    rows = [_sum(same) for same in found.values()]
    return sorted(rows, key=lambda row: (-row.live, -row.spawned, row.location))


def _sum(same: Sequence[Location]) -> Location:
    ages = [each.oldest_s for each in same if each.oldest_s is not None]
    note = next((each.note for each in same if each.note), "")
    return Location(
        location=same[0].location,
        function=same[0].function,
        **{name: sum(getattr(each, name) for each in same) for name in _COUNTS},
        oldest_s=max(ages, default=None),
        note=f"in {formats.plural(len(same), 'instance')}" + (f"; {note}" if note else ""),
    )


_COUNTS = ("live", "spawned", "finished", "cancelled", "failed", "destroyed", "orphaned")


def with_member(table: Table[Row]) -> Table[Of]:
    """The table with the instance in front of each row."""

    def of(column: Column[Row]) -> Column[Of]:
        colour = column.colour
        return Column(
            column.key, lambda of: column.raw(of.row), column.show, column.header, column.right,
            column.rank, column.least, column.wide,
            None if colour is None else lambda of: colour(of.row),
        )  # fmt: skip

    columns = (Column[Of]("member", header="INSTANCE"), *map(of, table.columns))
    return Table(columns, lambda of: f"{of.member} {table.identity(of.row)}")


def _show(
    output: Format, table: Table[Of], rows: Sequence[Of], answers: Answers[Any], empty: str
) -> None:
    if not rows and output in (Format.TABLE, Format.WIDE):
        say(empty)
    else:
        show(output, table, rows, raw=answers.json())
    if answers.tell_unanswered():
        raise typer.Exit(ExitStatus.FINDINGS)
