"""One rehearsal: start a drill, wait for its alerts, and wait until the runbook's Verification holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from qcfeed import runbook_commands, shipped
from qcfeed.drills.catalog import FEEDER, STANDBY, WORKER, ConfiguredDrill
from qcfeed.drills.rehearsal import pager
from qcfeed.drills.rehearsal.audit_entries import AuditEntry, audit_entries
from qcfeed.drills.rehearsal.pager import Notification, Pager
from qcfeed.drills.rehearsal.processes import AUDIT_LOG, Processes
from qcfeed.errors import StartError, TimedOutError, UsageError
from qcfeed.runbook_pages import Step, difference, steps, symptoms

FIRES_WITHIN = 180.0
"""Seconds for the first alert to fire, with the shortened rules."""
READY_WITHIN = 60.0
"""Seconds until Prometheus has scraped the service and no alert is active; the first scrape takes 6."""
RESOLVES_WITHIN = 120.0
"""Seconds for all alerts to resolve, once the runbooks' Verification holds."""
SELF_HEALED_AFTER = 30.0
"""Seconds for which Verification must hold before a fault counts as ended by itself."""
_POLL_INTERVAL = 1.0
COMMAND_TIMEOUT = 60.0
_MAX_DRILL_DURATION = 86_400.0

SERVICE = (
    "--allow-drills", "--no-monitor", "--linger", "1",
    "--ping-interval", "5",
    "--stale-after", "2", "--very-stale-after", "4", "--dead-after", "6",
)  # fmt: skip
"""Options of the service, with times short enough to wait for."""
EMBEDDED = "sim:?rate=20"
"""The upstream of a service that is in no cluster."""
SUBSCRIBED = ("AAPL", "MSFT")
"""The symbols of the rehearsal's subscriber."""


class TimelineEntry(NamedTuple):
    """One event of the rehearsal. ``at``: seconds since the fault, None if before it.

    ``took``: the duration in seconds, if the event has one.
    """

    what: str
    at: float | None
    took: float | None = None


