"""Check that everything says which version is released: the code, the changelog, the notes, the recorded surface.

python scripts/release_check.py v0.2.0    # exit 1 and list what does not
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def complaints(tag: str, root: Path = ROOT) -> Iterator[str]:
    """What has to change before ``tag`` can be released."""
    version = tag.removeprefix("v")
    code = (root / "qcfeed" / "__init__.py").read_text(encoding="utf-8")
    if f'__version__ = "{version}"' not in code:
        yield f"qcfeed/__init__.py does not say {version}"
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(
        rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE
    ):
        yield f"CHANGELOG.md has no section '## [{version}] - DATE'"
    unreleased = re.search(
        r"^## \[Unreleased\]\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL
    )
    if unreleased is None or unreleased[1].strip():
        yield "CHANGELOG.md has entries under [Unreleased], or no such section"
    if not (root / "docs" / "release-notes" / f"{version}.md").exists():
        yield f"docs/release-notes/{version}.md is missing"
    recorded = (root / "tests" / "compatibility" / "released.json").read_text(encoding="utf-8")
    if json.loads(recorded)["version"] != version:
        yield "tests/compatibility/released.json is of another version: run `make released`"


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or not re.fullmatch(r"v\d+\.\d+\.\d+", arguments[0]):
        print("usage: release_check.py vX.Y.Z", file=sys.stderr)
        return 2
    found = list(complaints(arguments[0]))
    print("\n".join(found) or f"everything says {arguments[0]}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
