"""Which cause explains which symptom: a symptom is told under its cause, not beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qcfeed.diagnose import alerts, memory
from qcfeed.diagnose.evidence import Evidence
from qcfeed.model.diagnosis import Finding, Symptom

Relation = Callable[[Evidence, Finding, Finding], bool]

SHARE = 0.25
"""Of the memory, or of its growth, that a leak must account for to be its cause."""


def _always(_: Evidence, __: Finding, ___: Finding) -> bool:
    return True


def _same_place(_: Evidence, cause: Finding, symptom: Finding) -> bool:
    return cause.location == symptom.location


def _goes_on(seen: Evidence, _: Finding, __: Finding) -> bool:
    return bool(seen.stuck_s)


def _by_its_tasks(seen: Evidence, cause: Finding, symptom: Finding) -> bool:
    """Tens of thousands that wake hold the loop up for a moment; one that blocks it is its own cause."""
    short = not symptom.proved and not seen.stuck_s
    return short and any(
        told.location == cause.location and told.place.startswith(f"{symptom.location} ")
        for told in seen.told("blocked_loop")
    )


def _fills_memory(seen: Evidence, cause: Finding, _: Finding) -> bool:
    """Whether the leaked tasks weigh enough: what is leaked so far, or what is added a second."""
    held, climbs = seen.memory, memory.climb(seen)
    if held is not None and cause.count * memory.TASK_BYTES >= SHARE * held.resident_bytes:
        return True
    added = memory.tasks_bytes_per_s((cause.per_minute or 0.0) / 60)
    return climbs is not None and added >= SHARE * climbs.bytes_per_s


RELATIONS: dict[tuple[str, str], Relation] = {
    ("zombies", "memory_growth"): _fills_memory,
    ("zombies", "memory_level"): _fills_memory,
    ("growing", "memory_growth"): _fills_memory,
    ("growing", "memory_level"): _fills_memory,
    ("memory_growth", "memory_level"): _always,
    ("zombies", "growing"): _same_place,
    ("zombies", "blocked_loop"): _by_its_tasks,
    ("blocked_loop", "own_lag"): _always,
    ("blocked_loop", "upstream"): _goes_on,
    ("blocked_loop", "stale_symbols"): _goes_on,
    ("blocked_loop", "slow_subscribers"): _goes_on,
    ("blocked_loop", "growing"): _goes_on,
    ("upstream", "exceptions_never_retrieved"): _always,
    ("incomplete_ledger", "untracked_tasks"): _always,
    **{(rule, alert): _always for alert, rules in alerts.EXPLAINED_BY.items() for rule in rules},
}
"""(cause, symptom) -> whether this one explains that one."""


def arrange(seen: Evidence, findings: Sequence[Finding]) -> list[Finding]:
    """Causes, the most urgent first, each with the symptoms that it explains.

    Only what is certain explains. A cause leaves as little time as the most pressing of its symptoms.
    """
    ranked = sorted(findings, key=lambda each: (not each.proved, -each.urgency, -each.count))
    explained: set[int] = set()
    for cause in ranked:
        if not cause.proved or id(cause) in explained:
            continue
        for symptom in ranked:
            if id(symptom) not in explained and _explains(seen, cause, symptom):
                explained.add(id(symptom))
                _take(cause, symptom)
    return [each for each in ranked if id(each) not in explained]


def _explains(seen: Evidence, cause: Finding, symptom: Finding) -> bool:
    relation = RELATIONS.get((cause.rule, symptom.rule))
    return symptom is not cause and relation is not None and relation(seen, cause, symptom)


def _take(cause: Finding, symptom: Finding) -> None:
    cause.symptoms += [Symptom(rule=symptom.rule, summary=symptom.cause), *symptom.symptoms]
    known = [each for each in (cause.left_s, symptom.left_s) if each is not None]
    cause.left_s = min(known, default=None)
