"""The modal screens of ``qcfeed top``: a text to read, and a question to answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Markdown, Static

SUBTITLE_MARGIN = 8
"""The cells of a frame's lower line that its subtitle cannot take."""


class Pane(ModalScreen[str | None]):
    """A scrollable text. ``more``: further keys, each with what it does; the pane closes with the one
    that was pressed, otherwise with None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "close", "Back"),
        Binding("up,k", "scroll(-1)", show=False),
        Binding("down,j", "scroll(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown,space", "page(1)", show=False),
    ]

    def __init__(
        self,
        title: str,
        lines: Sequence[str],
        *,
        markdown: bool = False,
        alarming: bool = False,
        more: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._title, self._lines = title, lines
        self._markdown, self._alarming, self._more = markdown, alarming, more or {}

    def compose(self) -> ComposeResult:
        text = "\n".join(self._lines)
        with VerticalScroll() as box:
            box.border_title = self._title
            box.border_subtitle = self._keys(self.app.size.width - SUBTITLE_MARGIN)
            box.set_class(self._alarming, "alarming")
            yield Markdown(text, open_links=False) if self._markdown else Static(text, markup=False)

    def _keys(self, width: int) -> str:
        """The keys; without those for scrolling if only the others fit."""
        more = [*(f"{key} {what}" for key, what in self._more.items()), "Esc back"]
        whole = "  ".join(["Up/Down scroll", *more])
        return whole if len(whole) <= width else "  ".join(more)

    def on_key(self, event: events.Key) -> None:
        if event.key in self._more:
            self.dismiss(event.key)

    def action_close(self) -> None:
        self.dismiss(None)

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)

    def action_page(self, pages: int) -> None:
        box = self.query_one(VerticalScroll)
        box.scroll_relative(y=pages * max(1, box.size.height - 1), animate=False)


class Question(ModalScreen[bool]):
    """A plan and the question whether to execute it. Only Y means yes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape,q,enter", "answer(False)", "No"),
    ]

    def __init__(self, question: str, lines: Sequence[str]) -> None:
        super().__init__()
        self._question, self._lines = question, lines

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = "plan"
            box.border_subtitle = "y yes  Esc no"
            yield Static(f"{self._question} [y/N]\n", markup=False, id="question")
            yield Static("\n".join(self._lines), markup=False)

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)
