"""The header of ``qcfeed --cluster top``: what is wrong, who owns each share, and the sums. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from qcfeed.cli.top.cluster_observer import ClusterSnapshot
from qcfeed.cli.top.header import HeaderLine, Space
from qcfeed.cli.top.observer import Away
from qcfeed.cli.ui.table import drop_by_rank
from qcfeed.formats import age, count, plural, printable
from qcfeed.model.cluster import ClusterStatus

SHARES_SHOWN = 4
"""Lines of shares; the rest is counted."""


def header(
    snapshot: ClusterSnapshot | None, away: Away | None, away_s: float, space: Space
) -> list[HeaderLine]:
    """The lines that fit into ``space``; ``away_s``: seconds since anybody last answered."""
    lines = drop_by_rank(
        _lines(snapshot, away, away_s),
        lambda line: line.rank,
        lambda kept: len(kept) <= space.height,
    )
    return [line._replace(text=printable(line.text)) for line in lines]


def _lines(
    snapshot: ClusterSnapshot | None, away: Away | None, away_s: float
) -> Iterator[HeaderLine]:
    if away is not None:
        yield HeaderLine(f"AWAY for {age(away_s)}: {away.message}; trying again", "red")
        if away.hint:
            yield HeaderLine(f"  {away.hint}", rank=2)
    if snapshot is None:
        return
    yield _verdict(snapshot, outdated=away is not None)
    for each in snapshot.silent:
        yield HeaderLine(f"NO ANSWER  {each.member}: {each.why}", "red", rank=1)
    yield HeaderLine(_sums(snapshot), rank=1)
    yield from _shares(snapshot)


def _verdict(snapshot: ClusterSnapshot, *, outdated: bool) -> HeaderLine:
    if snapshot.findings:
        first, more = snapshot.findings[0], len(snapshot.findings) - 1
        who = f" {first.member}:" if first.member else ""
        text = f"{first.rule.upper()} {who} {first.what}" + (
            f"  (and {more} more: 3)" if more else ""
        )
        return HeaderLine(text, "red")
    if snapshot.orphans:
        return HeaderLine(f"ORPHANS  {plural(len(snapshot.orphans), 'difference')}: 2", "red")
    if snapshot.silent:
        return HeaderLine("INCOMPLETE  not every instance answers", "red")
    if not snapshot.compared:
        return HeaderLine("collecting: orphans and findings need two looks", rank=1)
    if outdated:
        return HeaderLine("no findings when they last answered", rank=1)
    return HeaderLine("HEALTHY  feeds, leases, interest and subscribers agree", "green")


def _sums(snapshot: ClusterSnapshot) -> str:
    roles = Counter(row.of_status.role or "silent" for row in snapshot.rows)
    gateways = [row for row in snapshot.rows if row.of_status.role == "gateway"]
    subscribers = sum(row.status.subscriptions for row in gateways if row.status)
    rate = sum(row.quotes_per_s or 0.0 for row in gateways)
    who = ", ".join(plural(number, role) for role, number in roles.items() if role != "silent")
    return (
        f"{who or 'nobody'}; {plural(subscribers, 'subscription')},"
        f" {rate:,.1f} quotes/s; {plural(len(snapshot.orphans), 'orphan')}"
    )


def _shares(snapshot: ClusterSnapshot) -> Iterator[HeaderLine]:
    shares: defaultdict[str, list[tuple[str, ClusterStatus]]] = defaultdict(list)
    for row in snapshot.rows:
        part = None if row.status is None else row.status.cluster
        if part is not None and part.symbol_share is not None:
            shares[part.symbol_share].append((row.member, part))
    for share in sorted(shares)[:SHARES_SHOWN]:
        yield _share(share, shares[share])
    if len(shares) > SHARES_SHOWN:
        yield HeaderLine(f"and {count(len(shares) - SHARES_SHOWN)} more shares", rank=3)


def _share(share: str, feeders: list[tuple[str, ClusterStatus]]) -> HeaderLine:
    owners = [(name, part) for name, part in feeders if part.lease_epoch is not None]
    standbys = ", ".join(name for name, part in feeders if part.lease_epoch is None)
    owned = " AND ".join(f"{name}, epoch {part.lease_epoch}" for name, part in owners)
    text = f"share {share}  {owned or 'NO OWNER'}; {f'standby {standbys}' if standbys else 'no standby'}"
    colour = "red" if len(owners) != 1 else None if standbys else "yellow"
    return HeaderLine(text, colour, rank=2)
