"""Write the files that are generated from the code, or check that they are up to date.

python scripts/generate.py            # write
python scripts/generate.py --check    # exit 1 and list stale files
"""

from __future__ import annotations

import sys
from pathlib import Path

import asyncapi  # beside this file
import dashboard
import llms
import schemas

from qcfeed.cli.complete import words
from qcfeed.cli.completion import Shell, script
from qcfeed.cli.manual import manual
from qcfeed.cli.reference import reference
from qcfeed.metrics import rules
from qcfeed.metrics.reference import page

ROOT = Path(__file__).resolve().parent.parent


def generated() -> dict[Path, str]:
    """Every generated file of the project with its expected content."""
    files = {ROOT / "completions" / f"qcfeed.{shell.value}": script(shell) for shell in Shell}
    files[ROOT / "docs" / "reference" / "cli.md"] = reference()
    files[ROOT / "docs" / "reference" / "metrics.md"] = page()
    files[ROOT / "docs" / "schemas.json"] = schemas.render()
    files[ROOT / "docs" / "asyncapi.json"] = asyncapi.render()
    files[ROOT / "docs" / "llms.txt"] = llms.render()
    files[ROOT / "qcfeed" / "artifacts" / "rules.yml"] = rules.render()
    files[ROOT / "qcfeed" / "artifacts" / "dashboard.json"] = dashboard.render()
    files[ROOT / "man" / "qcfeed.1"] = manual()
    files[ROOT / "qcfeed" / "cli" / "complete" / "words.json"] = words.words()
    return {path: text.rstrip("\n") + "\n" for path, text in files.items()}


def main(arguments: list[str]) -> int:
    stale = [
        path
        for path, text in generated().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is stale: run `make generate`")
        return 1 if stale else 0
    for path in stale:
        path.write_text(generated()[path], encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
