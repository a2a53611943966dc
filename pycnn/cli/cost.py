"""``pycnn cost``."""

from __future__ import annotations

from pycnn.cli.common import (
    Json,
    Layer,
    NameOrFile,
    Options,
    Size,
    graph_of,
    inputs_of,
    print_json,
)


def cost(
    name: NameOrFile, layer: Layer, size: Size = None, option: Options = None, as_json: Json = False
) -> None:
    """Explain a layer's multiply-adds, and what the 1x1 bottleneck in front of it saves."""
    from pycnn.inside import explain_cost

    graph = graph_of(name, option)
    found = explain_cost(graph, layer, inputs_of(graph, 1, size))
    if as_json:
        print_json(found.to_dict())
    else:
        print(found)
