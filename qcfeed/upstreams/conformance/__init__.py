"""A conformance test for upstreams, for any package's pytest. It needs neither pytest nor a plugin of it.

    from qcfeed.upstreams.conformance import UpstreamConformance

    class TestMine(UpstreamConformance):
        url = "mine:"
        symbols = ("AAPL", "MSFT")
        unknown = "NOPE"

The same from a shell: ``python -m qcfeed.upstreams.conformance mine: --symbols AAPL,MSFT --unknown NOPE``.
"""

from qcfeed.upstreams.conformance.checks import UpstreamConformance
from qcfeed.upstreams.conformance.sink import KeepingSink

__all__ = ["KeepingSink", "UpstreamConformance"]
