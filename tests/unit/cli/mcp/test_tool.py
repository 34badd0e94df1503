"""The schemas of tools, as the protocol wants them."""

from __future__ import annotations

import jsonschema
import msgspec
import pytest

from qcfeed.cli.mcp.actions import Planner
from qcfeed.cli.mcp.plans import Plans
from qcfeed.cli.mcp.reads import read_tools
from qcfeed.cli.mcp.tool import Tool, input_schema, output_schema
from qcfeed.control.client import ControlClient
from qcfeed.control.paths import ControlAddress
from qcfeed.model.diagnosis import Diagnosis


def no_diagnosis(_: float) -> Diagnosis:
    raise NotImplementedError


NOWHERE = ControlClient(ControlAddress(port=1), timeout=1)
ACTING = Planner(NOWHERE, lambda _: NOWHERE, Plans(lambda: 0.0)).tools()
TOOLS = [*read_tools(NOWHERE, no_diagnosis), *ACTING]


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_schemas_are_valid_and_describe_objects(tool: Tool) -> None:
    for schema in (input_schema(tool), output_schema(tool)):
        if schema is not None:
            jsonschema.Draft202012Validator.check_schema(schema)
            assert schema["type"] == "object"


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_arguments_are_described_and_no_others_are_accepted(tool: Tool) -> None:
    schema = input_schema(tool)
    assert schema["additionalProperties"] is False
    assert all("description" in each for each in schema.get("properties", {}).values())


def test_only_a_confirmation_acts() -> None:
    assert [tool.name for tool in TOOLS if tool.acts] == ["confirm_plan"]


def test_a_list_is_short_unless_more_is_asked_for() -> None:
    [tasks] = [tool for tool in TOOLS if tool.name == "tasks"]
    assert msgspec.convert({}, tasks.arguments).limit == 20  # type: ignore[attr-defined]
