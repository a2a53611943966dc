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
    "plain20@cifar10": "88.98 % of 5,000 held-out images, measured here",
}
# Published, but not for one crop of the centre and weights of a known file.
OTHERWISE = {
    "vgg16@vgg": "top-5 91.9 % (densely, the shorter side 384), as published",
    "vgg19@vgg": "top-5 92.0 % (densely, the shorter side 384), as the paper has it",
    "nin_cifar10@caffe": "89.59 % (without augmentation), as the paper has it",
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
    """A program that shows the network at work; nothing has to be fetched for it."""
    graph = variant.graph()
    ((_, size),) = graph.inputs.items()
    first = next(node.name for node in graph.nodes if node.op == "conv2d")
    return "\n".join(
        (
            "import numpy as np",
            "import pycnn",
            "",
            f'model = pycnn.load("{variant.name}")'
            if variant.shipped
            else f'model = pycnn.load("{variant.name}", weights="random")',
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
    found = [other for other in variants() if other.name == variant.name]
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
        *_own_weights(variant),
        "## Variants",
        "",
        *_variants(found),
        "",
        *_inputs(found),
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
        accuracy = MEASURED.get(variant.id) or OTHERWISE.get(variant.id, "")
        if not accuracy and published and (published.top1 or published.top5):
            parts = (("top-1", published.top1), ("top-5", published.top5))
            told = ", ".join(f"{name} {value:g} %" for name, value in parts if value)
            accuracy = f"{told}, as published"
        weights = "shipped" if variant.shipped else "none published"
        if published:
            weights = f"[{published.file}]({published.page})"
        rows.append((f"`{variant.id}`", weights, variant.licence or "not stated", accuracy or "-"))
    return [_table(("variant", "weights", "licence", "accuracy"), rows)]


def _own_weights(variant: Variant) -> list[str]:
    """What the snippet leaves out, for a network whose weights are fetched."""
    if variant.published is None or variant.shipped:
        return []
    return [f'`pycnn.load("{variant.name}")` takes the published weights.', ""]


def _inputs(found: Sequence[Variant]) -> list[str]:
    """From an image to the network, for the variants that do it alike."""
    alike: dict[str, list[str]] = {}
    for variant in found:
        if variant.preprocessing is not None:
            alike.setdefault(variant.preprocessing.describe(), []).append(f"`{variant.id}`")
    lines = ["## Preprocessing", ""] if alike else []
    for text, ids in alike.items():
        lines += [", ".join(ids), "", "```text", text.rstrip(), "```", ""]
    return lines


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
