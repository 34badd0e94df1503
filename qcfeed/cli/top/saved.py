"""``qcfeed top --from FILE``: the screen on a bundle, which does not change and cannot be acted on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from qcfeed.cli import saved_files, target
from qcfeed.cli.top.observer import Away, ListTarget, Observer, ServiceSnapshot
from qcfeed.control.routes import HISTORY, SUBSCRIBERS, TASKS_BY_LOCATION
from qcfeed.errors import NotFoundError, QcfeedError
from qcfeed.metrics.growth_answer import point
from qcfeed.model.answer import Answer
from qcfeed.model.diagnosis import Diagnosis
from qcfeed.model.history import History
from qcfeed.model.json_errors import JSON_ERRORS
from qcfeed.model.subscribers import Subscribers
from qcfeed.model.tasks import TasksByLocation
from qcfeed.observe.bundle import DIAGNOSIS
from qcfeed.observe.recent import RecentSnapshots
from qcfeed.observe.tracker import Tracked, health

AnyAnswer = TypeVar("AnyAnswer", bound=Answer)


class SavedAnswers:
    """A bundle, asked like a service. It is the target of suggested commands from now on."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.taken_at = ""
        """The time of the answer that was read last."""
        target.read_from(source, target.READERS)

    def get(self, path: str, answer_type: type[AnyAnswer], **params: object) -> AnyAnswer:
        """As ControlClient.get. Raises what saved_files.read does."""
        symbol = params.pop("symbol", "") if path == SUBSCRIBERS else ""
        answer, _ = saved_files.read(self.source, path, answer_type, **params)
        self.taken_at = answer.taken_at or self.taken_at
        if symbol and isinstance(answer, Subscribers):
            answer.subscribers = [each for each in answer.subscribers if symbol in each.symbols]
            answer.total = len(answer.subscribers)
        return answer

    def part(self, path: str, answer_type: type[AnyAnswer]) -> AnyAnswer | None:
        """The answer, or None if the bundle does not have it."""
        try:
            return self.get(path, answer_type)
        except NotFoundError:
            return None


@dataclass(slots=True)
class SavedObserver(Observer):
    """Shows what a bundle has. Raises on ``process_id`` if it lacks what the screen needs."""

    answers: SavedAnswers = field(kw_only=True)

    @property
    def reads(self) -> SavedAnswers:
        return self.answers

    @property
    def file(self) -> Path:
        return self.answers.source

    @property
    def taken_at(self) -> str:
        return self.answers.taken_at

    def refresh(self, wanted: ListTarget) -> ServiceSnapshot | Away:
        """As of the bundle. A part that it does not have, or in another version, is told as Away."""
        try:
            return self._refresh(wanted)
        except QcfeedError as error:
            return Away(error.message, error.hint or "", timed_out=False)

    def _tracked(self) -> Tracked:
        """The first and the last snapshot of tasks give the growth; the rest is as it was saved."""
        by_location = self.answers.get(TASKS_BY_LOCATION, TasksByLocation)
        recent = RecentSnapshots()
        for snapshot in (self._first(), by_location):
            if snapshot is not None:
                recent.add(snapshot)
        self._tracker.recent = recent
        process = self._tracker.process(self.answers)
        diagnosis = self.answers.part(DIAGNOSIS, Diagnosis)
        history = self.answers.part(HISTORY, History)
        points = [point(each) for each in history.points] if history is not None else []
        return Tracked(
            process=process,
            totals=recent.totals,
            per_minute=recent.per_minute,
            span_s=recent.seconds,
            restarts=0,
            stuck_s=0.0,
            stack=[],
            health=None
            if diagnosis is None
            else health(diagnosis, points, float(process.memory.limit_bytes)),
        )

    def _first(self) -> TasksByLocation | None:
        raw = saved_files.first_answer(self.file, TASKS_BY_LOCATION)
        try:
            return None if raw is None else msgspec.json.decode(raw, type=TasksByLocation)
        except JSON_ERRORS:
            return None
