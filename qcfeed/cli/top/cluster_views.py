"""The lists of ``qcfeed --cluster top``. Pure."""

from __future__ import annotations

from qcfeed.cli.cluster.findings import FINDING_TABLE
from qcfeed.cli.cluster.orphans import ORPHAN_TABLE
from qcfeed.cli.top.cluster_observer import InstanceRow
from qcfeed.cli.top.views import View
from qcfeed.cli.ui import formats
from qcfeed.cli.ui.table import Column, Table


def _epoch(row: InstanceRow) -> int | None:
    part = None if row.status is None else row.status.cluster
    return None if part is None else part.lease_epoch


def _colour(row: InstanceRow) -> str | None:
    return "red" if row.status is None or row.orphans else None


INSTANCE_TABLE: Table[InstanceRow] = Table(
    (
        Column("member", header="INSTANCE", least=8, colour=_colour),
        Column("role", lambda row: row.of_status.role),
        Column("state", lambda row: row.of_status.state, colour=_colour),
        Column(
            "subscriptions",
            lambda row: None if row.status is None else row.status.subscriptions,
            formats.count,
            "SUBS",
            right=True,
        ),
        Column("quotes_per_s", header="QUOTES/S", show=formats.rate, right=True),
        Column(
            "lag",
            lambda row: None if row.status is None else row.status.loop_lag_ms,
            formats.milliseconds,
            right=True,
            rank=1,
        ),
        Column("orphans", show=formats.count, right=True, colour=_colour, rank=1),
        Column("epoch", _epoch, rank=2),
    ),
    identity=lambda row: row.member,
)

VIEWS: tuple[View, ...] = (
    View("instances", "Instances", INSTANCE_TABLE, empty="nobody answers"),
    View("orphans", "Orphans", ORPHAN_TABLE, empty="no orphans between the instances"),
    View("findings", "Findings", FINDING_TABLE, empty="no findings"),
)
"""In the order of the keys 1 to 3."""
