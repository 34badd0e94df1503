"""Panels of the feed service: quotes and subscribers."""

from __future__ import annotations

from qcfeed.metrics.catalog import alerts
from qcfeed.metrics.catalog.panel import Panel, PanelRow, Query, of, rate

QUOTES = PanelRow(
    "Feeds and quotes",
    (
        Panel(
            "Symbols, by age of the last quote",
            "Symbols with subscribers.",
            "short",
            (Query(f"sum by (band) ({of('qcfeed_symbols')})", "{{band}}"),),
            alerts=(alerts.QUOTES_STALE, alerts.QUOTES_DEAD),
        ),
        Panel(
            "Age of the oldest last quote",
            "Of the symbols with subscribers; and whether the market is open.",
            "s",
            (
                Query(of("qcfeed_quote_age_seconds")),
                Query(of("qcfeed_market_open"), "{{instance}} market open", flag=True),
            ),
            warn=15,
            bad=1200,
            alerts=(alerts.QUOTES_DEAD,),
        ),
        Panel(
            "Feeds, by state",
            "State of their upstream.",
            "short",
            (Query(f"sum by (upstream) ({of('qcfeed_feeds')})", "{{upstream}}"),),
        ),
        Panel(
            "Quotes per second",
            "In from upstreams, and out to subscribers.",
            "ops",
            (
                Query(rate("qcfeed_quotes_total"), "{{instance}} in"),
                Query(rate("qcfeed_quotes_delivered_total"), "{{instance}} out"),
            ),
        ),
        Panel(
            "Upstream",
            "Whether it is connected; restarts, reconnects, gaps and invalid messages per second.",
            "short",
            (
                Query(of("qcfeed_upstream_connected"), "{{instance}} connected", flag=True),
                Query(rate("qcfeed_feed_restarts_total"), "{{instance}} restarts"),
                Query(rate("qcfeed_upstream_reconnects_total"), "{{instance}} reconnects"),
                Query(rate("qcfeed_upstream_gaps_total"), "{{instance}} gaps"),
                Query(rate("qcfeed_upstream_invalid_messages_total"), "{{instance}} invalid"),
            ),
            alerts=(alerts.UPSTREAM_DOWN,),
        ),
    ),
)

SUBSCRIBERS = PanelRow(
    "Subscribers",
    (
        Panel(
            "Subscriptions, symbols, connections",
            "Current numbers.",
            "short",
            (
                Query(of("qcfeed_subscriptions_active"), "{{instance}} subscriptions"),
                Query(of("qcfeed_symbols_active"), "{{instance}} symbols"),
                Query(of("qcfeed_connections"), "{{instance}} connections"),
            ),
        ),
        Panel(
            "Subscribers per symbol",
            "Median and 99th percentile.",
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
            "Slow subscribers",
            "Connections that cannot take data now, and disconnections per second for reading too slowly.",
            "short",
            (
                Query(of("qcfeed_connections_slow"), "{{instance}} slow"),
                Query(rate("qcfeed_disconnected_slow_total"), "{{instance}} disconnected"),
            ),
            alerts=(alerts.SLOW_CONSUMERS,),
        ),
        Panel(
            "Unsent quotes of slow subscribers",
            "In total, and for the slowest connection.",
            "short",
            (
                Query(of("qcfeed_lag_quotes"), "{{instance}} all"),
                Query(of("qcfeed_lag_max_quotes"), "{{instance}} slowest"),
            ),
            alerts=(alerts.SLOW_CONSUMERS,),
        ),
        Panel(
            "Quotes conflated or dropped",
            "Per second: replaced by a newer quote, or dropped.",
            "ops",
            (
                Query(rate("qcfeed_quotes_conflated_total"), "{{instance}} conflated"),
                Query(rate("qcfeed_quotes_dropped_total"), "{{instance}} dropped"),
            ),
        ),
        Panel(
            "Kernel send queues of slow subscribers",
            "Bytes that the peer has not acknowledged yet.",
            "bytes",
            (Query(of("qcfeed_kernel_send_queue_bytes")),),
        ),
        Panel(
            "Connections opened and closed per second",
            "Closed connections by close code.",
            "ops",
            (
                Query(rate("qcfeed_connections_opened_total"), "{{instance}} opened"),
                Query(rate("qcfeed_connections_closed_total", "code"), "closed {{code}}"),
            ),
        ),
        Panel(
            "Certificate",
            "Time until the certificate of the quotes port expires; and whether newer files are refused.",
            "s",
            (
                Query(
                    f"{of('qcfeed_tls_certificate_expiry_timestamp_seconds')} - time()",
                    "{{instance}} expires in",
                ),
                Query(
                    of("qcfeed_tls_certificate_refused"), "{{instance}} files refused", flag=True
                ),
            ),
        ),
        Panel(
            "Refused per second",
            "Upgrades and subscriptions, by reason.",
            "ops",
            (Query(rate("qcfeed_refused_total", "reason"), "{{reason}}"),),
        ),
        Panel(
            "Authentications refused per second",
            "By reason; and files and URLs of keys that cannot be read.",
            "ops",
            (
                Query(rate("qcfeed_authentications_refused_total", "reason"), "{{reason}}"),
                Query(of("qcfeed_access_problems"), "{{instance}} unreadable files"),
            ),
            alerts=(alerts.AUTHENTICATION_FAILS,),
        ),
    ),
)
