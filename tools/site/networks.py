"""A page for each network: figure, costs, variants, accuracy, a snippet that runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pycnn.inside import draw
from pycnn.models import Variant, find, names, variants
from pycnn.summary import Summary, summarize
from pycnn.tables import sizes

# Measured here on images that the weights have not seen; what is not here is as published.
MEASURED = {
    "lenet5@mnist": "99.23 % of 10,000 held-out digits, measured here",
    "resnet20@cifar10": "90.64 % of 5,000 held-out images, measured here",
}
# Longer tables are folded.
_LONG = 40


def pages() -> dict[str, str]:
    """Path -> Markdown or SVG."""
    made = {"networks/index.md": _index()}
    for name in names():
        variant = find(name)
        made[f"networks/{name}.md"] = _page(variant)
        made[f"networks/{name}.svg"] = draw(variant.graph(), title=variant.title)
    return made


def snippet(variant: Variant) -> str:
    """A program that shows the network at work, without its published weights."""
    graph = variant.graph()
    ((_, size),) = graph.inputs.items()
    first = next(node.name for node in graph.nodes if node.op == "conv2d")
    return "\n".join(
        (
            "import numpy as np",
            "import pycnn",
            "",
            f'model = pycnn.load("{variant.name}", weights="random")'
            + ("" if variant.shipped else f'  # or "{variant.name}" alone, with its weights'),
            f"image = np.zeros((1, {', '.join(map(str, size))}), np.float32)",
            f'print(model.run(image, until="{first}").shape)',
            f'print(model.explain_cost("{first}"))',
        )
    )


def _index() -> str:
    rows = []
    for name in names():
        variant, table = find(name), summarize(find(name).graph())
        sources = ", ".join(f"`{other.source}`" for other in variants() if other.name == name)
        rows.append(
            (f"[{variant.title}]({name}.md)", f"{table.parameters:,}", f"{table.macs:,}", sources)
        )
    header = ("network", "parameters", "multiply-adds", "variants")
    return "# Networks\n\n" + _table(header, rows, right=(1, 2)) + "\n"


def _page(variant: Variant) -> str:
    table = summarize(variant.graph())
    lines = [
        f"# {variant.title}",
        "",
        f"{variant.paper}",
        "",
        f"{table.parameters:,} parameters, {table.macs:,} multiply-adds for one image.",
        "",
        f"![{variant.title}, drawn from its graph]({variant.name}.svg)",
        "",
        "## In a few lines",
        "",
        "```python",
        snippet(variant),
        "```",
        "",
        "## Variants",
        "",
        *_variants([other for other in variants() if other.name == variant.name]),
        "",
        "## Layers",
        "",
        *_layers(table),
        "",
    ]
    return "\n".join(lines)


def _variants(found: Sequence[Variant]) -> list[str]:
    rows = []
    for variant in found:
        published = variant.published
        accuracy = MEASURED.get(variant.id, "")
        if not accuracy and published and (published.top1 or published.top5):
            parts = (("top-1", published.top1), ("top-5", published.top5))
            told = ", ".join(f"{name} {value:g} %" for name, value in parts if value)
            accuracy = f"{told}, as published"
        preprocessing = variant.preprocessing
        text = " ".join(preprocessing.describe().split()) if preprocessing else "-"
        weights = "shipped" if variant.shipped else "none published"
        if published:
            weights = f"[{published.file}]({published.page})"
        rows.append(
            (f"`{variant.id}`", weights, variant.licence or "not stated", accuracy or "-", text)
        )
    return [_table(("variant", "weights", "licence", "accuracy", "input"), rows)]


def _layers(table: Summary) -> list[str]:
    rows = [
        (row.name, row.op, sizes(row.output_shape[1:]), f"{row.parameters:,}", f"{row.macs:,}",
         " x ".join(map(str, row.receptive_field)))
        for row in table.rows
    ]  # fmt: skip
    header = ("layer", "op", "output", "parameters", "multiply-adds", "sees")
    text = _table(header, rows, right=(3, 4))
    if len(rows) <= _LONG:
        return [text]
    indented = "\n".join(f"    {line}" for line in text.splitlines())
    return [f'??? note "All {len(rows)} layers"', "", indented]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    rule = ["---:" if i in right else "---" for i in range(len(header))]
    lines = [header, rule, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
