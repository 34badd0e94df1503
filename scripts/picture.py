"""docs/diagnose.svg: what a terminal shows of ``qcfeed diagnose`` on the incident's fault. Not drawn, but recorded.

python scripts/picture.py    # starts a service with the drill, types the command in a terminal of 80 columns
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pexpect
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
QCFEED = Path(sys.executable).with_name("qcfeed")
COLUMNS = 80
TASKS = 47_829
_WEB_FONTS = re.compile(r"@font-face \{.*?\}", re.DOTALL)


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        screen = _record({"XDG_RUNTIME_DIR": home, "XDG_STATE_HOME": home, "HOME": home})
    (ROOT / "docs" / "diagnose.svg").write_text(_drawn(screen), encoding="utf-8")


def _record(environment: dict[str, str]) -> str:
    """The screen after the command, with its colours."""
    serve = [QCFEED, "serve", "--port", "0", "--no-monitor", "--drill", f"zombie-growth={TASKS}"]
    with subprocess.Popen(serve, env=environment, stderr=subprocess.PIPE, text=True) as service:
        try:
            for line in service.stderr or ():
                if "is active" in line:
                    break
            return _typed("diagnose --window 20s", environment)
        finally:
            service.terminate()


def _typed(command: str, environment: dict[str, str]) -> str:
    terminal = environment | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    shown = pexpect.run(
        f"{QCFEED} {command}", env=terminal, dimensions=(60, COLUMNS), timeout=60, encoding="utf-8"
    )
    # Without the progress bar, which is gone when the command has ended.
    lines = [line for line in str(shown).splitlines() if "collecting" not in line]
    return "\n".join([f"$ qcfeed {command.split()[0]}", *lines])


def _drawn(screen: str) -> str:
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(screen.rstrip()))
    drawn = console.export_svg(title="qcfeed diagnose", theme=MONOKAI, unique_id="diagnose")
    # The picture loads nothing from other hosts: the reader's own monospaced font will do.
    return _WEB_FONTS.sub("", drawn).replace("Fira Code", "ui-monospace")


if __name__ == "__main__":
    main()
