"""Which finding explains which: a symptom is listed under its cause instead of beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qcfeed.diagnose import alerts, memory
from qcfeed.diagnose.evidence import Evidence
from qcfeed.model.diagnosis import DiagnosisFinding, Symptom

Relation = Callable[[Evidence, DiagnosisFinding, DiagnosisFinding], bool]

WAKE_UP_S = 100e-6
"""The longest that waking one task is assumed to take, in seconds."""
LEAK_SHARE = 0.25
"""A leak explains memory, or its growth, if it accounts for at least this share of it."""


def _always(_: Evidence, __: DiagnosisFinding, ___: DiagnosisFinding) -> bool:
    return True


def _same_location(_: Evidence, cause: DiagnosisFinding, symptom: DiagnosisFinding) -> bool:
    return cause.location == symptom.location


def _while_stuck(evidence: Evidence, _: DiagnosisFinding, __: DiagnosisFinding) -> bool:
    return bool(evidence.stuck_s)


def _short_stall_by_its_tasks(
    evidence: Evidence, cause: DiagnosisFinding, symptom: DiagnosisFinding
) -> bool:
    """Whether a short stall comes from the leaked tasks.

    Tens of thousands of tasks that wake at once stall the loop briefly. A long stall is a cause of its
    own, even inside one of those tasks. So is a stall that is too long for their number.
    """
    short = symptom.is_suspected and not evidence.stuck_s
    return short and any(
        stall.location == cause.location
        and stall.place.startswith(f"{symptom.location} ")
        and (stall.worst_s or 0.0) <= cause.count * WAKE_UP_S
        for stall in evidence.ledger_findings("blocked_loop")
    )


def _fills_memory(evidence: Evidence, cause: DiagnosisFinding, _: DiagnosisFinding) -> bool:
    """Whether the leaked tasks take enough memory: all of them together, or the new ones per second."""
    resident, grows = evidence.memory, memory.fastest_growth(evidence)
    if resident is not None and (
        cause.count * memory.TASK_BYTES >= LEAK_SHARE * resident.resident_bytes
    ):
        return True
    added = memory.tasks_bytes_per_s((cause.per_minute or 0.0) / 60)
    return grows is not None and added >= LEAK_SHARE * grows.bytes_per_s


RELATIONS: dict[tuple[str, str], Relation] = {
    ("zombies", "memory_growth"): _fills_memory,
    ("zombies", "memory_level"): _fills_memory,
    ("never_ending", "memory_growth"): _fills_memory,
    ("never_ending", "memory_level"): _fills_memory,
    ("never_ending", "growing"): _same_location,
    ("never_ending", "abandoned_future"): _same_location,
    ("memory_growth", "memory_level"): _always,
    ("memory_growth", "growing"): _always,
    ("zombies", "growing"): _same_location,
    ("zombies", "blocked_loop"): _short_stall_by_its_tasks,
    ("blocked_loop", "own_lag"): _always,
    ("blocked_loop", "upstream"): _while_stuck,
    ("blocked_loop", "stale_symbols"): _while_stuck,
    ("blocked_loop", "slow_subscribers"): _while_stuck,
    ("blocked_loop", "growing"): _while_stuck,
    ("upstream", "exceptions_never_retrieved"): _always,
    ("unstable_broker", "upstream"): _always,
    ("unstable_broker", "stale_symbols"): _always,
    ("interest_without_feed", "upstream"): _always,
    ("interest_without_feed", "stale_symbols"): _always,
    ("incomplete_ledger", "untracked_tasks"): _always,
    **{(rule, alert): _always for alert, rules in alerts.EXPLAINED_BY.items() for rule in rules},
}
"""(rule of the cause, rule of the symptom) -> whether the first explains the second."""


def arrange(evidence: Evidence, findings: Sequence[DiagnosisFinding]) -> list[DiagnosisFinding]:
    """Causes, the most urgent first, each with the symptoms that it explains.

    A suspected finding explains nothing. A cause takes over the shortest time to the memory limit from its
    symptoms.
    """
    ranked = sorted(findings, key=lambda each: (each.is_suspected, -each.urgency, -each.count))
    # The most urgent cause chooses first: a symptom is listed under one cause only.
    explained: set[int] = set()
    for cause in ranked:
        if cause.is_suspected or id(cause) in explained:
            continue
        for symptom in ranked:
            if id(symptom) not in explained and _explains(evidence, cause, symptom):
                explained.add(id(symptom))
                _attach(cause, symptom)
    return [each for each in ranked if id(each) not in explained]


def _explains(evidence: Evidence, cause: DiagnosisFinding, symptom: DiagnosisFinding) -> bool:
    relation = RELATIONS.get((cause.rule, symptom.rule))
    return symptom is not cause and relation is not None and relation(evidence, cause, symptom)


def _attach(cause: DiagnosisFinding, symptom: DiagnosisFinding) -> None:
    cause.symptoms += [Symptom(rule=symptom.rule, summary=symptom.cause), *symptom.symptoms]
    known = [each for each in (cause.left_s, symptom.left_s) if each is not None]
    cause.left_s = min(known, default=None)
    most = [each.left_most_s or each.left_s for each in (cause, symptom)]
    cause.left_most_s = max((each for each in most if each is not None), default=None)
