"""The incident report's sections: findings first, then the order of the incident report of 2024-03-20."""

from __future__ import annotations

from collections.abc import Iterator

from qcfeed.diagnose.report import memory_section, task_sections, time_sections
from qcfeed.diagnose.report.blocks import Block, Code, Facts, Grid, Heading, Items, Paragraph
from qcfeed.diagnose.report.material import Material
from qcfeed.diagnose.verdict import headline
from qcfeed.formats import age, clock, count, if_any, plural, size, time_left
from qcfeed.model.diagnosis import DiagnosisFinding

MAX_ROWS = 20
"""Rows of a table in the report; the bundle has all rows."""
LOG_LINES = 60
CRITICAL = 75
"""Urgency from which a finding is critical."""


def blocks(material: Material) -> list[Block]:
    """The whole report. Cost: O(rows)."""
    sections = (
        _head,
        _findings,
        _details,
        time_sections.timeline,
        task_sections.growth,
        memory_section.made_of,
        _subscriptions,
        _staleness,
        task_sections.dump,
        _log,
        _actions,
        task_sections.stacks,
        _config,
        _left_out,
    )
    return [block for section in sections for block in section(material)]


def _head(material: Material) -> Iterator[Block]:
    found = material.diagnosis.findings
    worst = found[0].urgency if found else 0
    severity = "Critical" if worst >= CRITICAL else "Warning" if found else "None"
    yield Heading(material.diagnosis.headline, 1)
    status = material.evidence.status
    facts = [
        ("Severity", severity),
        ("Taken", _utc(material.diagnosis.taken_at)),
        (
            "Service",
            f"instance {material.diagnosis.instance}, pid {material.diagnosis.pid}, on {material.host}",
        ),
    ]
    if status is not None:
        facts.append(("Upstream", status.upstream))
        facts.append(("Up", f"{age(status.uptime_s)}, since {_utc(status.started_at)}"))
    if material.why:
        facts.append(("Saved by itself", material.why))
    if material.diagnosis.drill:
        facts.append(
            ("Drill", f"{material.diagnosis.drill} is active: a fault was injected on purpose")
        )
    yield Facts([*facts, ("Written by", f"qcfeed {material.version} report")])


def _details(material: Material) -> Iterator[Block]:
    yield Heading("Alert details")
    totals, memory = material.evidence.after.totals, material.evidence.memory
    lines = []
    if memory is not None:
        share = memory.resident_bytes / max(1, memory.limit_bytes)
        lines.append(
            f"Memory usage:    {size(memory.resident_bytes)} / {size(memory.limit_bytes)}"
            f" ({share:.2%}, limit by {memory.limit_source})"
        )
    left = [each.left_s for each in material.diagnosis.findings if each.left_s is not None]
    lines.append(f"Projected limit: {time_left(min(left)) if left else 'not approaching'}")
    ended = totals.finished + totals.cancelled + totals.failed + totals.destroyed
    lines += [
        f"Active tasks:    {count(totals.live)} ({count(totals.untracked)} untracked in addition)",
        f"Spawned:         {count(totals.spawned)}",
        f"Completed:       {count(ended)} ({count(totals.failed)} failed)",
        f"Orphaned:        {count(totals.orphaned)}",
    ]
    yield Code("\n".join(lines))
    yield from time_sections.windows(material.evidence)
    if material.evidence.alerts:
        yield Grid(
            ("Alert", "State", "For", "Summary"),
            [
                (a.name, a.state, age(max(0.0, a.active_s)), a.summary)
                for a in material.evidence.alerts
            ],
        )


def _subscriptions(material: Material) -> Iterator[Block]:
    yield Heading("Subscriptions")
    status = material.evidence.status
    if status is None:
        yield Paragraph("This program uses attach(); it has no feeds and no subscribers.")
        return
    served = [each for each in material.evidence.feeds if each.subscriber_count]
    yield Facts(
        [
            (
                "Active",
                f"{count(status.subscriptions)} over {plural(status.connections, 'connection')}",
            ),
            ("Symbols with subscribers", count(len(served))),
            ("Subscribers per symbol", f"{status.subscriptions / max(1, len(served)):.1f}"),
            ("Orphaned (no reader)", count(status.orphaned_subscriptions)),
            (
                "Feeds",
                ", ".join(f"{count(n)} {s}" for s, n in status.feeds_by_state.items()) or "none",
            ),
        ]
    )


