"""Completion values from the running service: one request over its Unix socket, within a deadline.

Never raises or prints an error: if there is no service, or several, or it hangs or sends an unexpected
answer, there are no values. Descriptions are for shells that show them.
"""

from __future__ import annotations

import json
import os
import time

from qcfeed import shipped
from qcfeed.cli.ui import formats
from qcfeed.control import directories
from qcfeed.control.connection import OK, ControlConnection
from qcfeed.diagnostics.locations import places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, TypeAlias

    from qcfeed.config.contexts import Context
    from qcfeed.control.connection import Where

    Values: TypeAlias = "Iterator[tuple[str, str]]"

DEADLINE = 0.2
"""Seconds for all requests of one TAB: a person does not wait longer."""

ROWS = 1_000
"""The most tasks or subscribers to request."""

ANSWER_BYTES = 4 * 1024 * 1024


def values(kind: str, options: Mapping[str, str], environment: Mapping[str, str]) -> Values:
    """The values of ``kind``, each with its description; none if no service answers.

    ``options``: the global options by name, which may name the service.
    """
    try:
        yield from _KINDS[kind](_Services(options, environment))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return  # timed out, or not an answer of qcfeed


class _Services:
    """Finds the service and requests from it, until the deadline."""

    def __init__(self, options: Mapping[str, str], environment: Mapping[str, str]) -> None:
        self._deadline = time.monotonic() + DEADLINE
        self._environment = environment
        self._config = options.get("config")
        self.directory = directories.runtime(environment)
        # A flag that names a service overrides all variables that do, not only its own.
        self._given = {name: options[name] for name in _SERVICE_OPTIONS if name in options} or {
            name: environment[variable]
            for name, variable in _SERVICE_OPTIONS.items()
            if variable in environment
        }

    def instances(self) -> Iterator[tuple[str, ControlConnection]]:
        """The instances that accept a connection, each with that connection."""
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
        """The answer of the service. Raises OSError or ValueError if there is none in time."""
        with self._service() as service:
            status, body = service.ask("GET", path, most=ANSWER_BYTES)
        if status != OK:
            raise ValueError(status)
        try:
            return json.loads(body)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error

    def _service(self) -> ControlConnection:
        if not self._given and (current := self._current_context()):
            return self._remote("context", current)
        if not self._given:
            return self._only_one()
        [(name, value)] = self._given.items()
        if name == "instance":
            return self._connect(f"{self.directory}/{value}{directories.SUFFIX}")
        if name == "socket":
            return self._connect(value)
        return self._remote(name, value)

    def _remote(self, name: str, value: str) -> ControlConnection:
        """A connection to a context or URL. Slower: it imports the configuration of the commands."""
        from qcfeed.control.paths import resolve
        from qcfeed.errors import QcfeedError

        try:
            if name == "url":
                address = resolve(None, None, value, self._environment)
            else:
                context = self.contexts()[value]
                address = resolve(
                    context.instance, context.path("socket"), context.url, self._environment,
                    token_file=context.path("token_file"),
                )  # fmt: skip
        except QcfeedError as error:
            raise ValueError(error) from error
        return self._connect(address.where, address.token)

    def contexts(self) -> dict[str, Context]:
        """The contexts of the configuration file. Raises ValueError if it is invalid."""
        from qcfeed import files
        from qcfeed.config import contexts
        from qcfeed.errors import QcfeedError

        try:
            file = files.expand(self._config) if self._config else None
            return contexts.read(environment=self._environment, file=file)
        except (OSError, QcfeedError) as error:
            raise ValueError(error) from error

    def _current_context(self) -> str | None:
        """The context that commands use if none is named. Raises ValueError if the file is invalid."""
        from qcfeed.cli import current_context

        if not current_context.mentioned(self._config or None):
            return None
        from qcfeed.errors import QcfeedError  # slow to import

        try:
            return current_context.named(self._config or None)
        except QcfeedError as error:
            raise ValueError(error) from error

    def _only_one(self) -> ControlConnection:
        running = [service for _, service in self.instances()]
        if len(running) != 1:
            for each in running:
                each.close()
            raise ValueError(running)
        return running[0]

    def _connect(self, where: Where, token: str | None = None) -> ControlConnection:
        """Raises OSError, also for a socket of another user."""
        service = ControlConnection(where, self._deadline, token)
        try:
            service.connect()
        except OSError:
            service.close()
            raise
        return service


_SERVICE_OPTIONS = {
    "context": "QCFEED_CONTEXT",
    "instance": "QCFEED_INSTANCE",
    "socket": "QCFEED_SOCKET",
    "url": "QCFEED_URL",
}


def _contexts(services: _Services) -> Values:
    for name, context in services.contexts().items():
        yield name, context.service


def _instances(services: _Services) -> Values:
    for name, service in services.instances():
        service.close()
        yield name, ""


def _drills(_: _Services) -> Values:
    """The drills of this version: the same for every service, also if several run, or none."""
    from qcfeed.drills.catalog import DRILLS

    for each in DRILLS:
        yield each.name, each.breaks


def _feeds(services: _Services) -> Values:
    for feed in services.ask("/v1/feeds")["feeds"]:
        yield (
            feed["symbol"],
            f"{formats.plural(feed['subscriber_count'], 'subscriber')}, {feed['band']}",
        )


def _locations(services: _Services) -> Values:
    live: dict[str, int] = {}
    orphaned: dict[str, int] = {}
    for row in services.ask("/v1/tasks/by-location")["locations"]:
        for place in places(row["location"]):
            live[place] = live.get(place, 0) + row["live"]
            orphaned[place] = orphaned.get(place, 0) + row["orphaned"]
    for place, number in live.items():
        orphans = f", {orphaned[place]:,} orphaned" if orphaned[place] else ""
        yield place, f"{number:,} live{orphans}"


def _runbooks(_: _Services) -> Values:
    for name in shipped.runbooks():
        yield name, ""


def _symbols(services: _Services) -> Values:
    for symbol in services.ask("/v1/symbols")["symbols"]:
        yield symbol, ""


def _serials(services: _Services) -> Values:
    for task in services.ask(f"/v1/tasks?limit={ROWS}")["tasks"]:
        yield (
            str(task["serial"]),
            f"{formats.age(task['age_s'])} {task['location']} {task['state']}",
        )


def _subscribers(services: _Services) -> Values:
    for each in services.ask(f"/v1/subscribers?limit={ROWS}")["subscribers"]:
        lag = f", {each['lag']:,} behind" if each["lag"] else ""
        yield str(each["id"]), f"{each['peer']} {' '.join(each['symbols'][:3])}{lag}"


_KINDS: dict[str, Callable[[_Services], Values]] = {
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
