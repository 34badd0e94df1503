"""A market-data feed service whose tasks cannot leak, and the on-call tool that proves it."""

TYPE_CHECKING = False  # typing's own costs 10 ms to import, and this module must cost nothing
if TYPE_CHECKING:
    from qcfeed.attached import Attached, attach

__version__ = "0.2.0"
__all__ = ["Attached", "__version__", "attach"]


def __getattr__(name: str) -> object:
    """``attach`` and ``Attached``, imported when they are asked for: most who import this do not."""
    if name not in ("Attached", "attach"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from qcfeed import attached
    except ImportError:
        # What it needs may not install on such a Python: the reason comes first.
        from qcfeed.supported import require_supported_interpreter

        require_supported_interpreter()
        raise

    return getattr(attached, name)
