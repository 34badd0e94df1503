"""Panels of services that run on NATS: gateways and feeders. Empty without NATS."""

from __future__ import annotations

from qcfeed.metrics.catalog import alerts
from qcfeed.metrics.catalog.panel import Panel, PanelRow, Query, of, rate

CLUSTER = PanelRow(
    "Gateways and feeders on NATS",
    (
        Panel(
            "Connections to NATS",
            "Whether a needed connection is missing; and connections lost per second.",
            "short",
            (
                Query(of("qcfeed_broker_away"), "{{instance}} away", flag=True),
                Query(rate("qcfeed_broker_reconnects_total"), "{{instance}} lost"),
            ),
            warn=0.5,
            bad=1,
            alerts=(alerts.BROKER_AWAY, alerts.BROKER_UNSTABLE),
        ),
        Panel(
            "Shares of the symbols without an owner",
            "As a gateway hears it. There should be none.",
            "short",
            (Query(of("qcfeed_shares_without_owner"), "{{instance}}"),),
            warn=0.5,
            bad=1,
            alerts=(alerts.NO_OWNER,),
        ),
        Panel(
            "Epoch of the owner, by share",
            "It rises with every change of the owner; standbys have 0. Each share has one owner.",
            "short",
            (Query(of("qcfeed_lease_epoch"), "{{instance}} {{share}}"),),
            alerts=(alerts.TWO_OWNERS,),
        ),
        Panel(
            "Renewals of the lease that failed per second",
            "If all of them fail for as long as the lease lasts, a standby takes over.",
            "ops",
            (Query(rate("qcfeed_lease_renewals_missed_total"), "{{instance}}"),),
            alerts=(alerts.RENEWALS_MISSED,),
        ),
        Panel(
            "Quotes that a slow gateway lost or skipped per second",
            "Lost: NATS or the client gave them up. Skipped: only the newest of each symbol was kept.",
            "ops",
            (
                Query(rate("qcfeed_broker_dropped_total"), "{{instance}} lost"),
                Query(rate("qcfeed_broker_skipped_total"), "{{instance}} skipped"),
            ),
            alerts=(alerts.GATEWAY_LAGS,),
        ),
        Panel(
            "Messages of former owners per second",
            "Rejected by gateways. A few at a change of the owner are normal.",
            "ops",
            (Query(rate("qcfeed_epochs_rejected_total"), "{{instance}}"),),
            alerts=(alerts.FORMER_OWNER,),
        ),
        Panel(
            "Feeds and interest that do not match",
            "Subscriptions on NATS that outlived their feed; symbols that are wanted and have no open feed;"
            " and feeds for NATS subscribers that are not gateways.",
            "short",
            (
                Query(
                    of("qcfeed_interest_without_subscribers"), "{{instance}} without subscribers"
                ),
                Query(of("qcfeed_interest_without_feed"), "{{instance}} without feed"),
                Query(of("qcfeed_feed_without_interest"), "{{instance}} without gateway"),
            ),
            warn=0.5,
            bad=1,
            alerts=(
                alerts.INTEREST_LEAKED,
                alerts.INTEREST_WITHOUT_FEED,
                alerts.FEED_WITHOUT_INTEREST,
            ),
        ),
        Panel(
            "Restarts of workers per second",
            "By `serve --workers`: a process that ended by itself or was stuck, or whose restart an operator requested.",
            "ops",
            (
                Query(
                    rate("qcfeed_worker_restarts_total", by="instance, reason"),
                    "{{instance}} {{reason}}",
                ),
            ),
            alerts=(alerts.WORKERS_RESTART,),
        ),
    ),
)
