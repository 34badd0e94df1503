"""``qcfeed mcp`` with the official SDK's own client: what an agent reads, plans and does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from tests.support.agent import agent, call, text
from tests.support.program import program
from tests.support.shell import Serving, qcfeed, serving
from tests.support.websockets_client import connect

SECRET = "kept-from-every-agent"
READS = {
    "status": "qcfeed.status/2",
    "tasks_by_location": "qcfeed.tasks.by_location/3",
    "tasks": "qcfeed.tasks/1",
    "tasks_by_object": "qcfeed.tasks.by_object/1",
    "task_findings": "qcfeed.findings/3",
    "task_failures": "qcfeed.tasks.failures/2",
    "orphans": "qcfeed.orphans/3",
    "memory": "qcfeed.memory/1",
    "stacks": "qcfeed.stacks/2",
    "feeds": "qcfeed.feeds/2",
    "subscribers": "qcfeed.subscribers/2",
    "log": "qcfeed.log/2",
    "audit": "qcfeed.audit/1",
    "drills": "qcfeed.drills/2",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[Serving]:
    with serving(home, "--no-monitor", "--drill", "zombie-feeds=50") as service:
        yield service


def audited(home: Path) -> list[dict[str, Any]]:
    [log] = home.rglob("*.audit.jsonl")
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.usefixtures("service")
async def test_an_agent_may_only_read_unless_it_is_told_otherwise(home: Path) -> None:
    async with agent(home) as client:
        tools = (await client.list_tools()).tools
        assert all(tool.annotations.read_only_hint for tool in tools)
        assert not [tool.name for tool in tools if tool.name.startswith(("plan_", "confirm"))]
        failed, said = await text(client, "confirm_plan", plan_id="x")
    assert failed
    assert "there is no tool 'confirm_plan'" in said


@pytest.mark.usefixtures("service")
async def test_every_reading_tool_answers_as_its_schema_says(home: Path) -> None:
    async with agent(home) as client:
        named = {tool.name for tool in (await client.list_tools()).tools}
        assert named == {*READS, "diagnose", "task", "runbook"}
        for name, schema in READS.items():
            assert (await call(client, name))["schema"] == schema
        serial = (await call(client, "tasks", limit=1))["tasks"][0]["serial"]
        assert (await call(client, "task", serial=serial))["task"]["serial"] == serial
        failed, page = await text(client, "runbook", name="QcfeedOrphanedTasks")
    assert not failed
    assert "orphans --reap" in page


@pytest.mark.usefixtures("service")
async def test_mistakes_are_answers_that_say_what_to_do(home: Path) -> None:
    async with agent(home, "--allow-actions") as client:
        mistakes = {
            ("task", "there is no live task"): {"serial": 999_999},
            ("task", "Expected `int` >= 1"): {"serial": 0},
            ("tasks", "unknown field `colour`"): {"colour": "red"},
            ("runbook", "no runbook 'nothing'"): {"name": "nothing"},
            ("plan_cancel_feeds", "no feed for AAPL"): {"symbols": ["aapl"]},
            ("plan_cancel_feeds", "not a symbol"): {"symbols": ["../etc"]},
            ("plan_cancel_tasks", "give serials or a site"): {},
            ("plan_disconnect_subscribers", "no connection 7"): {"ids": [7]},
            ("confirm_plan", "no plan 'x' waits"): {"plan_id": "x"},
        }
        for (tool, words), arguments in mistakes.items():
            failed, said = await text(client, tool, **arguments)
            assert failed
            assert words in said


PROGRAM = """
import asyncio, os, qcfeed

async def main():
    qcfeed.attach("bot")
    secret = os.environ["DB_PASSWORD"]
    task = asyncio.create_task(asyncio.sleep(3600), name=f"login with {secret}")
    print("ready", flush=True)
    await task

