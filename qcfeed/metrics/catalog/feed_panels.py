"""Panels of the feed service: quotes and who reads them."""

from __future__ import annotations

from qcfeed.metrics.catalog import alerts
from qcfeed.metrics.catalog.panel import Panel, Query, Row, of, rate

QUOTES = Row(
    "Feeds and quotes",
    (
        Panel(
            "Symbols, by how old the last quote is",
            "With subscribers.",
            "short",
            (Query(f"sum by (band) ({of('qcfeed_symbols')})", "{{band}}"),),
            alerts=(alerts.QUOTES_STALE, alerts.QUOTES_DEAD),
        ),
        Panel(
            "The oldest last quote",
            "Of a symbol with subscribers; and whether the market is open (1).",
            "s",
            (
                Query(of("qcfeed_quote_age_seconds")),
                Query(of("qcfeed_market_open"), "{{instance}} market open"),
            ),
            warn=15,
            bad=1200,
            alerts=(alerts.QUOTES_DEAD,),
        ),
        Panel(
            "Feeds, by state",
            "Of their upstream.",
            "short",
            (Query(f"sum by (upstream) ({of('qcfeed_feeds')})", "{{upstream}}"),),
        ),
        Panel(
            "Quotes a second",
            "In from upstreams, and out to subscribers.",
            "ops",
            (
                Query(rate("qcfeed_quotes_total"), "{{instance}} in"),
                Query(rate("qcfeed_quotes_delivered_total"), "{{instance}} out"),
            ),
        ),
        Panel(
            "Upstream",
            "Whether it is there (1); restarts, reconnects and gaps a second.",
            "short",
            (
                Query(of("qcfeed_upstream_connected"), "{{instance}} connected"),
                Query(rate("qcfeed_feed_restarts_total"), "{{instance}} restarts"),
                Query(rate("qcfeed_upstream_reconnects_total"), "{{instance}} reconnects"),
                Query(rate("qcfeed_upstream_gaps_total"), "{{instance}} gaps"),
            ),
            alerts=(alerts.UPSTREAM_DOWN,),
        ),
    ),
)

SUBSCRIBERS = Row(
    "Subscribers",
    (
        Panel(
            "Subscriptions, symbols, connections",
            "As many as are held now.",
            "short",
            (
                Query(of("qcfeed_subscriptions_active"), "{{instance}} subscriptions"),
                Query(of("qcfeed_symbols_active"), "{{instance}} symbols"),
                Query(of("qcfeed_connections"), "{{instance}} connections"),
            ),
        ),
        Panel(
            "Subscribers a symbol",
            "Half of the symbols have no more than the median.",
            "short",
            tuple(
                Query(
                    f"histogram_quantile({q}, sum by (le) ({of('qcfeed_symbol_subscribers_bucket')}))",
                    name,
                )
                for q, name in ((0.5, "median"), (0.99, "99th percentile"))
            ),
        ),
        Panel(
            "Slow readers",
            "Connections that take nothing just now, and disconnections for it a second.",
            "short",
            (
                Query(of("qcfeed_connections_slow"), "{{instance}} slow"),
                Query(rate("qcfeed_disconnected_slow_total"), "{{instance}} disconnected"),
            ),
            alerts=(alerts.SLOW_CONSUMERS,),
        ),
        Panel(
            "What slow readers have not had",
            "Quotes that wait, over all and for the slowest.",
            "short",
            (
                Query(of("qcfeed_lag_quotes"), "{{instance}} all"),
                Query(of("qcfeed_lag_max_quotes"), "{{instance}} slowest"),
            ),
            alerts=(alerts.SLOW_CONSUMERS,),
        ),
        Panel(
            "Quotes not delivered one by one",
            "A second: told within a newer one, or dropped.",
            "ops",
            (
                Query(rate("qcfeed_quotes_conflated_total"), "{{instance}} conflated"),
                Query(rate("qcfeed_quotes_dropped_total"), "{{instance}} dropped"),
            ),
        ),
        Panel(
            "Kept by the kernel for slow readers",
            "Until their peer has taken it.",
            "bytes",
            (Query(of("qcfeed_kernel_send_queue_bytes")),),
        ),
        Panel(
            "Connections opened and closed a second",
            "Closed: by close code.",
            "ops",
            (
                Query(rate("qcfeed_connections_opened_total"), "{{instance}} opened"),
                Query(rate("qcfeed_connections_closed_total", "code"), "closed {{code}}"),
            ),
        ),
        Panel(
            "Refused a second",
            "Upgrades and subscriptions, by reason.",
            "ops",
            (Query(rate("qcfeed_refused_total", "reason"), "{{reason}}"),),
        ),
    ),
)
