"""The content of the status page as text for people: the same data as in `top`, already in words.

See answer.py for the fields and rules that all answers share.
"""

from __future__ import annotations

import msgspec

from qcfeed.model.answer import Answer


class TonedText(msgspec.Struct, kw_only=True):
    """A text. ``tone``: ``bad`` for a finding, ``watch`` for a reason to look again, ``good``, or ``plain``."""

    text: str
    tone: str = "plain"


class PageFigure(msgspec.Struct, kw_only=True):
    """A number at the top of the page: its name, its value, and a remark beside it."""

    name: str
    value: str
    beside: str = ""
    tone: str = "plain"


class FindingText(msgspec.Struct, kw_only=True):
    """A finding of `diagnose`; ``facts`` are its labelled lines, ``next`` the commands to type."""

    headline: str
    tone: str
    cause: str
    facts: list[tuple[str, str]]
    next: list[str]


class PageColumn(msgspec.Struct, kw_only=True):
    """``rank``: on a narrow screen, columns of the highest rank are left out first; 0 always stays."""

    title: str
    right: bool = False
    rank: int = 0


class PageCell(msgspec.Struct, kw_only=True):
    """``trend``: values to draw as a line in place of the text."""

    text: str = ""
    tone: str = "plain"
    trend: list[int | None] = []


class PageTable(msgspec.Struct, kw_only=True):
    """``about``: how many rows there are, and their order; ``empty``: shown in place of no rows."""

    about: str
    empty: str
    columns: list[PageColumn]
    rows: list[list[PageCell]]


class PageSeries(msgspec.Struct, kw_only=True):
    """One line of the timeline. ``curve``: pairs of seconds before now and the value, null if not known.

    ``now``, ``least`` and ``most``: current, smallest and largest value in words. ``limit``: a value that it must
    not reach, if that is near.
    """

    name: str
    now: str
    least: str
    most: str
    curve: list[tuple[float, float | None]]
    limit: float | None = None


class StatusPage(Answer, kw_only=True, tag="qcfeed.status_page/1"):
    """Everything on the page. ``identity``: which process this is. ``notes``: lines under the verdict that
    need attention: a running drill, parts that could not be checked. ``began_s``: how long ago the first
    finding began, a mark in the timeline; null if there is none, or it is not known.
    """

    identity: str
    conclusion: TonedText
    time_left: TonedText
    notes: list[TonedText]
    figures: list[PageFigure]
    findings: list[FindingText]
    to_recheck: list[FindingText]
    checked: list[tuple[str, str]]
    location_table: PageTable
    feed_table: PageTable
    subscriber_table: PageTable
    timeline: list[PageSeries]
    timeline_about: str
    began_s: float | None = None