def _staleness(material: Material) -> Iterator[Block]:
    if material.evidence.status is None:
        return
    yield Heading("Quote staleness")
    bands = material.evidence.status.staleness
    yield Paragraph(
        f"{count(bands.live)} live, {if_any(bands.no_quote, 'waiting')}{count(bands.stale)} stale, {count(bands.very_stale)} very stale,"
        f" {count(bands.dead)} dead."
    )
    stale = [
        each for each in material.evidence.feeds if each.band != "live" and each.demand == "wanted"
    ]
    stale.sort(key=lambda each: -(each.age_s or 0.0))
    if stale:
        yield Grid(
            ("Symbol", "Last quote", "Staleness", "Status", "Why"),
            [
                (
                    each.symbol,
                    clock(each.last_quote_at) if each.last_quote_at else "never",
                    "-" if each.age_s is None else age(each.age_s),
                    each.band.replace("_", " ").upper(),
                    each.failure or (each.reason or "-").replace("_", " "),
                )
                for each in stale[:MAX_ROWS]
            ],
        )
        yield from _more(len(stale), "symbol")


def _log(material: Material) -> Iterator[Block]:
    yield Heading("Log excerpt")
    if material.log is None:
        yield Paragraph("The control plane keeps no log of this program.")
        return
    lines = material.log.lines[-LOG_LINES:]
    if not lines:
        yield Paragraph("The log is empty.")
        return
    yield Code(
        "\n".join(
            f"{each.at} {each.level:<7} {each.logger}: {each.message}"
            + (
                f"   ({count(each.repeated)} times, until {each.last_at})"
                if each.repeated > 1
                else ""
            )
            for each in lines
        )
    )
    older = material.log.dropped_lines + len(material.log.lines) - len(lines)
    if older:
        yield Paragraph(f"{plural(older, 'older line')} left out.")


def _findings(material: Material) -> Iterator[Block]:
    yield Heading("Findings")
    if not material.diagnosis.findings:
        yield Paragraph("No problem found.")
    for number, finding in enumerate(material.diagnosis.findings, 1):
        yield from _finding(number, finding)
    if material.diagnosis.to_recheck:
        yield Heading("Warnings", 3)
        yield Items([headline(each) for each in material.diagnosis.to_recheck])
    yield Heading("Checked", 3)
    yield Facts([(each.subject, each.result) for each in material.diagnosis.checks])


def _finding(number: int, found: DiagnosisFinding) -> Iterator[Block]:
    yield Heading(f"{number}. {headline(found)}", 3)
    yield Paragraph(f"{found.cause[0].upper()}{found.cause[1:]}.")
    facts = []
    if found.location:
        facts.append(("Line", f"{found.location}  {found.source}".rstrip()))
    if found.began_s is not None:
        facts.append(("Began", f"{age(found.began_s)} before this report"))
    if found.left_s is not None:
        facts.append(("Left", time_left(found.left_s, found.left_most_s)))
    yield Facts([*facts, ("Safe", found.safe)])
    yield Items([*found.evidence, *(f"explains: {each.summary}" for each in found.symptoms)])
    yield Code("\n".join(found.next))


def _actions(material: Material) -> Iterator[Block]:
    yield Heading("Actions taken")
    entries = material.actions.entries if material.actions is not None else []
    if not entries:
        yield Paragraph(
            "No action is recorded."
            if material.actions is not None
            else "The audit log was not available."
        )
        return
    yield Grid(
        ("Time (UTC)", "Action", "Event", "Who", "Detail"),
        [
            (
                clock(str(each.get("at", ""))),
                str(each.get("action", "")),
                str(each.get("outcome", each.get("event", ""))),
                who(each.get("who")),
                detail(each),
            )
            for each in entries[-MAX_ROWS:]
        ],
    )
    yield from _more(len(entries), "entry", "entries")


def who(caller: object) -> str:
    """Who caused an entry of the audit log: the user's name, else the uid, else the transport."""
    if not isinstance(caller, dict):
        return "-"
    return str(caller.get("user") or caller.get("uid") or caller.get("via") or "-")


def detail(entry: dict[str, object]) -> str:
    """What an entry of the audit log says beyond its outcome, in one line."""
    extra = entry.get("after") or entry.get("request") or entry.get("error") or ""
    if isinstance(extra, dict):
        shown = {
            key: value
            for key, value in extra.items()
            if value is not None and key != "schema" and not isinstance(value, list | dict)
        }
        extra = ", ".join(f"{key} {value}" for key, value in shown.items())
    return str(extra)[:200]


def _config(material: Material) -> Iterator[Block]:
    if material.config is None:
        return
    yield Heading("Configuration")
    yield Paragraph("Options that differ from the default; secrets are redacted.")
    changed = [each for each in material.config.settings if not each.default]
    yield Facts([(each.name, str(each.value)) for each in changed] or [("all", "default")])


def _left_out(material: Material) -> Iterator[Block]:
    yield Heading("Not included")
    missing = [*material.diagnosis.skipped, *material.dropped]
    yield Items(missing) if missing else Paragraph("Nothing was left out.")


def _more(total: int, word: str, words: str = "") -> Iterator[Block]:
    if total > MAX_ROWS:
        rest = total - MAX_ROWS
        yield Paragraph(
            f"{count(rest)} more {word if rest == 1 else words or word + 's'} left out."
        )


def _utc(timestamp: str) -> str:
    return timestamp[:19].replace("T", " ") + " UTC" if timestamp else "-"
