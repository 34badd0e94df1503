"""Text that steers a terminal, and a program that puts it wherever a name can be put.

``python hostile.py`` runs the program: tasks with hostile names, labels and owners, orphans, a
deadlock, failures, and log lines. It prints ``ready``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import sys

EVIL = (
    "ev\x1b[31mil"  # ESC: a colour, which qcfeed uses itself
    "\x1b]52;c;ZXZpbA==\x07"  # OSC 52: the clipboard
    "\x1b[2J\x9b2J\x9d0;t\x9c"  # clearing the screen, with ESC and with C1; a title
    "\rover\x08\x7f"  # CR and backspace: overwriting
    "\u202edlrow\u2066\u200f"  # bidirectional marks
    "\u2028\x85row"  # line separators
    "\U000e0041"  # an invisible tag
)


_OWN = re.compile(r"(?:\r*\x1b\[(?:2K|1A|\?25[lh]))+\r*")
"""How a progress bar or a table is drawn again in the same place. EVIL has none of these."""


def offences(shown: str) -> set[str]:
    """The characters in what a terminal got that are neither printable nor line ends."""
    return {
        character
        for character in _OWN.sub("", shown).replace("\r\n", "\n")
        if character != "\n" and not character.isprintable()
    }


class Session:
    closed = False

    def __str__(self) -> str:
        return f"session {EVIL}"


async def wait() -> None:
    await asyncio.sleep(3_600)


async def fail() -> None:
    await asyncio.sleep(0)
    raise ValueError(EVIL)


async def main() -> None:
    from qcfeed import attach
    from qcfeed.diagnostics import label, owned_by

    attach("hostile")
    owner = Session()
    with owned_by(owner), label(user=EVIL, **{EVIL: "key"}):
        tasks = [asyncio.create_task(wait(), name=f"{EVIL} {n}") for n in range(20)]
        tasks += [asyncio.create_task(fail(), name=EVIL) for _ in range(3)]
    owner.closed = True
    await asyncio.sleep(0.1)
    logging.getLogger(EVIL).warning("%s", EVIL)
    sys.stdout.write("ready\n")
    with contextlib.suppress(ValueError):
        await asyncio.gather(*tasks[:20])


if __name__ == "__main__":
    asyncio.run(main())
