"""The list of ``qcfeed top`` as a Textual widget: rows change, but the cursor stays on its row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

from qcfeed.cli.top.theme import Theme
from qcfeed.cli.top.views import View, fitted

FRAME = 3
"""Cells beside the columns: the scroll bar and a blank on each side."""


class RowList(DataTable[Text]):
    """A list of rows with a cursor."""

    BINDINGS: ClassVar[
        list[BindingType]
    ] = [  # Textual's own Home and End move to a column, but the cursor here selects whole rows
        Binding("home", "scroll_top", show=False),
        Binding("end", "scroll_bottom", show=False),
        Binding("k", "cursor_up", show=False),
        Binding("j", "cursor_down", show=False),
    ]

    def __init__(self, ellipsis: str, theme: Theme) -> None:
        super().__init__(cursor_type="row", cell_padding=1)
        self._ellipsis = ellipsis
        self._theme = theme

    def show(self, view: View, rows: Sequence[Any], *, to_top: bool) -> None:
        """Replace all rows. The cursor stays on its row; if that is gone, at its position.

        On the first row the cursor stays on the first row; with ``to_top`` it goes there.
        Cost: O(rows), all are created again.
        """
        position, scrolled, keep = self.cursor_row, self.scroll_y, self._key_at_cursor()
        keys = list(_unique(map(view.table.identity, rows)))
        self._fill(view, rows, keys)
        if to_top or not position or not keys:
            return
        position = keys.index(keep) if keep in keys else min(position, len(keys) - 1)
        self.move_cursor(row=position, animate=False, scroll=False)
        self.scroll_to(y=scrolled, animate=False)

    def _fill(self, view: View, rows: Sequence[Any], keys: Sequence[str]) -> None:
        shown = fitted(view, rows, self.app.size.width - FRAME, self._ellipsis)
        self.clear(columns=True)
        self.header_height = max(title.count("\n") + 1 for title in shown.titles)
        for title, width, right in zip(shown.titles, shown.widths, shown.right, strict=True):
            self.add_column(_cell(title, "", right=right), width=width)
        for key, cells in zip(keys, shown.rows, strict=True):
            styled = (
                _cell(cell.text, self._theme.style(cell.colour), right=right)
                for cell, right in zip(cells, shown.right, strict=True)
            )
            self.add_row(*styled, key=key)

    def _key_at_cursor(self) -> str | None:
        if not self.is_valid_coordinate(self.cursor_coordinate):
            return None
        return self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value


def _unique(names: Iterator[str]) -> Iterator[str]:
    """Each name with a number that makes it unique: a symbol may have several orphans."""
    seen: Counter[str] = Counter()
    for name in names:
        yield f"{name} {seen[name]}"
        seen[name] += 1


def _cell(text: str, style: str, *, right: bool) -> Text:
    return Text(text, style=style, justify="right" if right else "left", no_wrap=True)
