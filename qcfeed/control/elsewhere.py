"""Services of this machine that are not where a command looks for them.

The kernel lists every Unix socket that a process listens on, with the path at which it was bound, to every
user (``/proc/net/unix``; Linux, per network namespace). So a service is found under another
XDG_RUNTIME_DIR or TMPDIR, under another user, and after its socket's file was removed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from qcfeed.control.directories import SUFFIX
from qcfeed.errors import NAMED, NotAllowedError, QcfeedError, UnreachableError

_LISTENING = 0x10000
"""The flag __SO_ACCEPTCON of a listening socket."""
_OURS = re.compile(rf"/qcfeed(-\d+)?/[A-Za-z0-9._-]{{1,64}}{re.escape(SUFFIX)}$")
_SOCKETS = Path("/proc/net/unix")
OPTIONS = (
    "run the command as its user or as root, for example with `sudo -u USER`; or start it with"
    " --control-listen and name it with --url and its token in QCFEED_TOKEN"
)
"""How else to ask a service, as a part of a sentence."""


class ListeningSocket(NamedTuple):
    """A listening control socket. ``removed``: its file is gone. ``allowed``: this user may use it."""

    path: Path
    inode: str
    removed: bool
    allowed: bool

    @property
    def instance(self) -> str:
        return self.path.name.removesuffix(SUFFIX)


def listening(text: str | None = None) -> list[ListeningSocket]:
    """The control sockets of the machine; none where the kernel does not list them.

    ``text``: the kernel's list, for tests.
    """
    if text is None:
        try:
            text = _SOCKETS.read_text(errors="replace")
        except OSError:  # not Linux, or /proc is not there
            return []
    rows = (line.split(None, 7) for line in text.splitlines()[1:])
    bound = {
        row[7]: row[6]
        for row in rows
        if len(row) == 8 and int(row[3], 16) & _LISTENING and _OURS.search(row[7])
    }
    return [_found(Path(path), inode) for path, inode in sorted(bound.items())]


def instead_of(instance: str | None, directory: Path) -> QcfeedError | None:
    """Why there is no service (of this name) in ``directory``, if one listens somewhere; else None."""
    found = [each for each in listening() if instance in (None, each.instance)]
    here = [each for each in found if each.path.parent == directory]
    for each in here:
        if each.removed:
            return _removed(each)
        if not each.allowed:
            return _not_allowed(here)
    usable = [each for each in found if each.allowed and not each.removed and each not in here]
    if usable:
        return _under_another_directory(usable, directory)
    foreign = [each for each in found if not each.allowed and not each.removed]
    return _not_allowed(foreign) if foreign else None


def _found(path: Path, inode: str) -> ListeningSocket:
    try:
        path.stat()
    except FileNotFoundError:
        return ListeningSocket(path, inode, removed=True, allowed=True)
    except OSError:  # in a directory that only another user can enter
        return ListeningSocket(path, inode, removed=False, allowed=False)
    return ListeningSocket(path, inode, removed=False, allowed=os.access(path, os.R_OK | os.W_OK))


def _removed(found: ListeningSocket) -> UnreachableError:
    pid = _process_of(found.inode)
    process = f"process {pid}" if pid else "its process"
    return UnreachableError(
        f"the control socket of {found.instance} was removed, but {process} still runs: {found.path}",
        hint="nothing can ask it over that socket any more: restart it, or use --url if it has"
        " --control-listen; does a job clean up that directory?",
    )


def _not_allowed(found: Sequence[ListeningSocket]) -> NotAllowedError:
    listed = _listed(f"{each.instance} ({each.path})" for each in found)
    return NotAllowedError(
        f"a service of another user runs here, and this user may not ask it: {listed}",
        hint=f"`qcfeed serve` starts one of your own; to ask that one, {OPTIONS}",
    )


def _under_another_directory(found: Sequence[ListeningSocket], directory: Path) -> UnreachableError:
    listed = _listed(f"{each.instance} in {each.path.parent}" for each in found)
    return UnreachableError(
        f"no qcfeed service runs here (looked in {directory}), but elsewhere: {listed}",
        hint=f"`qcfeed serve` starts one here; `qcfeed --socket {found[0].path} ...` asks {found[0].instance},"
        " which was started with another XDG_RUNTIME_DIR or TMPDIR",
    )


def _listed(texts: Iterable[str]) -> str:
    each = list(texts)
    more = f" and {len(each) - NAMED:,} more" if len(each) > NAMED else ""
    return ", ".join(each[:NAMED]) + more


def _process_of(inode: str) -> int | None:
    """The process that has the socket open, if it is one of this user's."""
    wanted = f"socket:[{inode}]"
    for directory in Path("/proc").glob("[0-9]*"):
        if any(_leads_to(each, wanted) for each in _files_of(directory)):
            return int(directory.name)
    return None


def _files_of(process: Path) -> list[Path]:
    try:
        return list((process / "fd").iterdir())
    except OSError:  # it has ended, or is another user's
        return []


def _leads_to(link: Path, wanted: str) -> bool:
    try:
        return str(link.readlink()) == wanted
    except OSError:  # closed meanwhile
        return False
