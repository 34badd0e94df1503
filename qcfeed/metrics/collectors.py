"""The exposition: samples are read when somebody scrapes, nothing is counted on the hot path."""

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

from qcfeed.metrics.catalog.metrics import Kind, Metric


class BucketCounts(NamedTuple):
    """What a histogram or distribution shows: ``counts`` one a bucket, beyond the last bound at the
    end, and the ``sum`` of all that was observed."""

    counts: Sequence[int]
    sum: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric; ``labels`` in the order of its declaration."""

    metric: Metric
    value: float | BucketCounts
    labels: tuple[str, ...] = ()


class Collector:
    """For a registry of prometheus-client's: a fresh reading at each scrape."""

    def __init__(self, read: Callable[[], Iterable[Sample]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Family]:
        """Samples of one metric gathered into its family."""
        families: dict[str, Family] = {}
        for sample in self._read():
            metric = sample.metric
            family = families.get(metric.name)
            if family is None:
                family = families[metric.name] = _family(metric)
            _add(family, sample)
        yield from families.values()


class Exposition:
    """What /metrics says."""

    def __init__(self, read: Callable[[], Iterable[Sample]]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(Collector(read))

    def text(self) -> bytes:
        """The Prometheus text format (version 0.0.4). From any thread but the loop's: it takes as
        long as the reading, 0.5 us a live task."""
        return generate_latest(self._registry)


_FAMILIES: dict[Kind, Callable[..., Family]] = {
    Kind.GAUGE: GaugeMetricFamily,
    Kind.COUNTER: CounterMetricFamily,
    Kind.HISTOGRAM: HistogramMetricFamily,
    Kind.DISTRIBUTION: GaugeHistogramMetricFamily,
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
