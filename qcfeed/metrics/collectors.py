"""The exposition: samples are read when somebody scrapes, nothing is counted on the hot path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family

from qcfeed.metrics.catalog.metrics import Kind, Metric


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric; ``labels`` in the order of its declaration."""

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()


class Exposition:
    """What /metrics says: a fresh reading at each scrape."""

    def __init__(self, read: Callable[[], Iterable[Sample]]) -> None:
        self._read = read
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """The Prometheus text format (version 0.0.4)."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Family]:
        """For the registry: samples of one metric gathered into its family."""
        families: dict[str, Family] = {}
        for sample in self._read():
            metric = sample.metric
            family = families.get(metric.name)
            if family is None:
                family = families[metric.name] = _family(metric)
            family.add_metric(sample.labels, sample.value)  # type: ignore[attr-defined]
        yield from families.values()


def _family(metric: Metric) -> Family:
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    return kind(metric.name, metric.help, labels=metric.labels)
