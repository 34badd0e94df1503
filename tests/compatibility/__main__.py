"""Writes the public surface of the release that is being made: `make released`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from qcfeed import __version__

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))  # as pytest does
from tests.compatibility.surface import RELEASED, surface

RELEASED.write_text(
    json.dumps({"version": __version__, **surface()}, indent=1, sort_keys=True) + "\n"
)
