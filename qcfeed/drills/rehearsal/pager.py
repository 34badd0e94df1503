"""What the person on call is sent: the alerts of a Prometheus, as they fire and are resolved."""

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
    """One alert that fired, ``times`` over. ``fired`` (first) and ``resolved`` (last) are seconds since the
    fault; None: it still fires."""

    name: str
    annotations: Mapping[str, str]
    fired: float
    resolved: float | None = None
    times: int = 1


@dataclass(slots=True)
class Pager:
    """Keeps which alerts fired; ``expected`` are those of the drill."""

    expected: Collection[str]
    notifications: dict[str, Notification] = field(default_factory=dict)

    def update(self, alerts: Iterable[Mapping[str, Any]], now: float) -> list[Notification]:
        """Take in what Prometheus says; those that fire for the first time. ``now``: seconds since the fault."""
        firing = {
            each["labels"]["alertname"]: each["annotations"]
            for each in alerts
            if each["state"] == "firing"
        }
        news = [
            Notification(name, told, now)
            for name, told in firing.items()
            if name not in self.notifications
        ]
        self.notifications |= {each.name: each for each in news}
        for each in self.notifications.values():
            if each.name not in firing:
                each.resolved = now if each.resolved is None else each.resolved
            elif each.resolved is not None:
                each.resolved, each.times = None, each.times + 1
        return news

    @property
    def firing(self) -> list[str]:
        """Alerts of the drill that fire now."""
        return [
            each.name
            for each in self.notifications.values()
            if each.resolved is None and each.name in self.expected
        ]

    @property
    def missing(self) -> list[str]:
        """Alerts of the drill that did not fire."""
        return [name for name in self.expected if name not in self.notifications]


def fetch(prometheus: str) -> list[dict[str, Any]] | None:
    """The alerts that it knows; None when it does not answer."""
    data = _query(prometheus, "alerts")
    return None if data is None else data["alerts"]


def is_ready(prometheus: str) -> bool:
    """Whether it has scraped its target, and nothing fires."""
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
