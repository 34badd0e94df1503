"""The AsyncAPI description has every message, and is what AsyncAPI 3.0 demands."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, get_args

import asyncapi
import jsonschema
import pytest

from qcfeed.model.messages import Action, CloseCode, Request, ServerMessage, decode_request

ROOT = Path(__file__).parents[3]
SPECIFICATION = ROOT / ".tools/node_modules/@asyncapi/specs/schemas/3.0.0.json"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return asyncapi.document()


def problems(document: dict[str, Any]) -> list[str]:
    if not SPECIFICATION.exists():
        pytest.skip("AsyncAPI's schema is not here: `bash scripts/system_parts.sh` installs it")
    schema = json.loads(SPECIFICATION.read_text())
    return [each.message for each in jsonschema.Draft7Validator(schema).iter_errors(document)]


def test_it_is_valid_by_the_schema_of_its_authors(document: dict[str, Any]) -> None:
    assert problems(document) == []


@pytest.mark.parametrize(
    "broken", ["info", "channels.stream.address", "operations.stream.send.action"]
)
def test_that_schema_notices_what_is_wrong(document: dict[str, Any], broken: str) -> None:
    wrong = copy.deepcopy(document)
    match broken:
        case "info":
            del wrong["info"]
        case "channels.stream.address":
            wrong["channels"]["stream"]["address"] = 7
        case _:
            wrong["operations"]["stream.send"]["action"] = "publish"
    assert problems(wrong)


def test_every_message_and_request_is_in_it(document: dict[str, Any]) -> None:
    sent = {each.__name__ for each in get_args(ServerMessage)}
    requests = {f"{each.value.capitalize()}Request" for each in Action}
    assert set(document["components"]["messages"]) == sent | requests
    assert set(document["channels"]["stream"]["messages"]) == sent | requests
    for request in requests:
        assert document["components"]["schemas"][request]["required"][0] == "action"
    fields = {field for field, _ in asyncapi.REQUESTS.values() if field}
    assert fields | {"action"} == set(Request.__struct_fields__)
    assert set(document["x-close-codes"]) == {str(each.value) for each in CloseCode}


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(part: Any) -> list[str]:
        if isinstance(part, list):
            return [found for each in part for found in references(each)]
        if not isinstance(part, dict):
            return []
        own = [part["$ref"]] if "$ref" in part else []
        return own + [found for each in part.values() for found in references(each)]

    found = references(document)
    assert len(found) > 40
    for reference in found:
        place: Any = document
        for key in reference.removeprefix("#/").split("/"):
            place = place[key]


@pytest.mark.parametrize(
    "request_",
    [
        {"action": "subscribe", "symbols": ["AAPL"]},
        {"action": "unsubscribe", "symbols": []},
        {"action": "ping"},
        {"action": "slow", "policy": "drop-oldest"},
        {"action": "authenticate", "token": "qcf_x"},
    ],
)
def test_what_it_calls_a_request_is_one(document: dict[str, Any], request_: dict[str, Any]) -> None:
    schema = document["components"]["schemas"][f"{request_['action'].capitalize()}Request"]
    jsonschema.validate(request_, schema)
    decode_request(json.dumps(request_))
    for wrong in (request_ | {"more": 1}, request_ | {"action": "other"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
