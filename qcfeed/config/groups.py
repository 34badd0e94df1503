"""The groups of options, and all options of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcfeed.config.nats import ClusterConfig, FeederConfig, NatsConfig
from qcfeed.config.option import Option, options_of
from qcfeed.config.prometheus import PrometheusConfig
from qcfeed.config.service import Config

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def options(group: type[DataclassInstance] = Config) -> list[Option]:
    """The options of ``group``, one of GROUPS, in the order of declaration."""
    return options_of(group)


def all_options() -> list[Option]:
    """The options of every group."""
    return [option for group in GROUPS for option in options(group)]


GROUPS: tuple[type[DataclassInstance], ...] = (
    Config,
    PrometheusConfig,
    FeederConfig,
    NatsConfig,
    ClusterConfig,
)
"""The option groups, which share one configuration file and one environment."""
