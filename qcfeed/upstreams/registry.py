"""Finds the upstream for an ``--upstream`` URL by its scheme.

An upstream is a function that takes an UpstreamUrl and returns an Upstream, named by an entry point in
the group ``qcfeed.upstreams``; the entry point's name is the scheme. ``mine+tls://`` also finds ``mine``.
The built-in upstreams are entry points too. They are listed here, so that they are found in a checkout
without an installed distribution, and no other package can replace them.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Coroutine, Sequence
from importlib.metadata import EntryPoint, distributions, entry_points
from urllib.parse import urlsplit

from qcfeed.errors import ConfigError, QcfeedError
from qcfeed.formats import clipped
from qcfeed.upstreams.base import Upstream
from qcfeed.upstreams.url import UpstreamUrl

GROUP = "qcfeed.upstreams"

_BUILT_IN = tuple(
    EntryPoint(scheme, value, GROUP)
    for scheme, value in {
        "sim": "qcfeed.upstreams.simulator:connect",
        "replay": "qcfeed.upstreams.replay:connect",
        "coinbase": "qcfeed.upstreams.coinbase_url:connect",
        "nats": "qcfeed.cluster.gateway:connect",
        "tls": "qcfeed.cluster.gateway:connect",
    }.items()
)
_EXAMPLES = ("sim:", "replay:FILE", "coinbase:", "coinbase+ws://HOST:PORT/", "nats://HOST:PORT")
_METHODS = ("run", "knows", "symbols", "health", "close")


def connect(
    url: str, *, clock: Callable[[], int] = time.time_ns, groups: Sequence[object] = ()
) -> Upstream:
    """Create the upstream for ``url``. Only a file to replay is read at once; nothing is connected.

    ``clock`` returns Unix nanoseconds; ``groups``: configured groups of options for upstreams. Raises ConfigError for an invalid URL or recording, or if the
    package that provides the upstream is missing or broken. Messages omit what may be a password.
    """
    try:
        parts = urlsplit(url, allow_fragments=False)
    except ValueError as error:
        shown = url.partition("//")[0]
        raise ConfigError(f"upstream {shown} is not a URL: {error}", hint=_usage()) from error
    entry = _find(parts.scheme, url)
    make = _load(entry)
    try:
        upstream = make(UpstreamUrl(url, parts, clock, groups))
    except QcfeedError:
        raise
    except (Exception, SystemExit) as error:
        raise _broken(entry, "could not create its upstream", error) from error
    return _checked(entry, upstream)


def _plugins() -> Sequence[EntryPoint]:
    """What other packages provide. Raises ConfigError for a package whose entry points are invalid."""
    try:
        found = entry_points(group=GROUP)
    except ValueError as error:  # Python 3.15 checks all packages when they are listed
        raise _invalid_package(error) from error
    return sorted(found, key=lambda entry: entry.name)


def _invalid_package(error: ValueError) -> ConfigError:
    """Which package it is, as far as can be told."""
    for package in distributions():
        try:
            _ = package.entry_points
        except ValueError:
            name = f"{package.name} {package.version}"
            return ConfigError(
                f"the entry points of {name} cannot be imported: {clipped(error)}",
                hint=f"`pip install --upgrade {package.name}`, or remove it; tell its author",
            )
    return ConfigError(f"entry points of a package cannot be imported: {clipped(error)}")


def _find(scheme: str, url: str) -> EntryPoint:
    names = (scheme, scheme.partition("+")[0])
    for entry in _BUILT_IN:
        if entry.name in names:
            return entry
    plugins = _plugins()
    for name in names:
        found = {(each.value, _provider(each)): each for each in plugins if each.name == name}
        if len(found) > 1:
            providers = ", ".join(_provider(each) for each in found.values())
            raise ConfigError(
                f"several packages provide the upstream {name}: {providers}",
                hint="uninstall all but one",
            )
        if found:
            return next(iter(found.values()))
    raise ConfigError(
        f"upstream {scheme}: has the unknown scheme {scheme!r}" if scheme else _no_scheme(url),
        hint=_usage(),
    )


def _no_scheme(url: str) -> str:
    before, colon, _ = url.partition(":")
    if colon:
        return f"upstream {before!r} is no scheme: only letters, digits, '+', '-' and '.' can be in one"
    return f"upstream {url[:80]!r} has no scheme"


def _usage() -> str:
    return f"one of {', '.join((*_EXAMPLES, *map(_described, _plugins())))}"


def _load(entry: EntryPoint) -> Callable[[UpstreamUrl], object]:
    try:
        make = entry.load()
    except (Exception, SystemExit) as error:
        raise _broken(entry, "cannot be imported", error) from error
    if not callable(make):
        raise ConfigError(
            f"the upstream {_described(entry)} is broken: {entry.value} is not a function",
            hint=_repair(entry),
        )
    return make  # type: ignore[no-any-return]


def _checked(entry: EntryPoint, upstream: object) -> Upstream:
    if isinstance(upstream, Coroutine):
        upstream.close()
        raise ConfigError(
            f"the upstream {_described(entry)} is broken: {entry.value} is a coroutine function",
            hint="make it an ordinary function; what has to be awaited belongs in run()",
        )
    missing = [name for name in _METHODS if not callable(getattr(upstream, name, None))]
    if not isinstance(getattr(upstream, "name", None), str):
        missing.insert(0, "name")
    if missing:
        raise ConfigError(
            f"the upstream {_described(entry)} is broken: {entry.value} returned"
            f" {type(upstream).__name__}, which lacks {', '.join(missing)}",
            hint="it must return a qcfeed.upstreams.Upstream (docs/how-to/upstreams.md)",
        )
    return upstream  # type: ignore[return-value]


def _broken(entry: EntryPoint, problem: str, error: BaseException) -> ConfigError:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return ConfigError(
        f"the upstream {_described(entry)} is broken: {entry.value} {problem}:"
        f" {type(error).__name__}: {error} (at {last.filename}:{last.lineno})",
        hint=_repair(entry),
    )


def _repair(entry: EntryPoint) -> str:
    package = entry.dist.name if entry.dist else "qcfeed"
    return f"reinstall or update it (pip install --force-reinstall {package}), or tell its author"


def _described(entry: EntryPoint) -> str:
    return f"{entry.name}: (from {_provider(entry)})"


def _provider(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "qcfeed"