class GameDay:
    """One rehearsal of ``drill``. ``say`` prints a message for the trainee."""

    def __init__(
        self, processes: Processes, drill: ConfiguredDrill, say: Callable[[str], None]
    ) -> None:
        self._processes = processes
        self._drill = drill
        self._say = say
        self._started_at: tuple[float, float] | None = None
        self.alerts = list(drill.spec.alerts)
        self.pages: list[str] = []
        """Runbooks whose Verification must hold: of the alerts that fired, or the drill's own."""
        self.prometheus: str | None = None
        self.pager = Pager(self.alerts)
        self.log: list[TimelineEntry] = []
        self._mitigated_pages: set[str] = set()
        self._verified_since: float | None = None

    # ------------------------------------------------------------ before

    def prepare(self) -> None:
        """Start everything, and wait until no alert is active, so later alerts are the drill's.

        Raises TimedOutError, and UsageError for a drill that has no rehearsal.
        """
        if self._drill.spec.role == WORKER:
            raise UsageError(
                f"{self._drill} is a drill of one worker, which is not rehearsed in a service of its own",
                hint="`qcfeed --instance NAME-1 drill start` starts it in one of `serve --workers 2 --allow-drills`",
            )
        began = time.monotonic()
        where = self._start_service()
        self._processes.subscriber(*SUBSCRIBED)
        self.prometheus = self._processes.monitoring(where, self.alerts)
        while not self._is_ready():
            if time.monotonic() - began > READY_WITHIN:
                raise TimedOutError(f"the rehearsal was not ready within {READY_WITHIN:g} s")
            time.sleep(_POLL_INTERVAL / 4)
        self._record("everything started", began)

    def _start_service(self) -> Sequence[str]:
        """Start the service that the drill breaks; returns HOST:PORT of all that Prometheus scrapes."""
        role = self._drill.spec.role
        if role in (FEEDER, STANDBY):
            return self._processes.feeder(standby=role == STANDBY)
        upstream = self._processes.cluster() if role else EMBEDDED
        return (self._processes.service(*SERVICE, "--upstream", upstream),)

    def start_drill(self, within: float) -> None:
        """Start the drill, for longer than the trainee's ``within`` seconds.

        Raises StartError with the command's output if the drill does not start.
        """
        duration = min(within + FIRES_WITHIN + RESOLVES_WITHIN, _MAX_DRILL_DURATION)
        output = self.run_command(f"qcfeed drill start {self._drill} --for {duration:.0f}s")
        if "ends in" not in output:
            raise StartError(output.strip())
        self.start_clock()

    def start_clock(self) -> None:
        """The fault starts now: times and audit entries count from here."""
        self._started_at = time.monotonic(), time.time()

    def wait_for_first_alert(self) -> list[Notification]:
        """Wait for the drill's first alert and return the alerts that fired.

        Without Prometheus, or for a drill without alerts, wait until the symptom shows and return none.
        Raises TimedOutError.
        """
        if self.prometheus is None or not self.alerts:
            self.pages = self.alerts[:1] or [self._drill.spec.name]
            self._wait_for_symptom()
            return []
        while self.elapsed < FIRES_WITHIN:
            fired = self._new_alerts()
            if self.pages:
                return fired
            time.sleep(_POLL_INTERVAL)
        raise TimedOutError(
            f"none of {', '.join(self.alerts)} fired within {FIRES_WITHIN:g} s",
            hint="is the machine very busy? `qcfeed drill start` runs the drill without Prometheus",
        )

    def _wait_for_symptom(self) -> None:
        """Wait until the Diagnosis commands of the runbook print what the runbook shows."""
        while (failing := self._first_difference(self.pages[0], "Diagnosis")) is not None:
            if self.elapsed > FIRES_WITHIN:
                raise TimedOutError(f"no symptom within {FIRES_WITHIN:g} s: {failing}")
            time.sleep(_POLL_INTERVAL)
        self._record(f"the symptom of {self.pages[0]} shows", None)

    # ------------------------------------------------------------ until it is resolved

    def wait_until_resolved(
        self, within: float, *, on_alert: Callable[[Notification], None], automatic: bool
    ) -> None:
        """Wait until each runbook's Verification holds and the alerts are resolved.

        ``automatic``: run each runbook's Mitigation. ``on_alert`` is called for each further alert.
        Raises TimedOutError with what still fails.
        """
        deadline = self.elapsed + within
        while True:
            for alert in self._new_alerts():
                on_alert(alert)
            self._restart_service()
            if automatic:
                self._follow_pages()
            failing = self._failing_step()
            self._verified_since = (
                (self._verified_since or self.elapsed) if failing is None else None
            )
            if self._is_resolved():
                self.log.append(
                    TimelineEntry("the runbooks' Verification holds", self._verified_since)
                )
                return
            if self.elapsed > deadline + (RESOLVES_WITHIN if failing is None else 0.0):
                still = failing or f"{', '.join(self.pager.firing)} still firing"
                raise TimedOutError(f"not resolved within {within:g} s: {still}")
            time.sleep(_POLL_INTERVAL)

    def _is_resolved(self) -> bool:
        """Whether the fault is over. If nobody acted it may only pause, so it is watched for longer."""
        if self._verified_since is None or self.pager.firing:
            return False
        return self.mitigated or self.elapsed - self._verified_since > SELF_HEALED_AFTER

    def actions(self) -> list[AuditEntry]:
        """The actions taken on the service since the start of the drill."""
        log = self._processes.directory / AUDIT_LOG
        if self._started_at is None or not log.exists():
            return []
        return audit_entries(log.read_text(encoding="utf-8").splitlines(), self._started_at[1])

    @property
    def mitigated(self) -> bool:
        """Whether somebody acted; otherwise the fault ended by itself."""
        return self._processes.restarts > 0 or any(
            entry.by_operator and entry.outcome != "not_begun" for entry in self.actions()
        )

    @property
    def timeline(self) -> list[TimelineEntry]:
        """All events in order."""
        if self._started_at is None:
            return self.log
        broke = self._started_at[1]
        done = [
            TimelineEntry(f"{entry.action}, by {entry.who}: {entry.outcome}", entry.at - broke)
            for entry in self.actions()
        ]
        alerts = [
            each for alert in self.pager.notifications.values() for each in _alert_entries(alert)
        ]
        every = [*self.log, *done, *alerts]
        return sorted(every, key=lambda each: -1.0 if each.at is None else each.at)

    @property
    def elapsed(self) -> float:
        """Seconds since the start of the drill; 0 before it."""
        return 0.0 if self._started_at is None else time.monotonic() - self._started_at[0]

    @property
    def symptom(self) -> str:
        """The symptom as a user would describe it, from the index of the runbooks."""
        index = Path(shipped.directory("runbooks"), "index.md").read_text(encoding="utf-8")
        return symptoms(index)[self.pages[0]]

    def run_command(self, command: str) -> str:
        """Run a runbook's command; returns its stdout and stderr, as on a terminal."""
        return runbook_commands.run(
            command,
            timeout=COMMAND_TIMEOUT,
            environment=self._processes.environment,
            directory=self._processes.directory,
        ).output

    # ------------------------------------------------------------ steps

    def _is_ready(self) -> bool:
        """Whether the subscriber is subscribed, and Prometheus has scraped a healthy service."""
        if self.prometheus is not None and not pager.is_ready(self.prometheus):
            return False
        # Of the gateway: a standby, for one, has no feeds.
        listed = self.run_command(f"qcfeed --instance {self._processes.gateway} feeds -o name")
        return listed.split() == list(SUBSCRIBED)

    def _new_alerts(self) -> list[Notification]:
        """Alerts that have fired for the first time since the last call."""
        active = None if self.prometheus is None else pager.fetch(self.prometheus)
        fired = [] if active is None else self.pager.update(active, self.elapsed)
        self.pages += [each.name for each in fired if each.name in self.alerts]
        return fired

    def _restart_service(self) -> None:
        if (status := self._processes.restart_if_ended()) is not None:
            self._say(f"the service exited ({status}) and was restarted, as systemd would")
            self._record("the service exited and was restarted", None)

    def _follow_pages(self) -> None:
        """Run the Mitigation of each runbook that has not been run yet."""
        for page in [each for each in self.pages if each not in self._mitigated_pages]:
            self._mitigated_pages.add(page)
            self._mitigate(page)

    def _mitigate(self, page: str) -> None:
        began = time.monotonic()
        for step in _steps(page, "Mitigation"):
            self._say(f"$ {step.command}\n{self.run_command(step.command).rstrip()}")
        self._record(f"ran the Mitigation of {page}", began)

    def _failing_step(self) -> str | None:
        found = (self._first_difference(page, "Verification") for page in self.pages)
        return next(filter(None, found), None)

    def _first_difference(self, page: str, section: str) -> str | None:
        """The first command of a section whose output differs from the runbook, with the difference."""
        for step in _steps(page, section):
            found = difference(step.expected, self.run_command(step.command))
            if found is not None:
                return f"{step.command}\n{found}"
        return None

    def _record(self, what: str, began: float | None) -> None:
        at = None if self._started_at is None else self.elapsed
        self.log.append(
            TimelineEntry(what, at, None if began is None else time.monotonic() - began)
        )


def _alert_entries(alert: Notification) -> Iterator[TimelineEntry]:
    yield TimelineEntry(f"{alert.name} fired", alert.fired)
    if alert.resolved is not None:
        again = "" if alert.times == 1 else f"; it fired {alert.times} times"
        yield TimelineEntry(f"{alert.name} resolved{again}", alert.resolved)


def _steps(page: str, section: str) -> list[Step]:
    text = Path(shipped.directory("runbooks"), f"{page}.md").read_text(encoding="utf-8")
    return [step for step in steps(text) if step.section == section]
