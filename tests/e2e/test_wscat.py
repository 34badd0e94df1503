"""The incident's own client against the service: `wscat -c ws://localhost:PORT/quotes/AAPL`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pexpect
import pytest

from qcfeed.model.messages import CloseCode
from tests.support.patience import PATIENCE
from tests.support.shell import environment, qcfeed, serving

ROOT = Path(__file__).parents[2]


def wscat() -> str:
    """The program: the project's own copy, or the one on the path."""
    own = ROOT / ".tools" / "node_modules" / ".bin" / "wscat"
    found = str(own) if own.exists() else shutil.which("wscat")
    if found is None:
        pytest.skip("wscat is not here: `bash scripts/system_parts.sh` installs it from npm")
    return found


def test_wscat_sees_quotes_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    program = wscat()
    with serving(tmp_path, "--linger", "0.1") as service:
        address = service.url.replace("127.0.0.1", "localhost")
        client = pexpect.spawn(
            program, ["-c", f"{address}/quotes/AAPL"], env=environment(tmp_path),
            timeout=PATIENCE, encoding="utf-8",
        )  # fmt: skip
        client.expect(r"\{.*\"type\":\"quote\".*\}")
        quote = json.loads(client.match.group(0))
        assert quote["symbol"] == "AAPL"
        assert quote["bid"] < quote["ask"]
        client.sendintr()
        client.expect(pexpect.EOF)
        client.close()
        flat = qcfeed(
            tmp_path, "repro", "--mode", "clean", "--cycles", "5", "--settle", "60", "-o", "json"
        )
        assert flat.returncode == 0, flat.stdout + flat.stderr


def test_wscat_shows_why_it_was_closed(tmp_path: Path) -> None:
    program = wscat()
    with serving(tmp_path) as service:
        client = pexpect.spawn(
            program, ["-c", f"{service.url}/quotes/AAPL"], env=environment(tmp_path),
            timeout=PATIENCE, encoding="utf-8",
        )  # fmt: skip
        client.expect("quote")
        assert qcfeed(tmp_path, "feeds", "cancel", "AAPL", "--yes").returncode == 0
        client.expect(str(int(CloseCode.FEED_CANCELLED)))
        client.close()
