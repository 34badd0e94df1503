"""The answers of Prometheus' HTTP API, and of the servers that are compatible with it.

Compatible servers leave out keys, and write null where Prometheus writes an empty list. Everything that
qcfeed does not read is skipped while decoding, so an answer takes no more memory than its useful part.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

Data = TypeVar("Data")

REPLICA_LABELS = frozenset(
    {"replica", "prometheus_replica", "rule_replica", "receive_replica", "__replica__"}
)
"""Labels that distinguish the copies of one series from the servers of a highly available pair."""


class Envelope(msgspec.Struct):
    """The outer object of every answer. ``data`` is not decoded yet."""

    status: str
    data: msgspec.Raw = msgspec.Raw(b"null")
    error_type: str | None = msgspec.field(default=None, name="errorType")
    error: str | None = None
    warnings: list[str] | None = None


class PrometheusAnswer(msgspec.Struct, Generic[Data]):
    """An answer with its data."""

    data: Data | None = None


class SeriesData(msgspec.Struct):
    """One series: ``value`` of an instant query, ``values`` of a range query, neither of a histogram."""

    metric: dict[str, str] | None = None
    value: tuple[float, str] | None = None
    values: list[tuple[float, str]] | None = None

    @property
    def samples(self) -> list[tuple[float, str]]:
        if self.value is not None:
            return [self.value]
        return self.values or []


class QueryData(msgspec.Struct):
    """A vector or a matrix. A scalar, which no query of qcfeed asks for, has no series."""

    result: list[SeriesData | float | str] | None = None

    @property
    def series(self) -> list[SeriesData]:
        return [each for each in self.result or () if isinstance(each, SeriesData)]


class AlertData(msgspec.Struct):
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    state: str = ""
    active_at: str | None = msgspec.field(default=None, name="activeAt")
    value: str | float | None = None


class AlertsData(msgspec.Struct):
    """The active alerts. The key is required: an answer without it does not say that no alert is firing."""

    alerts: list[AlertData] | None


class RuleData(msgspec.Struct):
    """A rule. ``type``: alerting or recording. ``duration``: seconds for which an alert must hold."""

    name: str = ""
    type: str = ""
    query: str = ""
    duration: float | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    last_error: str | None = msgspec.field(default=None, name="lastError")


class GroupData(msgspec.Struct):
    rules: list[RuleData] | None = None


class RulesData(msgspec.Struct):
    groups: list[GroupData] | None

    def rules(self) -> list[RuleData]:
        """All rules of all groups."""
        return [rule for group in self.groups or () for rule in group.rules or ()]


class BuildData(msgspec.Struct):
    version: str = "unknown"


_envelope = msgspec.json.Decoder(Envelope)
_query = msgspec.json.Decoder(PrometheusAnswer[QueryData])


def check(body: bytes, *, is_query: bool) -> tuple[Envelope, bytes]:
    """The envelope of an answer, and its body without what qcfeed does not read.

    A query's body is reduced to its series, because the library decodes it once more, without types.
    Raises msgspec.DecodeError or RecursionError for anything else. Cost: linear, without nested objects.
    """
    envelope = _envelope.decode(body)
    if envelope.status != "success" or not is_query:
        return envelope, body
    data = _query.decode(body).data or QueryData()
    series = [{"metric": each.metric or {}, "values": each.samples} for each in data.series]
    return envelope, msgspec.json.encode({"status": "success", "data": {"result": series}})


def decode(body: bytes, kind: type[Data]) -> Data:
    """The data of an answer, empty if there is none. Raises msgspec.DecodeError or RecursionError."""
    data = msgspec.json.decode(body, type=PrometheusAnswer[kind]).data  # type: ignore[valid-type]
    return msgspec.convert({}, kind) if data is None else data
