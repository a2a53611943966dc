"""``pycnn parity``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pycnn.cli.common import (
    Json,
    NameOrFile,
    Options,
    Threads,
    graph_of,
    load_model,
    print_json,
)


def parity(
    name: NameOrFile,
    against: Annotated[str, typer.Option(help='"golden", "torch" or "onnx".')] = "golden",
    isa: Annotated[
        list[str] | None, typer.Option(help="An instruction set; all by default.")
    ] = None,
    algorithm: Annotated[
        list[str] | None,
        typer.Option(help='"latency", "throughput" or one of a convolution; all by default.'),
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Print a line for each layer.")] = False,
    tolerance: Annotated[float, typer.Option(help="Of a layer's RMS error.")] = 1e-4,
    weights: Annotated[
        str | None,
        typer.Option(help='A file of weights or "random", where it is not against "golden".'),
    ] = None,
    threads: Threads = None,
    option: Options = None,
    as_json: Json = False,
) -> None:
    """Compare every layer with a reference, for each algorithm and instruction set.

    Golden activations ship with pycnn, for weights of their own. Exit status 1: a layer diverges.
    """
    from pycnn.inside import parity

    if against == "golden":
        if weights is not None:
            raise typer.BadParameter(
                "golden activations are of weights that are made from hashes, not of yours: "
                "compare these --against torch or onnx",
                param_hint="--weights",
            )
        graph, read, title = graph_of(name, option), None, None
    else:
        model = load_model(name, weights, option, random_if_none=True)
        graph, read, title = model.graph, model.content().read, model.name
    found = parity(
        graph,
        read,
        against,
        name=title,
        isas=isa,
        algorithms=algorithm,
        tolerance=tolerance,
        threads=threads,
    )
    if as_json:
        print_json(found.to_dict())
    else:
        print(found)
        if layers:
            print(found.layers_table())
    if not found.holds:
        print("pycnn: error: a layer is beyond the tolerance", file=sys.stderr)
        raise typer.Exit(1)
