"""The check of the Python interpreter that ``attach`` and ``serve`` make first."""

from qcfeed.diagnostics import interpreter
from qcfeed.errors import UnsupportedInterpreterError


def require_supported_interpreter() -> None:
    """Raise UnsupportedInterpreterError on a free-threaded build, and on any Python but CPython."""
    refused = interpreter.refusal()
    if refused is not None:
        raise UnsupportedInterpreterError(refused.message, hint=refused.hint)
