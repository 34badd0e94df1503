"""The lists of the status page: tasks by location, feeds and subscribers, what needs attention first. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from qcfeed.formats import NOTHING, age, clock, count, plural, printable, rate, signed, size
from qcfeed.model.feeds import Feeds, FeedStatus
from qcfeed.model.messages import Band
from qcfeed.model.status_page import PageCell, PageColumn, PageTable
from qcfeed.model.subscribers import Subscribers, SubscriberStatus
from qcfeed.observe.recent import LocationTrend
from qcfeed.observe.words import Tone

ROWS = 50
"""The most rows of a list; the rest is counted."""
SYMBOLS_SHOWN = 3
"""The number of symbols to name per subscriber."""

_AGES = {Band.DEAD: 0, Band.VERY_STALE: 1, Band.STALE: 2}
_BAND_TONES = {Band.DEAD: Tone.BAD, Band.VERY_STALE: Tone.BAD, Band.STALE: Tone.WATCH}


def _column(title: str, rank: int = 0, *, right: bool = False) -> PageColumn:
    return PageColumn(title=title, rank=rank, right=right)


def _cell(text: str, tone: Tone = Tone.PLAIN) -> PageCell:
    return PageCell(text=printable(text), tone=tone.value)


def _about(shown: int, total: int, word: str, order: str) -> str:
    part = f"{count(shown)} of {plural(total, word)}" if shown < total else plural(total, word)
    return f"{part}, {order}" if total else ""


# ------------------------------------------------------------ tasks by location


def locations(rows: Sequence[LocationTrend]) -> PageTable:
    """Orphans first, then what grows fastest."""
    ordered = sorted(rows, key=lambda row: (-row.orphaned, -(row.per_minute or 0.0), -row.live))
    return PageTable(
        about=_about(min(ROWS, len(rows)), len(rows), "location", "orphans and growth first"),
        empty="no live tasks",
        columns=[
            _column("location"),
            _column("live", right=True),
            _column("net/min", right=True),
            _column("trend", 2),
            _column("orphans", right=True),
            _column("oldest", 1, right=True),
            _column("note", 2),
        ],
        rows=[_location(row) for row in ordered[:ROWS]],
    )


def _location(row: LocationTrend) -> list[PageCell]:
    grows = Tone.WATCH if (row.per_minute or 0) > 0 else Tone.PLAIN
    tone = Tone.BAD if row.orphaned else grows
    return [
        _cell(row.location, tone),
        _cell(count(row.live)),
        _cell(NOTHING if row.per_minute is None else signed(row.per_minute), tone),
        PageCell(trend=list(row.trend)),
        _cell(count(row.orphaned), Tone.BAD if row.orphaned else Tone.PLAIN),
        _cell(NOTHING if row.oldest_s is None else age(row.oldest_s)),
        _cell(row.note),
    ]


# ------------------------------------------------------------ feeds


def feeds(answer: Feeds) -> PageTable:
    """The oldest quotes first, then the most subscribers."""
    ordered = sorted(
        answer.feeds,
        key=lambda feed: (_AGES.get(Band(feed.band), 3), -feed.subscriber_count, feed.symbol),
    )
    return PageTable(
        about=_about(min(ROWS, len(ordered)), answer.total, "feed", "stale ones first"),
        empty="no feeds: there are no subscribers",
        columns=[
            _column("symbol"),
            _column("status"),
            _column("staleness", right=True),
            _column("subscribers", right=True),
            _column("quotes/s", 1, right=True),
            _column("last quote", 2, right=True),
            _column("state", 2),
        ],
        rows=[_feed(feed) for feed in ordered[:ROWS]],
    )


def _feed(feed: FeedStatus) -> list[PageCell]:
    waiting = feed.last_quote_at is None and feed.band == Band.LIVE
    return [
        _cell(feed.symbol),
        _cell(
            "waiting" if waiting else feed.band.replace("_", " "),
            _BAND_TONES.get(Band(feed.band), Tone.PLAIN),
        ),
        _cell(NOTHING if feed.age_s is None else age(feed.age_s)),
        _cell(count(feed.subscriber_count)),
        _cell(rate(feed.quotes_per_s)),
        _cell(NOTHING if feed.last_quote_at is None else clock(feed.last_quote_at)),
        _cell(f"{feed.demand}/{feed.upstream_state}"),
    ]


# ------------------------------------------------------------ subscribers


def subscribers(answer: Subscribers) -> PageTable:
    """As answered: the furthest behind first."""
    rows = answer.subscribers[:ROWS]
    named = any(each.name is not None for each in rows)
    return PageTable(
        about=_about(len(rows), answer.total, "subscriber", "the furthest behind first"),
        empty="no subscribers",
        columns=[
            _column("peer"),
            *([_column("name", 1)] if named else []),
            _column("symbols"),
            _column("lag", right=True),
            _column("unsent", 1, right=True),
            _column("conflated", 2, right=True),
            _column("dropped", 2, right=True),
            _column("age", 1, right=True),
        ],
        rows=[_subscriber(each, named=named) for each in rows],
    )


def _subscriber(each: SubscriberStatus, *, named: bool) -> list[PageCell]:
    return [
        _cell(each.peer),
        *([_cell(each.name or NOTHING)] if named else []),
        _cell(_symbols(each)),
        _cell(count(each.lag), Tone.BAD if each.lag else Tone.PLAIN),
        _cell(size(each.lag_bytes)),
        _cell(count(each.conflated), Tone.WATCH if each.conflated else Tone.PLAIN),
        _cell(count(each.dropped), Tone.WATCH if each.dropped else Tone.PLAIN),
        _cell(age(each.age_s)),
    ]


def _symbols(each: SubscriberStatus) -> str:
    shown = each.symbols[:SYMBOLS_SHOWN]
    more = each.held - len(shown)
    return " ".join([*shown, *([f"+{count(more)}"] if more else [])])
