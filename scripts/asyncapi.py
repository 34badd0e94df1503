"""The AsyncAPI 3.0 description of the WebSocket protocol, docs/asyncapi.json, from qcfeed/model/messages.py."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from typing import Any, get_args

import msgspec

from qcfeed import __version__
from qcfeed.model.messages import (
    Action,
    Authenticated,
    AuthExpiring,
    CloseCode,
    Error,
    GoingAway,
    Pong,
    Quote,
    Request,
    ServerMessage,
    SlowPolicy,
    Status,
    Subscribed,
    should_reconnect,
)
from qcfeed.model.slow_consumer_policy import SlowConsumerPolicy
from qcfeed.model.symbol import MAX_LENGTH

SCHEMAS = "#/components/schemas/{name}"

REQUESTS: dict[Action, tuple[str | None, type[msgspec.Struct]]] = {
    Action.SUBSCRIBE: ("symbols", Subscribed),
    Action.UNSUBSCRIBE: ("symbols", Subscribed),
    Action.PING: (None, Pong),
    Action.SLOW: ("policy", SlowPolicy),
    Action.AUTHENTICATE: ("token", Authenticated),
}
"""Each request: the field that belongs to it, and its answer if it is not refused."""
UNASKED = (Quote, Status, AuthExpiring, GoingAway)
"""What the service sends without a request."""
CHANNELS = {"quotes": "/quotes/{symbol}", "stream": "/stream"}
FIXED = frozenset((Action.SUBSCRIBE, Action.UNSUBSCRIBE))
"""Requests of the stream channel alone: the symbol of the other is in its address."""


def document() -> dict[str, Any]:
    """The description. It is of the service: it sends quotes, and receives requests."""
    sent: tuple[type[msgspec.Struct], ...] = get_args(ServerMessage)
    _, schemas = msgspec.json.schema_components([*sent, Request], ref_template=SCHEMAS)
    request = schemas.pop("Request")
    schemas |= {_name(action): _request(action, request) for action in Action}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Quotes of qcfeed",
            "version": __version__,
            "description": "Market data over WebSockets, one JSON text per message. docs/reference/protocol.md"
            " explains it. Close codes are in x-close-codes.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {"host": "127.0.0.1:8006", "protocol": "ws"},
            "tls": {
                "host": "quotes.example.com",
                "protocol": "wss",
                "description": "A service that others reach. Where it demands a key or a token, one of these.",
                "security": [
                    {"$ref": f"#/components/securitySchemes/{name}"} for name in _security()
                ],
            },
        },
        "channels": {name: _channel(name, sent) for name in CHANNELS},
        "operations": dict(each for name in CHANNELS for each in _operations(name)),
        "components": {
            "messages": {
                **{each.__name__: _message(each.__name__, _about(each)) for each in sent},
                **{
                    _name(action): _message(_name(action), f"The request {action.value!r}.")
                    for action in Action
                },
            },
            "schemas": schemas,
            "securitySchemes": _security(),
        },
        "x-close-codes": {
            str(code.value): {"name": code.name.lower(), "reconnect": should_reconnect(code)}
            for code in CloseCode
        },
    }


def render() -> str:
    """docs/asyncapi.json."""
    return json.dumps(document(), indent=1)


def _about(kind: type[msgspec.Struct]) -> str:
    return " ".join((inspect.getdoc(kind) or "").split())


def _name(action: Action) -> str:
    return f"{action.value.capitalize()}Request"


def _request(action: Action, whole: dict[str, Any]) -> dict[str, Any]:
    """The part of the request's schema that belongs to one action."""
    field, _ = REQUESTS[action]
    properties: dict[str, Any] = {"action": {"const": action.value}}
    if field is not None:
        known = {
            key: value for key, value in whole["properties"][field].items() if key != "default"
        }
        properties[field] = known
    if action is Action.SLOW:
        properties["policy"] = {"enum": [each.value for each in SlowConsumerPolicy]}
    return {
        "title": _name(action),
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _message(name: str, about: str) -> dict[str, Any]:
    return {
        "name": name,
        "contentType": "application/json",
        "summary": about,
        "payload": {"$ref": SCHEMAS.format(name=name)},
    }


def _requests(channel: str) -> list[Action]:
    return [each for each in Action if channel == "stream" or each not in FIXED]


def _channel(name: str, sent: Sequence[type[msgspec.Struct]]) -> dict[str, Any]:
    names = [*(each.__name__ for each in sent), *map(_name, _requests(name))]
    if name == "quotes":
        names.remove(Subscribed.__name__)
    described: dict[str, Any] = {
        "address": CHANNELS[name],
        "messages": {each: {"$ref": f"#/components/messages/{each}"} for each in names},
        "bindings": {"ws": {"method": "GET", "query": _query(), "bindingVersion": "0.1.0"}},
    }
    if name == "quotes":
        about = (
            f"1 to {MAX_LENGTH} of A-Z, 0-9, '.' and '-', beginning with a letter or digit, without"
            " '..'. Lower case is accepted."
        )
        described["parameters"] = {
            "symbol": {"description": about, "examples": ["AAPL", "BTC-USD"]}
        }
    return described


def _query() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "slow": {"type": "string", "enum": [each.value for each in SlowConsumerPolicy]},
            "compress": {"type": "string", "enum": ["0", "1"]},
            "access_token": {"type": "string"},
        },
    }


def _operations(channel: str) -> list[tuple[str, dict[str, Any]]]:
    """What the service sends unasked on a channel, and each request with its answers."""
    place = {"$ref": f"#/channels/{channel}"}

    def messages(*names: str) -> list[dict[str, str]]:
        return [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names]

    unasked = {
        "action": "send",
        "channel": place,
        "messages": messages(*(each.__name__ for each in (*UNASKED, Error))),
    }
    requests = [
        (
            f"{channel}.{action.value}",
            {
                "action": "receive",
                "channel": place,
                "messages": messages(_name(action)),
                "reply": {
                    "channel": place,
                    "messages": messages(REQUESTS[action][1].__name__, Error.__name__),
                },
            },
        )
        for action in _requests(channel)
    ]
    return [(f"{channel}.send", unasked), *requests]


def _security() -> dict[str, Any]:
    return {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key or a JSON Web Token, in the upgrade.",
        },
        "query": {
            "type": "httpApiKey",
            "in": "query",
            "name": "access_token",
            "description": "The same in the URL, for clients that cannot set a header.",
        },
    }
