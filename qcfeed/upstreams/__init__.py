"""Upstreams, the sources of quotes. What an upstream of another package needs can be imported from here.

docs/how-to/upstreams.md describes how to write one; registry.py finds it, conformance/ tests it.
"""

from qcfeed.errors import ConfigError, UnknownSymbolError, UpstreamError
from qcfeed.model.messages import Tick
from qcfeed.model.symbol import Symbol
from qcfeed.upstreams.base import Sink, Upstream, UpstreamHealth
from qcfeed.upstreams.timestamps import Timestamps
from qcfeed.upstreams.url import UpstreamUrl

__all__ = [
    "ConfigError",
    "Sink",
    "Symbol",
    "Tick",
    "Timestamps",
    "UnknownSymbolError",
    "Upstream",
    "UpstreamError",
    "UpstreamHealth",
    "UpstreamUrl",
]
