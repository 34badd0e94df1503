"""The list of ``qcfeed top`` as Textual draws it: rows come and go, the cursor stays where a person put it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

from qcfeed.cli.top.views import View, fitted

FRAME = 3
"""Cells beside the columns: the scroll bar, and a blank at either side."""


class Listing(DataTable[Text]):
    """Rows under a cursor."""

    BINDINGS: ClassVar[
        list[BindingType]
    ] = [  # Textual's Home and End go to columns, of which none is chosen
        Binding("home", "scroll_top", show=False),
        Binding("end", "scroll_bottom", show=False),
        Binding("k", "cursor_up", show=False),
        Binding("j", "cursor_down", show=False),
    ]

    def __init__(self, cut: str) -> None:
        super().__init__(cursor_type="row", cell_padding=1)
        self._cut = cut

    def show(self, view: View, rows: Sequence[Any], *, anew: bool) -> None:
        """These rows, and no others. The cursor stays on its row, and at its place when that is gone; at
        the top it stays at the top, as it does when the list is shown ``anew``.

        Cost: each row is made again.
        """
        place, scrolled, keep = self.cursor_row, self.scroll_y, self._at_cursor()
        keys = list(_numbered(map(view.table.identity, rows)))
        self._fill(view, rows, keys)
        if anew or not place or not keys:
            return
        place = keys.index(keep) if keep in keys else min(place, len(keys) - 1)
        self.move_cursor(row=place, animate=False, scroll=False)
        self.scroll_to(y=scrolled, animate=False)

    def _fill(self, view: View, rows: Sequence[Any], keys: Sequence[str]) -> None:
        shown = fitted(view, rows, self.app.size.width - FRAME, self._cut)
        self.clear(columns=True)
        self.header_height = max(title.count("\n") + 1 for title in shown.titles)
        for title, width, right in zip(shown.titles, shown.widths, shown.right, strict=True):
            self.add_column(_cell(title, None, right=right), width=width)
        for key, cells in zip(keys, shown.rows, strict=True):
            styled = (
                _cell(cell.text, cell.colour, right=right)
                for cell, right in zip(cells, shown.right, strict=True)
            )
            self.add_row(*styled, key=key)

    def _at_cursor(self) -> str | None:
        if not self.is_valid_coordinate(self.cursor_coordinate):
            return None
        return self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value


def _numbered(names: Iterator[str]) -> Iterator[str]:
    """Each name with how often it came before: one symbol may have several orphans."""
    seen: Counter[str] = Counter()
    for name in names:
        yield f"{name} {seen[name]}"
        seen[name] += 1


def _cell(text: str, colour: str | None, *, right: bool) -> Text:
    return Text(text, style=colour or "", justify="right" if right else "left", no_wrap=True)
