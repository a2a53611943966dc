"""``pycnn info``."""

from __future__ import annotations

from pycnn.cli.common import Json, Name, Options, parse_choices, print_json, print_table
from pycnn.models import find


def info(name: Name, option: Options = None, as_json: Json = False) -> None:
    """Say what a network is: paper, input, preprocessing, cost, licence, weights."""
    from pycnn.hub import weights_status
    from pycnn.summary import summarize

    variant = find(name)
    graph = variant.graph(**parse_choices(name, option))
    table = summarize(graph)
    preprocessing = variant.preprocessing
    about = {
        "name": variant.id,
        "title": variant.title,
        "paper": variant.paper,
        "input": {name: list(size) for name, size in graph.inputs.items()},
        "outputs": list(graph.outputs),
        "parameters": table.parameters,
        "macs": table.macs,
        "choices": {key: list(values) for key, values in variant.choices.items()},
        "preprocessing": preprocessing.to_dict() if preprocessing else None,
        "labels": variant.labels,
        "licence": variant.licence,
        "weights": weights_status(variant),
    }
    if as_json:
        print_json(about)
        return
    choices = "; ".join(
        f"{key}: {', '.join(map(str, values))}" for key, values in variant.choices.items()
    )
    inputs = ", ".join(
        f"{key}: float32 (N, {', '.join(map(str, size))})" for key, size in graph.inputs.items()
    )
    lines = {
        "title": variant.title,
        "paper": variant.paper,
        "input": inputs,
        "outputs": ", ".join(graph.outputs),
        "parameters": f"{table.parameters:,}",
        "MACs": f"{table.macs:,}",
        "choices": choices or "-",
        "preprocessing": _one_line(preprocessing.describe()) if preprocessing else "-",
        "labels": variant.labels or "-",
        "licence": variant.licence or "-",
        "weights": weights_status(variant) or "-",
    }
    print_table((variant.id, ""), lines.items())


def _one_line(text: str) -> str:
    return "; ".join(" ".join(line.split()) for line in text.splitlines())
