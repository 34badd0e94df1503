"""Renders blocks as one HTML page, light or dark. The page loads nothing and runs no script."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from qcfeed.diagnose.report import svg
from qcfeed.diagnose.report.blocks import (
    Bars,
    Block,
    Code,
    Curve,
    Facts,
    Grid,
    Heading,
    Items,
    Paragraph,
)

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --line: #d1d9e0; --back: #fff;
  --panel: #f6f8fa; --mark: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --back: #0d1117; --panel: #151b23;
    --mark: #ff8078; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back);
  max-width: 60rem; margin: 2rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.5rem; line-height: 1.3; border-left: .3rem solid var(--mark); padding-left: .8rem; }
h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin-top: 1.6rem; }
.wide { overflow-x: auto; margin: .9rem 0; }
table { border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--soft); font-weight: 600; }
.right { text-align: right; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; }
dt { color: var(--soft); } dd { margin: 0; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: .4rem;
  padding: .7rem .9rem; overflow-x: auto; font-size: .82rem; line-height: 1.45; }
svg { display: block; width: 100%; height: auto; margin: .6rem 0; }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
svg .name { fill: var(--ink); }
svg .curve { fill: none; stroke: var(--mark); stroke-width: 1.6; stroke-linejoin: round; }
svg .under { fill: var(--mark); opacity: .12; } svg .bar { fill: var(--mark); opacity: .75; }
svg .axis { stroke: var(--line); }
@media print {
  :root { color-scheme: light; --ink: #000; --soft: #444; --line: #bbb; --back: #fff; --panel: #fff; }
  body { font-size: 10pt; max-width: none; margin: 0; padding: 0; }
  .wide, pre { overflow: visible; }
  pre { white-space: pre-wrap; }
  pre, th, td, dd, p, li, h1 { overflow-wrap: anywhere; }
  table { width: 100%; font-size: 8pt; }
  h2, h3 { break-after: avoid; } tr, svg, dl > dd, pre.whole { break-inside: avoid; }
  thead { display: table-header-group; }
}
"""

ONE_BOX = 30
"""Lines of a box that is kept on one page when printed; keeping a longer one together would leave much of a
page empty."""

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def render(blocks: Iterable[Block]) -> str:
    """The page. All text is escaped: task names and log lines come from the watched program."""
    parts = list(blocks)
    title = next((block.text for block in parts if isinstance(block, Heading)), "report")
    body = "\n".join(map(_block, parts))
    return _PAGE.format(title=escape(title), style=_STYLE, body=body)


def _block(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{escape(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{escape(text)}</p>"
        case Facts(facts):
            rows = (f"<dt>{escape(label)}</dt> <dd>{escape(text)}</dd>" for label, text in facts)
            return f"<dl>{' '.join(rows)}</dl>"
        case Grid():
            return _grid(block)
        case Code(text):
            whole = ' class="whole"' if text.count("\n") < ONE_BOX else ""
            return f"<pre{whole}>{escape(text)}</pre>"
        case Items(items):
            return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"
        case Curve():
            return svg.curve(block)
        case Bars():
            return svg.bars(block)


def _grid(grid: Grid) -> str:
    head = "".join(_cell("th", text, place in grid.right) for place, text in enumerate(grid.header))
    rows = "".join(
        f"<tr>{''.join(_cell('td', text, n in grid.right) for n, text in enumerate(row))}</tr>"
        for row in grid.rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _cell(tag: str, text: str, right: bool) -> str:
    kind = ' class="right"' if right else ""
    return f"<{tag}{kind}>{escape(text)}</{tag}>"
