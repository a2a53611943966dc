"""Figures of networks: well formed, complete, and laid out as in the papers."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

import pycnn
from pycnn import Graph
from pycnn.inside import draw
from pycnn.inside.draw.cells import cells_of
from pycnn.inside.draw.structure import Head, Parallel, Repeat, Tangle, arranged, folded
from pycnn.models import find, variants

SVG = "{http://www.w3.org/2000/svg}"


def boxes(svg: str) -> dict[str, tuple[float, float, float, float]]:
    """Layer -> x, y, width, height of the box, or of the front of the volume, with its tip."""
    found = {}
    for group in ET.fromstring(svg).iter(f"{SVG}g"):
        title, rect = group.find(f"{SVG}title"), group.find(f"{SVG}rect")
        if title is None or not title.text:
            continue
        name = title.text.split("\n")[0].rpartition(" (")[0] or title.text
        if (front := group.find(f"{SVG}polygon")) is not None:
            corners = [tuple(map(float, p.split(","))) for p in front.get("points", "").split()]
            (left, top), (right, low) = corners[0], corners[2]
            found[name] = (left, top, right - left, low - top)
        elif rect is not None:
            found[name] = tuple(float(rect.get(key, "0")) for key in ("x", "y", "width", "height"))
    return found  # type: ignore[return-value]


@pytest.mark.parametrize("name", [v.id for v in variants()])
def test_every_network_fits_a_page_of_1000_pixels(name: str) -> None:
    svg = draw(find(name).graph())
    root = ET.fromstring(svg)
    width, height = float(root.get("width", "0")), float(root.get("height", "0"))
    assert 200 < width <= 1000
    assert height < 1500
    drawn = list(boxes(svg).values())
    for x, y, w, h in drawn:
        assert x >= 0 and y >= 0 and x + w <= width and y + h <= height
    for i, (x, y, w, h) in enumerate(drawn):
        for x2, y2, w2, h2 in drawn[:i]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y, "boxes overlap"
    assert draw(find(name).graph()) == svg


@pytest.mark.parametrize("name", ["lenet5_1998", "nin", "inception_v1", "resnet50", "vgg11_bn"])
def test_every_layer_is_in_the_figure(name: str) -> None:
    graph = find(name).graph()
    svg = draw(graph, fold=False)
    tips = {
        line.rpartition(" (")[0]
        for title in ET.fromstring(svg).iter(f"{SVG}title")
        for line in (title.text or "").split("\n")
    }
    assert {node.name for node in graph.with_outputs(graph.outputs).nodes} <= tips


def test_inception_modules_stand_side_by_side() -> None:
    found = boxes(draw(find("inception_v1").graph()))
    row = [found[f"inception_3a/{name}"] for name in ("1x1", "3x3", "5x5", "pool_proj")]
    assert len({y for _, y, _, _ in row}) == 1
    assert [x for x, *_ in row] == sorted(x for x, *_ in row)
    above = [found[f"inception_3a/{name}"] for name in ("3x3_reduce", "5x5_reduce", "pool")]
    assert all(y < row[0][1] for _, y, _, _ in above)
    join = found["inception_3a/output"]
    assert join[1] > row[0][1] and join[2] > 4 * 80


def test_shortcuts_are_arcs() -> None:
    svg = draw(find("resnet18").graph())
    arcs = re.findall(r'<path d="M[^"]*C[^"]*"[^>]*>', svg)
    assert len(arcs) == 8
    assert sum("dasharray" in arc for arc in arcs) == 3  # projections
    found = boxes(svg)
    assert found["res3a_branch1"][0] > found["res3a_branch2a"][0] + found["res3a_branch2a"][2]
    assert not re.search(r'<path d="M[^"]*C', draw(find("plain18").graph()))


def test_deep_networks_are_folded() -> None:
    svg = draw(find("resnet152").graph())
    assert all(f"× {times}<" in svg for times in (2, 7, 35))
    assert "× " not in draw(find("resnet34").graph())
    assert len(boxes(draw(find("resnet152").graph(), fold=False))) == 1 + 50 * 3 + 4 + 4
    elements = folded(arranged(*cells_of(find("resnet110").graph())))
    assert [element.times for element in elements if isinstance(element, Repeat)] == [18, 17, 17]
    # Blocks of two that alternate.
    g = Graph("pairs")
    x = g.input("data", (8, 8, 8))
    for i in range(3):
        x = g.conv2d(f"a{i}", x, 8, 3, padding=1)
        x = g.conv2d(f"b{i}", x, 8, 1)
    g.output(x)
    (_, repeat) = folded(arranged(*cells_of(g)))
    assert isinstance(repeat, Repeat)
    assert (len(repeat.elements), repeat.times, repeat.last) == (2, 3, "b2")


@pytest.mark.parametrize("name", ["lenet5", "lenet5_1998", "alexnet", "alexnet@torchvision"])
def test_short_chains_are_volumes(name: str) -> None:
    graph = find(name).graph()
    svg = draw(graph)
    drawn, shapes = boxes(svg), graph.shapes()
    assert list(drawn) == [cell for cell in graph.names() if cell in drawn]
    assert [x for x, *_ in drawn.values()] == sorted(x for x, *_ in drawn.values())
    images = [cell for cell in drawn if shapes[cell][2] > 1]
    heights = [drawn[cell][3] for cell in images]
    assert heights == sorted(heights, reverse=True)  # the image shrinks
    assert svg.count("<circle") == len(images) - 1  # a window on each leads to the next
    assert set(boxes(draw(graph, volumes=False))) >= set(drawn)
    with pytest.raises(pycnn.UnsupportedError, match="no chain of twelve"):
        draw(find("vgg16").graph(), volumes=True)


def test_auxiliary_heads_hang_beside() -> None:
    graph = find("inception_v1").graph(aux=True)
    heads = [e for e in arranged(*cells_of(graph)) if isinstance(e, Head)]
    assert [head.output for head in heads] == ["aux1", "aux2"]
    assert "output aux2" in draw(graph)


def test_networks_that_are_no_branches() -> None:
    g = Graph("tangle")
    x = g.input("data", (4, 8, 8))
    a = g.conv2d("a", x, 4, 1)
    b = g.conv2d("b", x, 4, 1)
    c = g.add("c", a, b)
    d = g.add("d", b, c)
    e = g.concat("e", [a, c, d])
    g.output(g.global_avg_pool("f", e))
    elements = arranged(*cells_of(g))
    assert any(isinstance(element, Tangle) for element in elements)
    svg = draw(g)
    assert set("abcdef") <= set(boxes(svg))
    assert svg.count("C") >= 4


def test_several_inputs() -> None:
    g = Graph("two")
    a = g.conv2d("a", g.input("left", (3, 8, 8)), 4, 1)
    b = g.conv2d("b", g.input("right", (3, 8, 8)), 4, 1)
    g.output(g.concat("both", [a, b]))
    (element,) = arranged(*cells_of(g))
    assert isinstance(element, Parallel)
    found = boxes(draw(g))
    assert found["left"][1] == found["right"][1] < found["a"][1]


def test_an_output_on_the_way() -> None:
    g = find("lenet5").graph()
    g.output("c3", "early")
    assert {"c3", "output"} <= set(boxes(draw(g)))


def test_names_are_no_markup() -> None:
    g = Graph("<script>&")
    x = g.lrn("\x1b[31m\n", g.conv2d("<i>&", g.input("<data>", (1, 4, 4)), 2, 1))
    g.output(g.relu('"<b>', x))
    svg = draw(g)
    assert "\x1b" not in svg
    assert "<script>" not in svg and "<i>" not in svg
    assert "<i>&" in boxes(svg)


def test_a_model_draws_itself() -> None:
    svg = pycnn.load("lenet5").draw()
    assert ">LeNet-5</text>" in svg
    assert svg._repr_svg_() == svg  # type: ignore[attr-defined]
