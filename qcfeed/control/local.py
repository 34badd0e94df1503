"""Reads of the control plane within its own process: the same answers, without a socket between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from qcfeed.model.answer import Answer

AnyAnswer = TypeVar("AnyAnswer", bound=Answer)

ReadHere = Callable[[str, Mapping[str, str]], bytes]


class LocalControl:
    """Answers like a ControlClient. Secrets are removed from every answer. Used from any thread.

    ``read``: ControlServer.read.
    """

    def __init__(self, read: ReadHere) -> None:
        self._read = read

    def get(self, path: str, answer_type: type[AnyAnswer], **params: object) -> AnyAnswer:
        """Answer a read. Parameters that are None are left out. Raises what the control plane refuses with."""
        given = {name: str(value) for name, value in params.items() if value is not None}
        return msgspec.json.decode(self._read(path, given), type=answer_type)
