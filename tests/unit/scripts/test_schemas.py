"""One vocabulary: a name in the answers has one type, and a thing has one name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jsonschema
import pytest
import schemas

DOCUMENT = schemas.schemas()

RETIRED = {
    "again": "to_recheck",
    "births": "spawned",
    "born": "spawned",
    "evicted": "conflated or dropped",
    "fate": "policy",
    "look_again": "suspected",
    "memory_bytes": "resident_bytes",
    "orphans_count": "orphaned",
    "reaped": "cancelled",
    "task_id": "serial",
    "task_serial": "serial",
    "untold": "skipped",
}
"""Names that an answer had once, or could have, for a thing that has another name."""


def kinds(schema: Any) -> set[str]:
    """The JSON types that a schema allows; null left out, because any value may be missing."""
    if not isinstance(schema, Mapping):
        return {"anything"}
    if "anyOf" in schema:
        return set().union(*map(kinds, schema["anyOf"])) - {"null"}
    if "$ref" in schema:
        target = DOCUMENT["$defs"][schema["$ref"].rpartition("/")[2]]
        return kinds(target) if "enum" in target else {"object"}
    if "enum" in schema:
        return {"string"}
    if schema.get("type") == "array":
        return {f"list of {'/'.join(sorted(kinds(schema.get('items'))))}"}
    return {schema.get("type", "anything")}


def fields(definitions: Mapping[str, Any]) -> Iterator[tuple[str, str, set[str]]]:
    """Definition, field and the field's types."""
    for name, definition in definitions.items():
        for field, schema in definition.get("properties", {}).items():
            yield name, field, kinds(schema)


def clashes(definitions: Mapping[str, Any]) -> dict[str, dict[str, list[str]]]:
    """Fields that have more than one type, with the definitions that use each."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, field, types in fields(definitions):
        found[field]["/".join(sorted(types))].append(name)
    return {field: dict(types) for field, types in found.items() if len(types) > 1}


def retired(definitions: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}.{field}: say {RETIRED[field]}"
        for name, field, _ in fields(definitions)
        if field in RETIRED
    ]


def test_a_name_has_one_type_in_every_answer() -> None:
    assert clashes(DOCUMENT["$defs"]) == {}


def test_no_answer_uses_a_retired_name() -> None:
    assert retired(DOCUMENT["$defs"]) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"type": "integer"}, {"type": "string"}),
        ({"type": "integer"}, {"type": "number"}),
        ({"type": "integer"}, {"type": "array", "items": {"type": "integer"}}),
        ({"type": "array", "items": {"type": "integer"}}, {"type": "array", "items": {}}),
        ({"$ref": "#/$defs/Task"}, {"type": "integer"}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, {"type": "string"}),
    ],
)
def test_a_clash_is_found(one: dict[str, Any], other: dict[str, Any]) -> None:
    planted = {"One": {"properties": {"x": one}}, "Other": {"properties": {"x": other}}}
    assert list(clashes(planted)) == ["x"]


def test_a_retired_name_is_found() -> None:
    assert retired({"One": {"properties": {"fate": {}}}}) == ["One.fate: say policy"]


def test_the_document_is_a_schema_and_names_every_answer() -> None:
    jsonschema.Draft202012Validator.check_schema(DOCUMENT)
    tags = {
        tag
        for definition in DOCUMENT["$defs"].values()
        for tag in _tags(definition.get("properties", {}).get("schema", {}))
    }
    assert tags == {str(each.__struct_config__.tag) for each in schemas.answers()}
    assert {"qcfeed.status/2", "qcfeed.tasks.by_location/3", "qcfeed.tasks.verify/2"} <= tags


def _tags(schema: Mapping[str, Any]) -> Iterable[str]:
    return schema.get("enum", [])
