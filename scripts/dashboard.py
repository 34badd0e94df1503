"""Render the Grafana dashboard from the catalog's panels. The only module that needs grafana-foundation-sdk."""

from __future__ import annotations

import itertools
import json
import string

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as style
from grafana_foundation_sdk.models import dashboard as model

from qcfeed.metrics.catalog.alerts import RUNBOOKS
from qcfeed.metrics.catalog.panel import Panel, Query
from qcfeed.metrics.catalog.panels import ROWS

SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
FIRING = 'ALERTS{alertname=~"Qcfeed.*", alertstate="firing", instance=~"$instance"}'
FIGURE, LINES = (4, 4), (8, 12)
"""Height and width of a panel, in Grafana's grid units."""
_FLAG = [
    model.DynamicConfigValue("unit", "bool_yes_no"),
    model.DynamicConfigValue("custom.axisPlacement", "right"),
]
"""What differs for a query that is 0 or 1."""


def render() -> str:
    """The dashboard as JSON, ready for import in Grafana."""
    made = (
        dashboard.Dashboard("qcfeed")
        .uid("qcfeed")
        .description("A market-data feed service: memory, tasks, quotes, subscribers.")
        .tags(["qcfeed"])
        .time("now-3h", "now")
        .refresh("15s")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .variables([_datasource(), _instance()])
        .annotation(_alerts())
    )
    number = itertools.count(1)
    for row in ROWS:
        made = made.with_row(dashboard.Row(row.title).id(next(number)))
        for panel in row.panels:
            made = made.with_panel(_panel(panel, next(number)))
    return json.dumps(made.build(), cls=JSONEncoder, indent=2, sort_keys=True)


def _datasource() -> Builder[model.VariableModel]:
    return dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")


def _instance() -> Builder[model.VariableModel]:
    return (
        dashboard.QueryVariable("instance")
        .label("Instance")
        .datasource(SOURCE)
        .query("label_values(qcfeed_build_info, instance)")
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(model.VariableOption(selected=True, text="All", value="$__all"))
    )


def _alerts() -> Builder[model.AnnotationQuery]:
    return (
        dashboard.AnnotationQuery()
        .name("Alerts firing")
        .datasource(SOURCE)
        .enable(True)
        .icon_color("red")
        .expr(FIRING)
    )


def _panel(panel: Panel, number: int) -> Builder[model.Panel]:
    height, width = FIGURE if panel.figure else LINES
    made: stat.Panel | timeseries.Panel = _figure(panel) if panel.figure else _lines(panel)
    made = (
        made.id(number)
        .title(panel.title)
        .description(panel.help)
        .datasource(SOURCE)
        .unit(panel.unit)
        .height(height)
        .span(width)
        .links([_link(alert.name, alert.runbook) for alert in panel.alerts])
    )
    for letter, query in zip(string.ascii_uppercase, panel.queries, strict=False):
        made = made.with_target(_target(panel, query, letter))
        if query.flag:
            made = made.override_by_query(letter, _FLAG)
    return made if panel.warn is None else made.thresholds(_thresholds(panel))


def _target(panel: Panel, query: Query, letter: str) -> prometheus.Dataquery:
    made = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(letter)
    # Of a range, Grafana would show the last value even if it is hours old and the series has ended.
    return made.instant() if panel.figure else made.range()


def _figure(panel: Panel) -> stat.Panel:
    reduced = common.ReduceDataOptions().calcs(["lastNotNull"])
    made = stat.Panel().reduce_options(reduced).no_value(panel.empty)
    return made.graph_mode(style.BigValueGraphMode.NONE)


def _lines(panel: Panel) -> timeseries.Panel:
    legend = common.VizLegendOptions().display_mode(style.LegendDisplayMode.LIST).show_legend(True)
    made = timeseries.Panel().legend(legend).min(0).fill_opacity(5)
    if panel.warn is not None:
        made = made.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(style.GraphTresholdsStyleMode.DASHED)
        )
    return made


def _thresholds(panel: Panel) -> Builder[model.ThresholdsConfig]:
    """Colours for thresholds: green, yellow, red; reversed if lower values are worse."""
    assert panel.warn is not None
    assert panel.bad is not None
    falls = panel.bad < panel.warn
    low, high = sorted((panel.warn, panel.bad))
    colours = ("red", "yellow", "green") if falls else ("green", "yellow", "red")
    steps = zip((None, low, high), colours, strict=True)
    return (
        dashboard.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value, colour) for value, colour in steps])
    )


def _link(name: str, runbook: str) -> Builder[model.DashboardLink]:
    return dashboard.DashboardLink(name).url(f"{RUNBOOKS}/{runbook}").target_blank(True)
