"""Plots are drawn to scale, and nothing leaves the frame."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree as ET

import pytest

from qcfeed.diagnose.report import svg
from qcfeed.diagnose.report.blocks import Bars, Curve


def curve(*points: tuple[float, float]) -> ET.Element:
    return ET.fromstring(svg.curve(Curve("Memory", points, ("least", "most", "first", "last"))))


def line(drawn: ET.Element, kind: str = "polyline") -> list[tuple[float, float]]:
    element = drawn.find(kind)
    assert element is not None
    pairs = [pair.split(",") for pair in element.attrib["points"].split()]
    return [(float(x), float(y)) for x, y in pairs]


def test_a_curve_is_to_scale_in_both_directions() -> None:
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = line(
        curve((50.0, 0.0), (60.0, 10.0), (80.0, 20.0), (90.0, 40.0))
    )
    assert x0 < x1 < x2 < x3
    assert (x1 - x0) / (x3 - x0) == pytest.approx(0.25, abs=0.001)
    assert (x2 - x0) / (x3 - x0) == pytest.approx(0.75, abs=0.001)
    assert (y0 - y1) / (y0 - y3) == pytest.approx(0.25, abs=0.001)
    assert (y0 - y2) / (y0 - y3) == pytest.approx(0.5, abs=0.001)


def test_a_curve_stays_between_its_axes_and_the_area_under_it_ends_on_the_ground() -> None:
    drawn = curve((0.0, 5.0), (10.0, 20.0))
    ground, top = (
        {name: float(value) for name, value in each.attrib.items() if name != "class"}
        for each in drawn.findall("line")
    )
    assert ground["x1"] == top["x1"] == svg.LEFT
    assert ground["x2"] == top["x2"] == svg.WIDTH - svg.RIGHT
    assert (ground["y1"], top["y1"]) == (ground["y2"], top["y2"])
    assert top["y1"] == svg.TOP
    assert ground["y1"] == svg.HEIGHT - svg.BOTTOM
    points = line(drawn)
    assert points[-1] == (ground["x2"], top["y1"])
    assert points[0][1] == pytest.approx(ground["y1"] - (ground["y1"] - top["y1"]) / 4, abs=0.1)
    under = line(drawn, "polygon")
    assert under == [(ground["x1"], ground["y1"]), *points, (points[-1][0], ground["y1"])]


def test_a_curve_is_labelled_at_its_ends() -> None:
    texts = {each.text: each.attrib for each in curve((0.0, 1.0), (1.0, 2.0)).findall("text")}
    assert texts.keys() == {"Memory", "least", "most", "first", "last"}
    assert float(texts["least"]["y"]) > float(texts["most"]["y"])
    assert float(texts["last"]["x"]) > float(texts["first"]["x"])
    assert texts["least"]["x"] == texts["most"]["x"]
    assert float(texts["most"]["x"]) < svg.LEFT
    assert float(texts["first"]["y"]) == float(texts["last"]["y"]) > svg.HEIGHT - svg.BOTTOM
    assert float(texts["first"]["y"]) < svg.HEIGHT


def bars(*rows: tuple[str, float, str]) -> ET.Element:
    return ET.fromstring(svg.bars(Bars("Tasks", rows)))


def test_bars_are_to_scale_and_the_longest_leaves_room_for_its_value() -> None:
    drawn = bars(("a", 10.0, "ten"), ("b", 40.0, "forty"), ("c", 0.0, "none"), ("d", -5.0, "less"))
    wide = [float(each.attrib["width"]) for each in drawn.findall("rect")]
    assert wide[1] == svg.WIDTH - svg.NAME_WIDTH - svg.TEXT_WIDTH
    assert wide[0] == pytest.approx(wide[1] / 4, abs=0.1)
    assert wide[2:] == [1.0, 1.0], "nothing, and less, is a hair's breadth"
    ends = [float(each.attrib["x"]) for each in drawn.findall("text")[2::2]]
    assert all(end > svg.NAME_WIDTH + width for end, width in zip(ends, wide, strict=True)), (
        "the words stand behind the bar"
    )
    assert max(ends) < svg.WIDTH - svg.TEXT_WIDTH + 10


def test_each_bar_has_its_own_row_with_name_and_value() -> None:
    drawn = bars(*((f"name {n}", n, f"words {n}") for n in range(1, 5)))
    tops = [float(each.attrib["y"]) for each in drawn.findall("rect")]
    high = [float(each.attrib["height"]) for each in drawn.findall("rect")]
    assert [after - before for before, after in itertools.pairwise(tops)] == [svg.ROW_HEIGHT] * 3
    assert all(0 < each < svg.ROW_HEIGHT for each in high)
    assert tops[-1] + high[-1] < float(drawn.attrib["viewBox"].split()[3])
    texts = drawn.findall("text")[1:]
    assert [each.text for each in texts] == [
        text for n in range(1, 5) for text in (f"name {n}", f"words {n}")
    ]
    for number, (name, words) in enumerate(zip(texts[::2], texts[1::2], strict=True)):
        assert name.attrib["y"] == words.attrib["y"]
        assert tops[number] < float(name.attrib["y"]) < tops[number] + svg.ROW_HEIGHT
        assert float(name.attrib["x"]) < svg.NAME_WIDTH


@pytest.mark.parametrize("size", [svg.NAME_CHARACTERS, svg.NAME_CHARACTERS + 1, 200])
def test_a_long_name_is_cut_at_its_start(size: int) -> None:
    name = "x" * (size - 5) + ".py:9"
    shown = bars((name, 1.0, "one")).findall("text")[1].text or ""
    assert len(shown) <= svg.NAME_CHARACTERS
    assert shown.endswith(".py:9")
    assert shown.startswith("...") == (size > svg.NAME_CHARACTERS)


def test_no_bars_are_an_empty_drawing() -> None:
    assert bars().findall("rect") == []
    assert curve().find("polyline") is not None
