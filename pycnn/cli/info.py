"""``pycnn info``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from pycnn.cli.common import Json, Name, Options, parse_choices, print_json, print_table
from pycnn.models import Published, find

_UNVERIFIED = "unverified: nothing in the file says whose it is"


def info(
    name: Name,
    option: Options = None,
    weights: Annotated[
        str | None, typer.Option(help="A file of weights: say how sure it is that they are these.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what a network is: paper, input, preprocessing, cost, licence, weights."""
    from pycnn.hub import weights_status
    from pycnn.summary import summarize

    variant = find(name)
    graph = variant.graph(**parse_choices(name, option))
    table = summarize(graph)
    preprocessing = variant.preprocessing
    about: dict[str, Any] = {
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
        "published": asdict(variant.published) if variant.published else None,
    }
    if weights is not None:
        from pycnn.loading import load

        model = load(name, weights, **parse_choices(name, option))
        about["file"] = {"path": model.weights_origin, "recognised_by": model.recognised_by}
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
        **(_published(variant.published) if variant.published else {}),
    }
    if weights is not None:
        by = model.recognised_by
        lines["file"] = f"{model.weights_origin}, {f'recognised by {by}' if by else _UNVERIFIED}"
    print_table((variant.id, ""), lines.items())


def _published(published: Published) -> dict[str, str]:
    accuracy = [
        f"top-{n} {value:g} %" for n, value in ((1, published.top1), (5, published.top5)) if value
    ]
    kept = ": the first download's is kept" if published.url else ""
    lines = {
        "file": published.file,
        "from": published.url or "by hand, see the page",
        "hash": published.digest or f"none stated{kept}",
        "accuracy": ", ".join(accuracy) or "not stated",
        "page": published.page,
    }
    if published.note:
        lines["note"] = published.note
    return {f"published {key}": value for key, value in lines.items()}


def _one_line(text: str) -> str:
    return "; ".join(" ".join(line.split()) for line in text.splitlines())
