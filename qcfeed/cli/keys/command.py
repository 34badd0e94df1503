"""``qcfeed keys``: adds, lists and revokes the API keys of subscribers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from qcfeed import rfc3339
from qcfeed.access import keys
from qcfeed.access.grants import grant
from qcfeed.access.keys import KeyDocument, StoredKey
from qcfeed.cli.context import Format, Output, examples, new_app, options, say
from qcfeed.cli.keys import key_file
from qcfeed.cli.ui import formats, times
from qcfeed.cli.ui.listing import answered, listed
from qcfeed.cli.ui.render import emit, emit_json, show
from qcfeed.cli.ui.table import Column, Table
from qcfeed.config import Config, loading
from qcfeed.errors import NotFoundError, UsageError

app = new_app()

KeysFile = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        metavar="FILE",
        help="File of API keys. Default: the option `keys` of the service.",
    ),
]


class ListedKey(msgspec.Struct, frozen=True, kw_only=True):
    """An API key without the key, which nobody has but its owner. Times are RFC 3339 UTC."""

    name: str
    symbols: list[str]
    created: str
    expires: str | None
    expired: bool


class KeyList(msgspec.Struct, frozen=True, tag_field="schema", tag="qcfeed.keys.list/1"):
    """The output of ``qcfeed keys list -o json``."""

    file: str
    keys: list[ListedKey]


class AddedKey(msgspec.Struct, frozen=True, tag_field="schema", tag="qcfeed.keys.added/1"):
    """The output of ``qcfeed keys add -o json``. ``key``: the key itself, which is shown only here."""

    file: str
    name: str
    key: str
    symbols: list[str]
    expires: str | None


TABLE: Table[ListedKey] = Table(
    (
        Column("name"),
        Column("symbols", value=lambda k: " ".join(k.symbols), least=12),
        Column("created"),
        Column("expires", colour=lambda k: "red" if k.expired else None),
        Column("expired", wide=True),
    ),
    identity=lambda key: key.name,
)


@app.callback(
    no_args_is_help=True,
    epilog=examples(
        "qcfeed keys add desk-7 --symbols AAPL,MSFT --expires 90d --keys /etc/qcfeed/keys.json",
        "qcfeed keys list",
        "qcfeed keys revoke desk-7",
    ),
)
def group() -> None:
    """Add, list or revoke the API keys of subscribers.

    The file has only hashes of the keys. `qcfeed serve --keys FILE` reads it, and again within a second
    after every change. These commands use the file of --keys, $QCFEED_KEYS, or `keys` in the
    configuration file.
    """


@app.command(
    epilog=examples(
        "qcfeed keys add desk-7",
        "qcfeed keys add guest --symbols 'AAPL,BTC-*' --expires 30d > guest.key",
        "qcfeed keys add desk-8 -o json | jq -r .key",
    )
)
@answered
def add(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the key, as `subscribers` shows it.")
    ],
    symbols: Annotated[
        str,
        typer.Option(
            metavar="SYMBOL,...", help="Symbols that it allows; * stands for any characters."
        ),
    ] = "*",
    expires: Annotated[
        float | None,
        typer.Option(
            parser=times.parse_end,
            metavar="DURATION|TIME",
            help="When it expires: 90d, 2027-01-31 or 2027-01-31T12:00Z. Default: never.",
        ),
    ] = None,
    file: KeysFile = None,
    output: Output = Format.TABLE,
) -> None:
    """Make a key and print it.

    The key is printed on stdout once and stored nowhere: give it to its owner now.

    Exit status: 2 if there is a key of this name, or the file is invalid; 3 or 4 if the file cannot be
    changed; 0 otherwise.
    """
    path = _file(ctx, file)
    key = keys.generate()
    try:
        allowed = list(grant(text.strip() for text in symbols.split(",")).patterns)
        stored = msgspec.convert(
            {
                "name": name,
                "sha256": keys.digest(key),
                "symbols": allowed,
                "created": rfc3339.seconds(time.time()),
                "expires": None if expires is None else rfc3339.seconds(expires),
            },
            StoredKey,
        )
    except msgspec.ValidationError as error:
        raise UsageError(
            f"{name[:100]!r} is not a name for a key",
            hint="1 to 64 letters, digits, '.', '_', '@' and '-', for example desk-7",
        ) from error
    except ValueError as error:
        raise UsageError(f"--symbols: {error}", hint="for example AAPL,BTC-*") from error
    key_file.change(path, lambda document: _with(document, stored))
    added = AddedKey(str(path), stored.name, key, stored.symbols, stored.expires)
    if output is Format.JSON:
        emit_json(msgspec.json.encode(added))
    else:
        emit(key)
    say(f"added {name} to {path}; this is the only time that the key is shown")


def _with(document: KeyDocument, key: StoredKey) -> KeyDocument:
    if any(each.name == key.name for each in document.keys):
        raise UsageError(
            f"there is a key {key.name} already",
            hint=f"choose another name, or `qcfeed keys revoke {key.name}` first",
        )
    if len(document.keys) >= keys.MAX_KEYS:
        raise UsageError(f"the file has {keys.MAX_KEYS:,} keys, which is the most")
    return KeyDocument([*document.keys, key])


@app.command(
    name="list",
    epilog=examples("qcfeed keys list", "qcfeed keys list -o json | jq -r '.keys[].name'"),
)
@listed
def list_keys(ctx: typer.Context, file: KeysFile = None, output: Output = Format.TABLE) -> None:
    """List the keys: names, symbols and times. The keys themselves are not stored.

    Exit status: 0; 2 if there is no such file, or it is invalid.
    """
    path = _file(ctx, file)
    now = time.time()
    rows = [
        ListedKey(
            name=each.name,
            symbols=each.symbols,
            created=each.created,
            expires=each.expires,
            expired=each.expires is not None and keys.timestamp(each.expires) <= now,
        )
        for each in key_file.read(path).keys
    ]
    if not rows and output in (Format.TABLE, Format.WIDE):
        say(f"no keys in {path}: nobody can subscribe with one")
        return
    show(output, TABLE, rows, raw=msgspec.json.encode(KeyList(str(path), rows)))


@app.command(epilog=examples("qcfeed keys revoke desk-7", "qcfeed keys revoke desk-7 desk-8"))
def revoke(
    ctx: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of the keys.")],
    file: KeysFile = None,
) -> None:
    """Revoke keys: remove them from the file.

    A running service closes their connections with 4001 within about two seconds.

    Exit status: 2 if there is no key of one of the names: then none is revoked; 3 or 4 if the file cannot
    be changed; 0 otherwise.
    """
    path = _file(ctx, file)

    def without(document: KeyDocument) -> KeyDocument:
        known = {each.name for each in document.keys}
        if missing := [name for name in dict.fromkeys(names) if name not in known]:
            raise NotFoundError(
                f"no key {', '.join(missing)} in {path}; nothing was revoked",
                hint="`qcfeed keys list` lists them",
            )
        return KeyDocument([each for each in document.keys if each.name not in names])

    key_file.read(path)  # revoking must not create a file
    key_file.change(path, without)
    revoked = list(dict.fromkeys(names))
    say(f"revoked {formats.plural(len(revoked), 'key')}: {', '.join(revoked)}")


def _file(ctx: typer.Context, given: Path | None) -> Path:
    """The file of keys. Raises UsageError if none is named."""
    flags = {} if given is None else {"keys": str(given)}
    named = loading.load_group(Config, flags, file=options(ctx).config).config.keys
    if named is None:
        raise UsageError(
            "no file of keys is named",
            hint="give --keys FILE, the file of `qcfeed serve --keys FILE`, or set QCFEED_KEYS",
        )
    return Path(named)