asyncio.run(main())
"""


async def test_secrets_of_a_program_do_not_reach_an_agent(tmp_path: Path) -> None:
    with program(tmp_path, "-c", PROGRAM, DB_PASSWORD=SECRET) as running:
        running.hear("ready")
        assert SECRET in qcfeed(tmp_path, "tasks", "-o", "json").stdout
        async with agent(tmp_path) as client:
            tasks = json.dumps(await call(client, "tasks"))
            assert (await call(client, "status"))["schema"] == "qcfeed.process/2"
    assert "login with" in tasks
    assert SECRET not in tasks


async def test_a_service_that_is_not_there_is_an_answer_too(tmp_path: Path) -> None:
    with serving(tmp_path, "--no-monitor") as service:
        async with agent(tmp_path) as client:
            assert (await call(client, "status"))["state"] == "serving"
            service.end()
            failed, said = await text(client, "status")
    assert failed
    assert "is it running? `qcfeed serve` starts one" in said


async def test_an_action_happens_once_and_only_after_its_plan_is_confirmed(tmp_path: Path) -> None:
    with serving(tmp_path, "--no-monitor", "--drill", "zombie-feeds=30"):
        async with agent(tmp_path, "--allow-actions") as client:
            while (await call(client, "orphans"))["total"] < 30:
                pass
            failed, plan = await text(client, "plan_reap_orphans")
            assert not failed
            assert "cancel 30 orphans, created at qcfeed/drills/zombies.py:" in plan
            assert (await call(client, "orphans"))["total"] == 30, "a plan does nothing"
            plan_id = plan.split()[1].rstrip(":")
            reaped = await call(client, "confirm_plan", plan_id=plan_id)
            assert (reaped["cancelled"], reaped["survivors"]) == (30, [])
            failed, said = await text(client, "confirm_plan", plan_id=plan_id)
            assert failed
            assert "nothing was done" in said
    [intent, outcome] = [line for line in audited(tmp_path) if line["action"] == "orphans.reap"]
    assert intent["who"]["program"] == f"qcfeed-mcp/{plan_id}"
    assert outcome["outcome"] == "done"


async def confirmed(client: Client, tool: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    """A plan, and the answer once it was confirmed."""
    failed, plan = await text(client, tool, **arguments)
    assert not failed, plan
    return plan, await call(client, "confirm_plan", plan_id=plan.split()[1].rstrip(":"))


async def test_each_kind_of_plan_does_what_it_says(tmp_path: Path) -> None:
    drill = ("--drill", "silent-upstream")
    with serving(tmp_path, "--no-monitor", "--linger", "3600", *drill) as service:
        async with agent(tmp_path, "--allow-actions") as client:
            with connect(f"{service.url}/quotes/AAPL"), connect(f"{service.url}/quotes/MSFT"):
                while (await call(client, "subscribers"))["total"] < 2:
                    pass
                readers = (await call(client, "subscribers"))["subscribers"]
                [apple] = [each["id"] for each in readers if each["symbols"] == ["AAPL"]]

                plan, kicked = await confirmed(client, "plan_disconnect_subscribers", ids=[apple])
                assert f"close 1 connection ({apple} from 127.0.0.1:" in plan
                assert kicked["kicked"] == 1

                plan, cancelled = await confirmed(client, "plan_cancel_feeds", symbols=["msft"])
                assert "cancel 1 feed (MSFT) and disconnect 1 subscriber" in plan
                assert [each["symbol"] for each in cancelled["feeds"]] == ["MSFT"]

                left = (await call(client, "tasks", name="feed AAPL*"))["tasks"]
                assert len(left) == 1, "its feed lingers"
                plan, ended = await confirmed(
                    client, "plan_cancel_tasks", serials=[left[0]["serial"]]
                )
                assert "cancel 1 live task" in plan
                assert (ended["cancelled"], ended["survived"]) == (1, 0)

                plan, stopped = await confirmed(client, "plan_stop_drill")
                assert "stop the drill silent-upstream" in plan
                assert stopped["stopped"] == "silent-upstream"
                failed, said = await text(client, "plan_stop_drill")
                assert failed
                assert "no drill is active" in said
