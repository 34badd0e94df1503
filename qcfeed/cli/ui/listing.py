"""The options that every list has, declared once: which rows, in which order, and how often.

``listed`` adds them to a command; ``render.show`` applies them to the rows and to the JSON, so a command
knows nothing of them.
"""

from __future__ import annotations

import contextlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Annotated, Any, NamedTuple, get_type_hints

import typer

from qcfeed.cli.context import Format
from qcfeed.cli.ui import watching
from qcfeed.cli.ui.table import Row, Table
from qcfeed.closest import closest
from qcfeed.errors import UsageError
from qcfeed.formats import plural

STATES_TOLD = 12
ALL = 10_000
"""Rows to request from the service if they are selected or sorted here: the most that it lists."""

SortBy = Annotated[
    str,
    typer.Option(
        "--sort-by", metavar="COLUMN", help="Sort by this column; -COLUMN: the largest first."
    ),
]
NoHeaders = Annotated[bool, typer.Option("--no-headers", help="Leave out the row of titles.")]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="List at most N rows.")]
Jq = Annotated[
    str, typer.Option(metavar="EXPRESSION", help="Print what a jq expression makes of the JSON.")
]
FILTERS: Mapping[str, tuple[Any, Any]] = {
    "symbol": (
        Annotated[str, typer.Option(metavar="SYMBOL", help="Only rows of this symbol.")],
        "",
    ),
    "state": (
        Annotated[
            str, typer.Option(metavar="WORD", help="Only rows in this state, for example stale.")
        ],
        "",
    ),
    "label": (
        Annotated[
            list[str] | None,
            typer.Option(
                "-l", "--label", metavar="KEY=VALUE", help="Only rows with this label; repeatable."
            ),
        ],
        None,
    ),
}
"""The options that select rows; a list has those that its rows have a value for."""


class ListOptions(NamedTuple):
    """What was asked of a list. ``states``: the attributes of a row that ``state`` is compared with.

    ``latest``: the rows come in the order of time, and ``limit`` keeps the last ones.
    """

    sort_by: str = ""
    no_headers: bool = False
    limit: int | None = None
    jq: str = ""
    symbol: str = ""
    state: str = ""
    label: Sequence[str] = ()
    states: Sequence[str] = ("state",)
    latest: bool = False

    @property
    def selects(self) -> bool:
        """Whether rows are left out or moved here, and not by the service."""
        return bool(self.sort_by or self.symbol or self.state or self.label)


_current: ContextVar[ListOptions] = ContextVar("qcfeed_listing", default=ListOptions())  # noqa: B039


def current() -> ListOptions:
    """The list that the command line asks for."""
    return _current.get()


def request_limit(limit: int) -> int:
    """How many rows to request, if ``limit`` are to be shown: all, if they are selected afterwards."""
    return ALL if current().selects else limit


@contextlib.contextmanager
def _listing(asked: ListOptions) -> Iterator[None]:
    token = _current.set(asked)
    try:
        yield
    finally:
        _current.reset(token)


def listed(
    function: Callable[..., None],
    *filters: str,
    states: Sequence[str] = ("state",),
    own_limit: int = 0,
    watch: bool = True,
    latest: bool = False,
) -> Callable[..., None]:
    """``function`` with the options of a list, for Typer to read. Its own option of a name wins.

    ``filters``: of FILTERS. ``states``: attributes of a row that --state selects by. ``own_limit``: its
    parameter ``limit`` is a number of rows, and may be this large. ``latest``: see ListOptions.
    """
    own = inspect.signature(function).parameters
    offered = {
        **{name: FILTERS[name] for name in filters},
        "sort_by": (SortBy, ""),
        "limit": (Limit, None),
        "no_headers": (NoHeaders, False),
        "jq": (Jq, ""),
        **({"watch": (watching.Watch, None)} if watch else {}),
    }
    added = {name: each for name, each in offered.items() if name not in own}

    def wrapper(**given: Any) -> None:
        asked = {name: given.pop(name) for name in added}
        every = asked.pop("watch", None)
        if own_limit:
            asked["limit"] = given["limit"]
        if asked["jq"]:
            given[_format_of(given)] = _json_of(given)
        listing = ListOptions(
            **{name: value for name, value in asked.items() if value is not None},
            states=states,
            latest=latest,
        )
        if own_limit and listing.selects:
            given["limit"] = own_limit
        with _listing(listing):
            if every is None or _is_for_a_subcommand(given):
                function(**given)
            elif given.get("source") is not None:
                raise UsageError(
                    "--watch needs a live service and --from reads a file: give only one"
                )
            else:
                watching.repeat(lambda: function(**given), every)

    return _offering(wrapper, function, added)


def answered(function: Callable[..., None]) -> Callable[..., None]:
    """``function`` with ``--jq``: for commands whose answer is one thing and not a list of many."""

    def wrapper(*, jq: str, **given: Any) -> None:
        if jq:
            given[_format_of(given)] = _json_of(given)
        with _listing(ListOptions(jq=jq)):
            function(**given)

    return _offering(wrapper, function, {"jq": (Jq, "")})


