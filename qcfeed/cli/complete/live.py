"""Values that only the running service knows: one request over its Unix socket, and one deadline.

Nothing is raised and nothing said: no service, several of them, one that hangs, or one that answers
strangely, is no value. Descriptions are for the shells that show them.
"""

from __future__ import annotations

import json
import os
import time

from qcfeed import shipped
from qcfeed.cli.ui import formats
from qcfeed.control import directories
from qcfeed.control.connection import OK, Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, TypeAlias

    from qcfeed.contexts import Context
    from qcfeed.control.connection import Where

    Found: TypeAlias = "Iterator[tuple[str, str]]"

DEADLINE = 0.2
"""Seconds for everything that is asked. Whoever pressed TAB thinks of something else by then."""

ROWS = 1_000
"""Tasks that are asked for: the oldest."""

ANSWER_BYTES = 4 * 1024 * 1024


def values(kind: str, before: Mapping[str, str], environment: Mapping[str, str]) -> Found:
    """The values of ``kind`` and what there is to say of each; none where nobody answers.

    ``before``: the options in front of the command, by name, which say which service is meant.
    """
    try:
        yield from _KINDS[kind](_Desk(before, environment))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return  # too late, or an answer that is none of ours: no value


class _Desk:
    """Whom to ask, until when."""

    def __init__(self, before: Mapping[str, str], environment: Mapping[str, str]) -> None:
        self._deadline = time.monotonic() + DEADLINE
        self._environment = environment
        self._config = before.get("config")
        self.directory = directories.runtime(environment)
        # A flag that says which service is meant silences what the environment says.
        self._which = {name: before[name] for name in _WHICH if name in before} or {
            name: environment[variable]
            for name, variable in _WHICH.items()
            if variable in environment
        }

    def instances(self) -> Iterator[tuple[str, Connection]]:
        """Those that take a connection, each with it."""
        for name in sorted(os.listdir(self.directory)):  # noqa: PTH208 - pathlib takes 5 ms
            if name.endswith(directories.SUFFIX):
                try:
                    yield (
                        name.removesuffix(directories.SUFFIX),
                        self._connect(f"{self.directory}/{name}"),
                    )
                except OSError:
                    continue

    def ask(self, path: str) -> Any:
        """The service's answer. Raises OSError or ValueError when there is none in time."""
        with self._service() as service:
            status, body = service.ask("GET", path, most=ANSWER_BYTES)
        if status != OK:
            raise ValueError(status)
        return json.loads(body)

    def _service(self) -> Connection:
        if not self._which:
            return self._only_one()
        [(name, value)] = self._which.items()
        if name == "instance":
            return self._connect(f"{self.directory}/{value}{directories.SUFFIX}")
        if name == "socket":
            return self._connect(value)
        return self._elsewhere(name, value)

    def _elsewhere(self, name: str, value: str) -> Connection:
        """In a context or over TCP: where that is takes the commands' own reading, and its imports."""
        from qcfeed.control.paths import resolve
        from qcfeed.errors import QcfeedError

        try:
            if name == "url":
                address = resolve(None, None, value, self._environment)
            else:
                chosen = self.contexts()[value]
                address = resolve(
                    chosen.instance, chosen.path("socket"), chosen.url, self._environment,
                    token_file=chosen.path("token_file"),
                )  # fmt: skip
        except QcfeedError as error:
            raise ValueError(error) from error
        return self._connect(address.where, address.token)

    def contexts(self) -> dict[str, Context]:
        """Those of the configuration file. Raises ValueError when it is not as it should be."""
        from pathlib import Path

        from qcfeed import contexts
        from qcfeed.errors import QcfeedError

        file = Path(self._config).expanduser() if self._config else None
        try:
            return contexts.read(environment=self._environment, file=file)
        except QcfeedError as error:
            raise ValueError(error) from error

    def _only_one(self) -> Connection:
        running = [service for _, service in self.instances()]
        if len(running) != 1:
            for each in running:
                each.close()
            raise ValueError(running)
        return running[0]

    def _connect(self, where: Where, token: str | None = None) -> Connection:
        """Raises OSError also for a socket that somebody else listens on."""
        service = Connection(where, self._deadline, token)
        try:
            service.connect()
        except OSError:
            service.close()
            raise
        return service


_WHICH = {
    "context": "QCFEED_CONTEXT",
    "instance": "QCFEED_INSTANCE",
    "socket": "QCFEED_SOCKET",
    "url": "QCFEED_URL",
}


def _contexts(desk: _Desk) -> Found:
    for name, context in desk.contexts().items():
        yield name, context.leads_to


def _instances(desk: _Desk) -> Found:
    for name, service in desk.instances():
        service.close()
        yield name, ""


def _drills(desk: _Desk) -> Found:
    for each in desk.ask("/v1/drills")["drills"]:
        yield each["name"], each["breaks"]


def _feeds(desk: _Desk) -> Found:
    for feed in desk.ask("/v1/feeds")["feeds"]:
        yield feed["symbol"], f"{formats.plural(feed['subscribers'], 'subscriber')}, {feed['band']}"


def _locations(desk: _Desk) -> Found:
    for row in desk.ask("/v1/tasks/by-location")["locations"]:
        orphaned = f", {row['orphaned']:,} orphaned" if row["orphaned"] else ""
        yield row["location"], f"{row['live']:,} live{orphaned}"


def _runbooks(_: _Desk) -> Found:
    for name in shipped.runbooks():
        yield name, ""


def _symbols(desk: _Desk) -> Found:
    for symbol in desk.ask("/v1/symbols")["symbols"]:
        yield symbol, ""


def _serials(desk: _Desk) -> Found:
    for task in desk.ask(f"/v1/tasks?limit={ROWS}")["tasks"]:
        yield (
            str(task["serial"]),
            f"{formats.age(task['age_s'])} {task['location']} {task['state']}",
        )


def _subscribers(desk: _Desk) -> Found:
    for each in desk.ask(f"/v1/subscribers?limit={ROWS}")["subscribers"]:
        lag = f", {each['lag']:,} behind" if each["lag"] else ""
        yield str(each["id"]), f"{each['peer']} {' '.join(each['symbols'][:3])}{lag}"


_KINDS: dict[str, Callable[[_Desk], Found]] = {
    "contexts": _contexts,
    "drills": _drills,
    "feeds": _feeds,
    "instances": _instances,
    "locations": _locations,
    "runbooks": _runbooks,
    "serials": _serials,
    "subscribers": _subscribers,
    "symbols": _symbols,
}
