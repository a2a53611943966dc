"""The sum of a residual block becomes part of its last convolution's epilogue."""

from __future__ import annotations

from dataclasses import replace

from pycnn.graph import Graph


def fuse_residual(graph: Graph) -> Graph:
    """add(conv(x), shortcut) becomes conv(x, residual=shortcut), with the ReLU of the sum.

    Where both sides are convolutions (a projection shortcut), the later one takes the sum.
    """
    consumers = graph.consumers()
    outputs = set(graph.outputs.values())
    position = {node.name: i for i, node in enumerate(graph.nodes)}
    nodes = {node.name: node for node in graph.nodes}
    for add in [node for node in graph.nodes if node.op == "add"]:
        candidates = [
            nodes[name]
            for name in add.inputs
            if name in nodes
            and nodes[name].op == "conv2d"
            and len(nodes[name].inputs) == 1
            and not nodes[name].attrs.get("relu")
            and len(consumers[name]) == 1
            and name not in outputs
        ]
        if not candidates:
            continue
        conv = max(candidates, key=lambda node: position[node.name])
        shortcut = add.inputs[1 - add.inputs.index(conv.name)]
        del nodes[conv.name]
        nodes[add.name] = replace(
            conv,
            name=add.name,
            inputs=(conv.inputs[0], shortcut),
            attrs={**conv.attrs, "relu": add.attrs.get("relu", False)},
        )
    return graph.with_nodes(nodes.values())
