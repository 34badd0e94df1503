"""The interpreter is checked before ``attach`` and ``serve`` do anything else."""

from qcfeed.diagnostics import interpreter
from qcfeed.errors import UnsupportedInterpreterError


def require_supported_interpreter() -> None:
    """Raises UnsupportedInterpreterError on a free-threaded build, and on other Pythons than CPython."""
    refused = interpreter.refusal()
    if refused is not None:
        raise UnsupportedInterpreterError(refused.message, hint=refused.hint)
