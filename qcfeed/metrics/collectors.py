"""The exposition of metrics. Samples are computed at each scrape, so the hot path counts nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.utils import floatToGoString

from qcfeed.metrics.catalog.metrics import Metric, MetricKind


class BucketCounts(NamedTuple):
    """The value of a histogram or distribution: ``counts`` has one number per bucket (not cumulative; the
    last is above all bounds), ``sum`` is the sum of all observed values."""

    counts: Sequence[int]
    sum: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric. ``labels``: values in the order of the metric's declaration."""

    metric: Metric
    value: float | BucketCounts
    labels: tuple[str, ...] = ()


class Collector:
    """A collector for prometheus-client's registry, which computes the samples at each scrape."""

    def __init__(self, read: Callable[[], Iterable[Sample]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Family]:
        """The samples, grouped into one family per metric."""
        families: dict[str, Family] = {}
        for sample in self._read():
            metric = sample.metric
            family = families.get(metric.name)
            if family is None:
                family = families[metric.name] = _family(metric)
            _add(family, sample)
        yield from families.values()


class Exposition:
    """The content of /metrics."""

    def __init__(self, read: Callable[[], Iterable[Sample]]) -> None:
        # auto_describe would collect once at registration, which takes a snapshot of all tasks.
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(Collector(read))

    def text(self) -> bytes:
        """The Prometheus text format (version 0.0.4).

        Call it in any thread but the loop's: it takes a snapshot, 0.5 us per live task.
        """
        return generate_latest(self._registry)


_FAMILIES: dict[MetricKind, Callable[..., Family]] = {
    MetricKind.GAUGE: GaugeMetricFamily,
    MetricKind.COUNTER: CounterMetricFamily,
    MetricKind.HISTOGRAM: HistogramMetricFamily,
    MetricKind.DISTRIBUTION: GaugeHistogramMetricFamily,
}


def _family(metric: Metric) -> Family:
    return _FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels)


def _add(family: Family, sample: Sample) -> None:
    value = sample.value
    if isinstance(value, BucketCounts):
        bounds = [*sample.metric.buckets, float("inf")]
        summed = itertools.accumulate(value.counts)
        buckets = [
            (floatToGoString(bound), count)  # type: ignore[no-untyped-call]
            for bound, count in zip(bounds, summed, strict=True)
        ]
        family.add_metric(sample.labels, buckets, value.sum)  # type: ignore[attr-defined]
    else:
        family.add_metric(sample.labels, value)  # type: ignore[attr-defined]
