"""The pager of a rehearsal: the alerts of a Prometheus, as they fire and resolve."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_TIMEOUT = 5.0


@dataclass(slots=True)
class Notification:
    """One alert that has fired ``times`` times.

    ``fired`` (the first time) and ``resolved`` (the last time; None while it fires) are in seconds
    since the start of the drill.
    """

    name: str
    annotations: Mapping[str, str]
    fired: float
    resolved: float | None = None
    times: int = 1


@dataclass(slots=True)
class Pager:
    """Keeps track of the alerts that have fired. ``expected``: the alerts of the drill."""

    expected: Collection[str]
    notifications: dict[str, Notification] = field(default_factory=dict)

    def update(self, alerts: Iterable[Mapping[str, Any]], now: float) -> list[Notification]:
        """Update from Prometheus' alerts; return those that fire for the first time.

        ``now``: seconds since the start of the drill.
        """
        firing = {
            each["labels"]["alertname"]: each["annotations"]
            for each in alerts
            if each["state"] == "firing"
        }
        new = [
            Notification(name, annotations, now)
            for name, annotations in firing.items()
            if name not in self.notifications
        ]
        self.notifications |= {each.name: each for each in new}
        for each in self.notifications.values():
            if each.name not in firing:
                each.resolved = now if each.resolved is None else each.resolved
            elif each.resolved is not None:
                each.resolved, each.times = None, each.times + 1
        return new

    @property
    def firing(self) -> list[str]:
        """Alerts of the drill that are firing now."""
        return [
            each.name
            for each in self.notifications.values()
            if each.resolved is None and each.name in self.expected
        ]

    @property
    def missing(self) -> list[str]:
        """Alerts of the drill that have not fired."""
        return [name for name in self.expected if name not in self.notifications]


def fetch(prometheus: str) -> list[dict[str, Any]] | None:
    """The active alerts of a Prometheus; None if it does not answer."""
    data = _query(prometheus, "alerts")
    return None if data is None else data["alerts"]


def is_ready(prometheus: str) -> bool:
    """Whether Prometheus has scraped its target and no alert is active."""
    up = _query(prometheus, "query?query=up")
    return bool(up and up["result"]) and fetch(prometheus) == []


def _query(prometheus: str, path: str) -> Any:
    try:
        with urllib.request.urlopen(f"{prometheus}/api/v1/{path}", timeout=_TIMEOUT) as answer:  # noqa: S310
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        error.close()
        return None
    except OSError:
        return None
