"""Cutting a network in two, giving it another head, replacing layers of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from pycnn.errors import ShapeError, UnknownNameError, UnsupportedError
from pycnn.graph import Graph, Node
from pycnn.opset import Attrs, ParamShapes, Shape

__all__ = [
    "Build",
    "cut_points",
    "edited",
    "head_of",
    "rebuilt",
    "tail",
    "with_classifier",
    "with_head",
]

# Adds layers to the graph, which read the given values; returns the last one's name.
Build = Callable[..., str]

# What may stand between the head and the output: it keeps each class in a channel of its own.
_AFTER_HEAD = frozenset(
    ("avg_pool2d", "dropout", "flatten", "global_avg_pool", "log_softmax", "relu", "softmax")
)


def head_of(graph: Graph) -> Node:
    """The layer that gives the main output one channel for each class.

    It is the last linear layer, or the last convolution where only an average over the whole image
    follows it (Network in Network).

    Raises
    ------
    UnsupportedError
        There is none; the message names the layer that is in the way.
    """
    main = next(iter(graph.outputs.values()))
    consumers = graph.consumers()
    name = main
    while True:
        if name in graph.inputs:
            raise UnsupportedError(f"{graph.name} has no head: no layer with weights before {name}")
        node = graph.node(name)
        if node.op in ("linear", "conv2d"):
            break
        if node.op not in _AFTER_HEAD:
            raise UnsupportedError(
                f"{graph.name} has no head that could be replaced: '{node.name}' ({node.op}) "
                "stands between the last linear layer or convolution and the output"
            )
        name = node.inputs[0]
    shapes = graph.shapes()
    plain = node.op == "linear" or (node.attrs["groups"] == 1 and "connections" not in node.attrs)
    if not plain or shapes[main][2:] != (1, 1) or shapes[main][1] != shapes[node.name][1]:
        raise UnsupportedError(
            f"{graph.name} has no head that could be replaced: '{node.name}' ({node.op}, output "
            f"{shapes[node.name]}) does not give one number for each class"
        )
    shared = [
        other.name
        for other in graph.nodes
        if other is not node and set(other.params.values()) & set(node.params.values())
    ]
    if shared or len(consumers[node.name]) > 1:
        others = ", ".join(shared or (other.name for other in consumers[node.name]))
        raise UnsupportedError(f"{graph.name}: the head '{node.name}' also serves {others}")
    return node


def with_head(graph: Graph, classes: int) -> Graph:
    """Return the part of the graph that the main output needs, for another number of classes.

    The head keeps its name. Raises what :func:`head_of` raises.
    """
    if not isinstance(classes, int):
        raise TypeError(f"classes is how many there are; their names are labels=; got {classes!r}")
    if classes < 1:
        raise ShapeError(f"a head needs one class at least, got {classes}")
    head = head_of(graph)
    name, layer = next(iter(graph.outputs.items()))

    def resize(node: Node, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (classes, *shape[1:]) if node.name == head.name else shape

    return rebuilt(graph.with_outputs({name: layer}), resize=resize)


def with_classifier(graph: Graph, tap: str, classes: int) -> Graph:
    """Return the graph up to `tap`, then the average over the image, then a linear layer.

    The new layers are `features/pool`, where the tap is an image, `features` and `classifier`.
    """
    found = rebuilt(graph.with_outputs({tap: tap}))
    found.outputs.clear()
    x = tap
    if found.shape(tap)[2:] != (1, 1):
        x = found.global_avg_pool("features/pool", x)
    found.output(found.linear("classifier", found.flatten("features", x), classes))
    return found


def edited(
    graph: Graph,
    drop: Iterable[str] = (),
    replace: Mapping[str, Build] | None = None,
    insert: Mapping[str, Build] | None = None,
) -> Graph:
    """Return the part of the graph that its outputs need, with layers dropped, replaced, inserted.

    Parameters and their shapes follow: a convolution that gets more channels gets more weights.

    Parameters
    ----------
    drop : names of layers
        What read a dropped layer reads its input, the first of several.
    replace : mapping of layer to function
        ``function(graph, *inputs)`` adds what stands in the layer's place with the graph's builder
        methods, and returns the name of its last layer.
    insert : mapping of layer or input to function
        ``function(graph, x)`` adds what stands behind the layer.

    Raises
    ------
    UnknownNameError
        There is no such layer, or the function returned no layer's name.
    ShapeError
        Shapes no longer fit; the message names the layer.

    Examples
    --------
    >>> from pycnn.models import find
    >>> thin = edited(find("alexnet").graph(), drop=["norm1", "norm2"])
    >>> "norm1" in thin.names()
    False
    """
    graph = graph.with_outputs(graph.outputs)
    dropped, replaced, inserted = set(drop), dict(replace or {}), dict(insert or {})
    if both := dropped & set(replaced):
        raise ValueError(f"{', '.join(sorted(both))}: dropped and replaced at once")
    for name in (*dropped, *replaced, *(set(inserted) - set(graph.inputs))):
        graph.node(name)  # raises with near matches
    found = Graph(graph.name)
    stands_for: dict[str, str] = {}  # the value that is read in the place of a layer

    def built(function: Build, name: str, inputs: Iterable[str]) -> str:
        made = function(found, *inputs)
        if made not in found.names():
            raise UnknownNameError(
                f"{graph.name}: what was built for '{name}' is {made!r}, and not the name of a "
                "layer of the graph that it was given"
            )
        return made

    for name, size in graph.inputs.items():
        stands_for[name] = found.input(name, size)
        if name in inserted:
            stands_for[name] = built(inserted[name], name, [name])
    for node in graph.nodes:
        name, inputs = node.name, [stands_for[source] for source in node.inputs]
        if name in dropped:
            made = inputs[0]
        elif name in replaced:
            made = built(replaced[name], name, inputs)
        else:
            made = _refit(found, node, inputs, graph.param_shapes(node))
        stands_for[name] = built(inserted[name], name, [made]) if name in inserted else made
    for public, layer in graph.outputs.items():
        found.output(stands_for[layer], public)
    return found


def _refit(graph: Graph, node: Node, inputs: Sequence[str], params: ParamShapes) -> str:
    """Append a node, whose parameters had these shapes elsewhere."""
    attrs, shapes = node.attrs, params
    if node.op in _REFIT and params:
        try:
            attrs, shapes = _REFIT[node.op](node.attrs, params, graph.shape(inputs[0]))
        except ShapeError as error:
            raise ShapeError(f"layer '{node.name}' of {graph.name}: {error}") from None
    return graph.add_node(node.name, node.op, inputs, attrs, shapes, node.params)


Refit = tuple[Attrs, ParamShapes]


def _refit_conv2d(attrs: Attrs, params: ParamShapes, x: Shape) -> Refit:
    if "connections" in attrs:
        if attrs["in_channels"] != x[1]:
            raise ShapeError(
                f"its table connects {attrs['in_channels']} maps, and the input has {x[1]}"
            )
        return attrs, params
    out_channels, per_group, *window = params["weight"]
    groups = attrs["groups"]
    if groups > 1 and per_group == 1:  # depthwise: a group for each channel
        attrs = {**attrs, "groups": x[1]}
        groups, out_channels = x[1], out_channels // groups * x[1]
    if x[1] % groups:
        raise ShapeError(f"{x[1]} channels cannot be cut into {groups} groups")
    shapes = {**params, "weight": (out_channels, x[1] // groups, *window)}
    if "bias" in params:
        shapes["bias"] = (out_channels,)
    return attrs, shapes


def _refit_matrix(attrs: Attrs, params: ParamShapes, x: Shape) -> Refit:
    return attrs, {**params, "weight": (params["weight"][0], x[1])}


def _refit_channels(attrs: Attrs, params: ParamShapes, x: Shape) -> Refit:
    return attrs, dict.fromkeys(params, (x[1],))


def _refit_binary(attrs: Attrs, params: ParamShapes, x: Shape) -> Refit:
    channels, *image = attrs["shape"]
    if channels == 1 or image != [1, 1]:  # no number for each channel: it fits or it does not
        return attrs, params
    return {**attrs, "shape": (x[1], 1, 1)}, {"weight": (x[1],)}


# Op -> new attributes and parameter shapes, of the old ones and the shape of the input.
_REFIT: dict[str, Callable[[Attrs, ParamShapes, Shape], Refit]] = {
    "conv2d": _refit_conv2d,
    "linear": _refit_matrix,
    "rbf": _refit_matrix,
    "batch_norm": _refit_channels,
    "channel_affine": _refit_channels,
    "binary": _refit_binary,
}


def cut_points(graph: Graph) -> list[str]:
    """Layers that everything after them reads nothing but, in order: there a network can be cut."""
    last_use = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    last_use |= dict.fromkeys(graph.outputs.values(), len(graph.nodes))
    found: list[str] = []
    alive: set[str] = set(graph.inputs)
    for i, node in enumerate(graph.nodes):
        alive = {name for name in alive if last_use.get(name, -1) > i}
        if not alive and last_use.get(node.name, -1) < len(graph.nodes):
            found.append(node.name)
        alive.add(node.name)
    return found


def tail(graph: Graph, layer: str) -> Graph:
    """Return what follows a layer, as a network whose input is that layer's output.

    Raises
    ------
    UnsupportedError
        More than that layer is read by what follows; the nearest layers where the network can be
        cut are named.
    UnknownNameError
        There is no such layer; near matches are named.
    """
    graph.node(layer)
    points = cut_points(graph)
    if layer not in points:
        order = graph.names()
        place = order.index(layer)
        before = [name for name in points if order.index(name) < place][-1:]
        after = [name for name in points if order.index(name) > place][:1]
        near = " or ".join(f"'{name}'" for name in before + after)
        raise UnsupportedError(
            f"{graph.name} cannot be cut at '{layer}', which is not all that later layers read"
            + (f"; it can at {near}" if near else "")
        )
    c, h, w = graph.shapes()[layer][1:]
    kept = {node.name for node in graph.with_outputs({layer: layer}).nodes}
    found = Graph(graph.name)
    found.input(layer, (c, h, w))
    return _extended(found, (node for node in graph.nodes if node.name not in kept), graph)


def rebuilt(
    graph: Graph,
    resize: Callable[[Node, tuple[int, ...]], tuple[int, ...]] = lambda node, shape: shape,
) -> Graph:
    """Build a graph anew, with parameters of other shapes; all shapes are inferred and checked."""
    found = Graph(graph.name)
    for name, size in graph.inputs.items():
        found.input(name, size)
    return _extended(found, graph.nodes, graph, resize)


def _extended(
    found: Graph,
    nodes: Iterable[Node],
    graph: Graph,
    resize: Callable[[Node, tuple[int, ...]], tuple[int, ...]] = lambda node, shape: shape,
) -> Graph:
    """Add the nodes, which are of `graph`, and its outputs."""
    for node in nodes:
        params = {role: resize(node, shape) for role, shape in graph.param_shapes(node).items()}
        found.add_node(node.name, node.op, node.inputs, node.attrs, params, node.params)
    for public, name in graph.outputs.items():
        found.output(name, public)
    return found
