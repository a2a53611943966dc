"""A graph for each op."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from pycnn import Graph
from pycnn.graph_json import graph_from_dict, graph_to_dict

WHOLE = (None, None, None)

# What the graph of an op is built of, on an image (6, 7, 8).
BUILD: dict[str, Callable[[Graph, str], str]] = {
    "add": lambda g, x: g.add("y", x, g.relu("r", x)),
    "affine": lambda g, x: g.affine("y", x, -2.0, 0.5),
    "avg_pool2d": lambda g, x: g.avg_pool2d("y", x, 3, 2, 1, count_include_pad=False),
    "batch_norm": lambda g, x: g.batch_norm("y", g.batch_norm("z", x, affine=False), 1e-3),
    "binary": lambda g, x: g.prelu(
        "y", g.binary("z", g.binary("m", x, g.global_avg_pool("p", x), "mul"), x, "add", 0.5, -2.0)
    ),
    "channel_affine": lambda g, x: g.channel_affine("y", g.channel_affine("z", x, bias=False)),
    "clip": lambda g, x: g.clip("y", g.clip("z", x, high=0.7), -0.5, 3.0),
    "concat": lambda g, x: g.concat("y", [x, g.relu("r", x)]),
    "conv2d": lambda g, x: g.conv2d("y", x, 4, (3, 2), (1, 2), (0, 1, 2, 0), (2, 1), groups=2),
    "dropout": lambda g, x: g.dropout("y", x),
    "flatten": lambda g, x: g.flatten("y", x),
    "gather": lambda g, x: g.gather("y", x, [5, 0, 0]),
    "global_avg_pool": lambda g, x: g.global_avg_pool("y", x),
    "global_max_pool": lambda g, x: g.global_max_pool("y", x),
    "hard_sigmoid": lambda g, x: g.hard_sigmoid("y", x),
    "hard_swish": lambda g, x: g.hard_swish("y", x),
    "leaky_relu": lambda g, x: g.leaky_relu("y", x, 0.3),
    "linear": lambda g, x: g.linear("y", g.flatten("f", x), 5),
    "log_softmax": lambda g, x: g.log_softmax("y", x),
    "lrn": lambda g, x: g.lrn("y", x, 3, 0.5, 0.6, 2.0),
    "max_pool2d": lambda g, x: g.max_pool2d("y", x, 3, 2, ceil_mode=True),
    "pad": lambda g, x: g.pad("y", g.pad("z", x, (1, 2), mode="reflect"), 1, (2, 1), value=0.5),
    "permute": lambda g, x: g.permute("y", x, (2, 3, 56), (1, 0, 2), (3, 2, 56)),
    "pow": lambda g, x: g.pow("y", x, 2.0),
    "rbf": lambda g, x: g.rbf("y", g.linear("l", g.flatten("f", x), 4), 3),
    "relu": lambda g, x: g.relu("y", x),
    "shortcut_a": lambda g, x: g.shortcut_a("y", x, 9, 2),
    "sigmoid": lambda g, x: g.sigmoid("y", x),
    "slice": lambda g, x: g.slice("y", x, (1, 5, 2), (None, None, -1), WHOLE),
    "softmax": lambda g, x: g.softmax("y", x),
    "sqrt": lambda g, x: g.sqrt("y", g.relu("r", x)),
    "tanh": lambda g, x: g.tanh("y", g.tanh("z", x, 1.7159, 2 / 3)),
}


def one_op(op: str, rng: np.random.Generator) -> tuple[Graph, dict[str, np.ndarray[Any, Any]]]:
    """The graph of an op, and weights for it."""
    graph = Graph("one op")
    graph.output(BUILD[op](graph, graph.input("x", (6, 7, 8))))
    arrays = {
        name: rng.uniform(0.5, 1.5, shape).astype(np.float32)
        for name, shape in graph.parameters.items()
    }
    return graph, arrays


def by_json(graph: Graph) -> Graph:
    """The graph as it comes back from a file that it was saved in."""
    found = json.loads(json.dumps(graph_to_dict(graph), allow_nan=False))
    return graph_from_dict(found, graph.parameters, 1 << 40)
