"""NATS subjects. A symbol is always exactly one token, so it cannot add a separator or a wildcard."""

from __future__ import annotations

import re

from qcfeed.errors import InvalidSymbolError
from qcfeed.model import symbol as symbols
from qcfeed.model.symbol import Symbol

QUOTES = "qc.q."
"""``qc.q.<SYMBOL>``: one symbol's quotes, from its owner to the gateways."""
LATEST = "qc.get."
"""``qc.get.<SYMBOL>``: a gateway asks the owner to start a symbol, and for its latest quote."""
ALL_LATEST = LATEST + "*"
OWNERS = "qc.owner"
"""Owners announce themselves; gateways answer with the symbols that they want."""

_TOKEN = re.compile(r"[A-Z0-9][A-Z0-9_\-]{0,15}", re.ASCII)


def token(symbol: Symbol) -> str:
    """``symbol`` as one token: ``BRK.B`` becomes ``BRK_B``. No symbol contains an underscore.

    Raises InvalidSymbolError for anything that is not a symbol in its normal form.
    """
    if symbols.parse(symbol) != symbol:
        raise InvalidSymbolError(f"{symbol[:32]!r} is not a symbol in upper case")
    return symbol.replace(".", "_")


def symbol_of(one_token: str) -> Symbol:
    """The symbol of a token that ``token`` made. Raises InvalidSymbolError for any other text."""
    if not _TOKEN.fullmatch(one_token):
        raise InvalidSymbolError(f"{one_token[:32]!r} is not a symbol's token")
    return symbols.parse(one_token.replace("_", "."))


def quotes(symbol: Symbol) -> str:
    return QUOTES + token(symbol)


def latest(symbol: Symbol) -> str:
    return LATEST + token(symbol)
