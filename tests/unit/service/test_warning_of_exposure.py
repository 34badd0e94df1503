"""An exposed service says at its start what it lacks."""

from __future__ import annotations

import pytest

from qcfeed.config import Config
from qcfeed.service.run import warn_if_exposed


def test_each_gap_is_a_warning_with_what_to_type(caplog: pytest.LogCaptureFixture) -> None:
    warn_if_exposed(Config(host="0.0.0.0", admin_listen="127.0.0.1:9006", monitor=False))
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "no authentication (`qcfeed keys add NAME`" in caplog.text
    assert "unencrypted (--tls-cert" in caplog.text


def test_a_service_on_loopback_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    warn_if_exposed(Config())
    assert not caplog.records
