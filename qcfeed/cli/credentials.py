"""The API key or token that ``watch`` and ``repro`` present: from a file or the environment, never a flag."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from qcfeed.access.keys import has_key_form
from qcfeed.cli.context import say
from qcfeed.client.endpoint import Endpoint
from qcfeed.config.credentials import read_secret

VARIABLE = "QCFEED_TOKEN"
_JWT = re.compile(r"ey[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)

TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="File with the API key or token for a service that demands one. Default: $QCFEED_TOKEN.",
    ),
]


def token_source(file: Path | None) -> Callable[[], str | None]:
    """A function that returns the token, or None; a file is read each time, because tokens are renewed.

    Raises ConfigError if the file cannot be used. The variable also names the control plane's token for
    --url, which no feed service may get: only what has the form of an API key or a JSON Web Token is sent.
    """
    if file is not None:
        read_secret(str(file), "--token-file")
        return lambda: read_secret(str(file), "--token-file")
    given = os.environ.get(VARIABLE, "")
    token = given if has_key_form(given) or _JWT.fullmatch(given) else None
    return lambda: token


def warn_unencrypted(server: Endpoint, token: str | None) -> None:
    """Warn on stderr if ``token`` would leave this machine where anybody on the way can read it."""
    local = server.host == "localhost" or server.host == "::1" or server.host.startswith("127.")
    if token is not None and server.scheme == "ws" and not local:
        say(
            f"warning: the token is sent to {server} unencrypted; use wss:// if the service has TLS"
        )
