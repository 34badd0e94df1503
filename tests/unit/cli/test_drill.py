"""``qcfeed drill`` as it reads, against the routes of a board on a real hub."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from qcfeed.drills.handlers import DrillHandlers
from qcfeed.errors import ExitStatus

from .conftest import Left, Watched

Command = Callable[..., Left]


@pytest.fixture
async def forbidden(watched: Watched) -> Watched:
    watched.serve(routes=DrillHandlers(None).routes())
    return watched


async def test_without_permission_drills_are_listed_but_not_started(
    forbidden: Watched, qcfeed_: Command
) -> None:
    listed = await asyncio.to_thread(qcfeed_, "drill", "list", "-o", "name")
    assert listed.status == ExitStatus.OK
    assert "zombie-feeds" in listed.out.splitlines()
    table = await asyncio.to_thread(qcfeed_, "drill", "list")
    assert table.out.splitlines()[0].split() == ["NAME", "LASTS", "BREAKS"]
    assert "qcfeed serve --allow-drills" in table.err
    for args in (("start", "silent-upstream"), ("stop",)):
        refused = await asyncio.to_thread(qcfeed_, "drill", *args)
        assert refused.status == ExitStatus.NOT_ALLOWED
        assert "this service does not allow drills" in refused.err
        assert "--allow-drills`; never in production" in refused.err


async def test_json_is_the_services_answer_unchanged(forbidden: Watched, qcfeed_: Command) -> None:
    said: dict[str, Any] = json.loads(
        (await asyncio.to_thread(qcfeed_, "drill", "list", "-o", "json")).out
    )
    assert (said["schema"], said["allowed"], said["active"]) == ("qcfeed.drills/2", False, None)
    [stuck] = [each for each in said["drills"] if each["name"] == "stuck-loop"]
    assert (stuck["default_number"], stuck["duration_s"]) == (2, 900)


def test_an_invalid_duration_is_an_error(qcfeed_: Command) -> None:
    left = qcfeed_("drill", "start", "silent-upstream", "--for", "soon")
    assert left.status == ExitStatus.USAGE
    assert "for example 30s" in left.err


@pytest.mark.parametrize(
    ("command", "drill", "message"),
    [
        ("start", "zombies", "there is no drill 'zombies'"),
        ("start", "stuck-loop=31", "N is the seconds per blocking call, from 1 to 30"),
        ("rehearse", "zombies", "there is no drill 'zombies'"),
        ("rehearse", "silent-upstream=3", "takes no number"),
    ],
)
def test_an_unknown_drill_is_refused_without_a_service(
    qcfeed_: Command, command: str, drill: str, message: str
) -> None:
    left = qcfeed_("drill", command, drill)
    assert (left.status, left.out) == (ExitStatus.USAGE, "")
    assert message in left.err
    assert "starting" not in left.err
    if drill == "zombies":
        assert "did you mean zombie-feeds? `qcfeed drill list` lists them" in left.err


async def test_the_drills_are_listed_without_a_service_and_with_several(
    watched: Watched, qcfeed_: Command
) -> None:
    without = await asyncio.to_thread(qcfeed_, "drill", "list", "-o", "name")
    assert without.status == ExitStatus.OK
    assert "zombie-feeds" in without.out.splitlines()
    assert "no qcfeed service runs here" in without.err
    watched.serve("one")
    watched.serve("two")
    several = await asyncio.to_thread(qcfeed_, "drill", "list")
    assert several.status == ExitStatus.OK
    assert "2 instances run here" in several.err
    named = await asyncio.to_thread(qcfeed_, "--instance", "three", "drill", "list")
    assert named.status == ExitStatus.UNREACHABLE
