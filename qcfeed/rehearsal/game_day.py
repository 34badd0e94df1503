"""What happens in a rehearsal, in order, and how long each step took."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from qcfeed import shipped
from qcfeed.errors import StartError, TimedOutError, UsageError
from qcfeed.metrics.catalog.alerts import ALERTS, Alert
from qcfeed.pages import Step, difference, steps
from qcfeed.rehearsal.crew import QCFEED, Crew

FIRES_WITHIN = 180.0
"""Seconds for the alert to fire, by the shortened rules."""
_LOOK_EVERY = 1.0
_TYPED_WITHIN = 60.0

SERVICE = (
    "--allow-drills", "--no-monitor", "--upstream", "sim:?rate=20", "--linger", "1",
    "--send-buffer", "4608",
    "--stale-after", "2", "--very-stale-after", "4", "--dead-after", "6",
)  # fmt: skip
"""Times short enough to wait for."""


class Took(NamedTuple):
    """One step, and its seconds."""

    step: str
    seconds: float


class GameDay:
    """One rehearsal of ``drill``, ``NAME`` or ``NAME=N``. ``say``: to the trainee."""

    def __init__(self, crew: Crew, drill: str, say: Callable[[str], None]) -> None:
        self._crew = crew
        self._drill = drill
        self._say = say
        self._steps: list[Step] = []
        self.took: list[Took] = []

    def prepare(self) -> tuple[Alert, str | None]:
        """Start everything; the alert that is rehearsed, and where Prometheus is, if there is one.

        Raises UsageError for a drill that there is not, or that no alert is for.
        """
        began = time.monotonic()
        where = self._crew.service(*SERVICE)
        self.alert = self._find_alert()
        page = Path(shipped.directory("runbooks"), self.alert.runbook)
        self._steps = steps(page.read_text(encoding="utf-8"))
        self._crew.subscriber("AAPL", "MSFT")
        prometheus = self._crew.monitoring(where)
        self._note("everything started", began)
        return self.alert, prometheus

    def break_it(self) -> None:
        """Start the drill. Raises StartError with what the service said against it."""
        said = self.type_it(f"qcfeed drill start {shlex.quote(self._drill)} --for 1h")
        if "ends in" not in said:
            raise StartError(said.strip())

    def wait_for_the_alert(self, prometheus: str) -> dict[str, str]:
        """What the person on call is sent. Raises TimedOutError when nothing fires."""
        began = time.monotonic()
        while time.monotonic() - began < FIRES_WITHIN:
            for alert in _alerts(prometheus):
                if alert["labels"]["alertname"] == self.alert.name and alert["state"] == "firing":
                    self._note(f"{self.alert.name} fired", began)
                    return dict(alert["annotations"])
            time.sleep(_LOOK_EVERY)
        raise TimedOutError(
            f"{self.alert.name} did not fire within {FIRES_WITHIN:g} s",
            hint="is the machine very busy? `qcfeed drill start` shows the same without Prometheus",
        )

    def mitigate(self) -> None:
        """Type what the page says under Mitigation."""
        began = time.monotonic()
        for step in self._of("Mitigation"):
            self._say(f"$ {step.command}\n{self.type_it(step.command).rstrip()}")
        self._note("mitigated, as the page says", began)

    def wait_until_verified(self, within: float, step: str) -> None:
        """Until the page's Verification holds. Raises TimedOutError, with what it still shows."""
        began = time.monotonic()
        wrong = self._wrong()
        while wrong is not None:
            if time.monotonic() - began > within:
                raise TimedOutError(f"not verified within {within:g} s: {wrong}")
            time.sleep(_LOOK_EVERY)
            wrong = self._wrong()
        self._note(step, began)

    def type_it(self, command: str) -> str:
        """What a command of the page prints, stdout and stderr as on a terminal."""
        home = self._crew.directory
        try:
            typed = subprocess.run(  # noqa: S602 - a page's commands are a shell's, and shipped
                command.replace("qcfeed", shlex.join(QCFEED), 1),
                shell=True,
                env=self._crew.environment,
                cwd=home,
                text=True,
                timeout=_TYPED_WITHIN,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"no answer within {_TYPED_WITHIN:g} s"
        return typed.stdout

    def _find_alert(self) -> Alert:
        listed = json.loads(self.type_it("qcfeed drill list -o json 2>/dev/null"))["drills"]
        wanted = self._drill.partition("=")[0]
        for drill in listed:
            if drill["name"] == wanted:
                found = [
                    alert for name in drill["alerts"] for alert in ALERTS if alert.name == name
                ]
                if found:
                    return found[0]
                raise UsageError(
                    f"no alert is for the drill {wanted}, so there is no page to rehearse",
                    hint=f"see it on a service of yours: `qcfeed drill start {wanted}`",
                )
        raise UsageError(
            f"there is no drill {wanted!r}",
            hint=f"one of {', '.join(drill['name'] for drill in listed)}",
        )

    def _wrong(self) -> str | None:
        for step in self._of("Verification"):
            found = difference(step.wanted, self.type_it(step.command))
            if found is not None:
                return f"{step.command}\n{found}"
        return None

    def _of(self, section: str) -> list[Step]:
        return [step for step in self._steps if step.section == section]

    def _note(self, step: str, began: float) -> None:
        self.took.append(Took(step, time.monotonic() - began))


def _alerts(prometheus: str) -> list[dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"{prometheus}/api/v1/alerts", timeout=5) as answer:  # noqa: S310
            found: list[dict[str, Any]] = json.load(answer)["data"]["alerts"]
            return found
    except OSError:
        return []