def _is_for_a_subcommand(given: Mapping[str, Any]) -> bool:
    ctx = given.get("ctx")
    return ctx is not None and ctx.invoked_subcommand is not None


def _format_of(given: Mapping[str, Any]) -> str:
    """The name of the parameter for -o."""
    return "output" if "output" in given else "form"


def _json_of(given: Mapping[str, Any]) -> Any:
    """JSON, as the command's own type of format names it."""
    return type(given[_format_of(given)])(Format.JSON.value)


def _offering(
    wrapper: Callable[..., None],
    function: Callable[..., None],
    added: Mapping[str, tuple[Any, Any]],
) -> Callable[..., None]:
    """``wrapper`` with the signature of ``function`` and the added options."""
    own = inspect.signature(function).parameters
    hints = get_type_hints(function, include_extras=True)
    parameters = [each.replace(annotation=hints[name]) for name, each in own.items()]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
        for name, (hint, default) in added.items()
    ]
    kind = inspect.Parameter.KEYWORD_ONLY
    ordered = sorted(parameters, key=lambda each: each.kind is kind)
    wrapper.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {each.name: each.annotation for each in ordered}
    wrapper.__doc__, wrapper.__name__ = function.__doc__, function.__name__
    wrapper.__module__ = function.__module__
    return wrapper


def chosen(table: Table[Row], rows: Sequence[Row]) -> list[int]:
    """The numbers of the rows to show, in order. Raises UsageError for an unknown column."""
    asked = current()
    numbers = [number for number, row in enumerate(rows) if _matches(row, asked)]
    if asked.sort_by:
        numbers = _sorted(table, rows, numbers, asked.sort_by)
    elif asked.latest and asked.limit is not None:
        return numbers[-asked.limit :]
    return numbers[: asked.limit]


def tell_none(rows: Sequence[Any]) -> str:
    """That no row is left; and if a state was asked for, which states there are."""
    asked = current()
    states = {
        word for row in rows for name in asked.states for word in _words(getattr(row, name, None))
    }
    told = f"; their states: {', '.join(sorted(states)[:STATES_TOLD])}" if asked.state else ""
    return f"none of {plural(len(rows), 'row')} matches{told}"


def selected(table: Table[Row], rows: Sequence[Row]) -> list[Row]:
    """The rows to show, in order, for a list that is not printed as a table. Raises as ``chosen`` does."""
    return [rows[number] for number in chosen(table, rows)]


def narrowed(raw: bytes, numbers: Sequence[int], total: int) -> bytes:
    """The JSON with only these rows, in this order: of its list that has ``total`` of them."""
    document = json.loads(raw)
    for key, value in document.items():
        if isinstance(value, list) and len(value) == total:
            document[key] = [value[number] for number in numbers]
            return json.dumps(document, ensure_ascii=False).encode()
    return raw


def _matches(row: Any, asked: ListOptions) -> bool:
    symbols = {getattr(row, "symbol", None), *(getattr(row, "symbols", None) or ())}
    labels = getattr(row, "labels", None) or {}
    words = {word for name in asked.states for word in _words(getattr(row, name, None))}
    return (
        (not asked.symbol or asked.symbol.upper() in symbols)
        and (not asked.state or asked.state.lower().replace(" ", "_") in words)
        and all(labels.get(key) == value for key, value in map(_pair, asked.label))
    )


def _words(state: Any) -> list[str]:
    return [] if state is None else [str(state), *str(state).split("/")]


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UsageError(f"{text!r} is not a label", hint="for example -l symbol=AAPL")
    return key, value


def _sorted(table: Table[Row], rows: Sequence[Row], numbers: list[int], by: str) -> list[int]:
    """Rows without a value come last, in either direction."""
    wanted = by.removeprefix("-").lower().replace(" ", "_").replace("-", "_")
    names = {name: c for c in table.columns for name in (c.key, c.title.lower().replace(" ", "_"))}
    if wanted not in names:
        known = ", ".join(column.key for column in table.columns)
        meant = "".join(f"did you mean {each}? " for each in closest(wanted, names))
        raise UsageError(
            f"there is no column {by!r} to sort by", hint=f"{meant}the columns are {known}"
        )
    column = names[wanted]
    values = {number: column.raw(rows[number]) for number in numbers}
    known_, unknown = (
        [n for n in numbers if (values[n] not in (None, "")) is known] for known in (True, False)
    )
    known_.sort(key=lambda n: _comparable(values[n]), reverse=by.startswith("-"))
    return [*known_, *unknown]


def _comparable(value: Any) -> tuple[bool, Any]:
    """A key that sorts numbers before text, and text without regard to case."""
    number = isinstance(value, int | float)
    return (not number, value if number else str(value).lower())
