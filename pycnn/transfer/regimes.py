"""What is frozen and what learns: the four regimes, and which one suits how many images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pycnn.errors import UnknownNameError, UnsupportedError, suggest
from pycnn.graph import Graph, Node
from pycnn.surgery import cut_points, head_of, tail, with_classifier, with_head
from pycnn.vision import Augmentation, Mirror, RandomCrop
from pycnn.vision.preprocess import Preprocessing

__all__ = ["REGIMES", "Division", "choose", "divide", "resolve", "usual_augmentation"]

Labels = npt.NDArray[np.int64]

REGIMES = ("features", "head", "freeze:<layer>", "full", "auto")

# Images of the smallest class, without those held out, below which "auto" leaves the network
# frozen: docs/practice.md has no regime that is clearly better than "features" with 10 to 100, and
# "features" itself gains by more images up to about 500 (50 to 500: 7.5 points; 500 to 4,300: 2.6).
# And from which on it trains all of it: a rule of thumb, as that was not measured.
_FEATURES_BELOW = 500
_FULL_FROM = 5000

# The part of the multiply-adds that "auto" freezes where it trains the rest.
_FROZEN_PART = 0.75


@dataclass(frozen=True)
class Division:
    """A network with a new head, cut in two.

    Attributes
    ----------
    graph
        The whole, with the new head.
    cut
        The last frozen layer; None where everything learns.
    head
        The layer whose parameters are new.
    """

    graph: Graph
    cut: str | None
    head: Node

    @property
    def tap(self) -> str:
        """The last frozen layer, of a division that has one."""
        if self.cut is None:
            raise ValueError(f"nothing of {self.graph.name} is frozen")
        return self.cut

    def learning(self) -> Graph:
        """The part that learns, up to the logits."""
        graph = self.graph if self.cut is None else tail(self.graph, self.cut)
        name, layer = next(iter(graph.outputs.items()))
        while graph.node(layer).op in ("softmax", "log_softmax"):
            (layer,) = graph.node(layer).inputs
        return graph.with_outputs({name: layer})


def resolve(regime: str, graph: Graph, labels: Labels, held_out: Labels) -> tuple[str, str]:
    """Check a regime's name, and choose where it is "auto", by the labels of the images.

    Returns
    -------
    tuple of str
        The regime, and why.

    Raises
    ------
    ValueError
        There is no such regime.
    """
    if regime == "auto":
        return choose(graph, labels, held_out)
    if regime.startswith("freeze:") or regime in ("features", "head", "full"):
        return regime, "as asked for"
    raise ValueError(
        f"no regime {regime!r}: it is one of {', '.join(REGIMES)}{suggest(regime, REGIMES)}"
    )


def choose(graph: Graph, labels: Labels, held_out: Labels) -> tuple[str, str]:
    """Choose a regime by the number of images to learn from, and say why."""
    counts = np.bincount(labels)
    smallest = int(counts.argmin())
    fewest = int(counts[smallest])
    found = (
        f"{fewest} images to learn from, {np.count_nonzero(held_out == smallest)} held out, in the "
        "smallest class"
    )
    if fewest < _FEATURES_BELOW:
        return "features", (
            f"{found}, fewer than {_FEATURES_BELOW}: more than a new head would be learnt by heart"
        )
    if fewest >= _FULL_FROM:
        return "full", f"{found}, {_FULL_FROM} or more: all may learn"
    layer, part = _layer_before(graph, _FROZEN_PART)
    return f"freeze:{layer}", (
        f"{found}, {_FEATURES_BELOW} to {_FULL_FROM}: the last layers may learn, {part:.0%} of the "
        "multiply-adds stay frozen"
    )


def usual_augmentation(regime: str, preprocessing: Preprocessing) -> Augmentation | None:
    """What a regime draws where nothing else is said: "head" crops, the others nothing.

    The crops are out of a border of an eighth of the side, as in the ResNet paper's section 4.2.
    Colour images are mirrored too; digits, for which networks have one channel, mean something else
    in a mirror.
    """
    if regime != "head":
        return None
    channels, *sides = preprocessing.shape
    crop = RandomCrop(padding=min(sides) // 8)
    return Augmentation((crop, Mirror()) if channels == 3 else (crop,))


def divide(graph: Graph, regime: str, classes: int, tap: str | None = None) -> Division:
    """Give a network a new head, and cut it where a regime says.

    Parameters
    ----------
    graph : Graph
    regime : str
        Not "auto".
    classes : int
    tap : str, optional
        For "features" and "head": the layer that a new head is put on. By default the head is
        replaced in its place.

    Raises
    ------
    UnsupportedError
        The network has no head that could be replaced, or cannot be cut at that layer.
    UnknownNameError
        There is no such layer; near matches are named.
    """
    name, layer = next(iter(graph.outputs.items()))
    main = graph.with_outputs({name: layer})
    if tap is not None:
        if regime not in ("features", "head"):
            raise ValueError(f"the regime {regime!r} has no tap: it keeps the network's own layers")
        return _on_tap(main, tap, classes)
    head = head_of(main)
    if regime == "features" and head.op != "linear":
        return _on_tap(main, _source(main, head.inputs[0]), classes)
    changed = with_head(main, classes)
    if regime == "full":
        return Division(changed, None, head)
    if regime in ("features", "head"):
        return Division(changed, _source(main, head.inputs[0]), head)
    return _frozen_up_to(regime.removeprefix("freeze:"), changed, head)


def _frozen_up_to(layer: str, graph: Graph, head: Node) -> Division:
    division = Division(graph, layer, head)
    learning = set(division.learning().parameters)
    if not learning >= set(head.params.values()):
        raise UnsupportedError(f"'{layer}' lies behind the head '{head.name}', which must learn")
    if shared := learning & set(graph.with_outputs({layer: layer}).parameters):
        raise UnsupportedError(
            f"{graph.name} cannot be frozen up to '{layer}': {', '.join(sorted(shared))} is used "
            "on both sides"
        )
    return division


def _on_tap(graph: Graph, tap: str, classes: int) -> Division:
    if tap not in graph.names():
        raise UnknownNameError(
            f"{graph.name} has no layer '{tap}' to take features from{suggest(tap, graph.names())}"
        )
    changed = with_classifier(graph, tap, classes)
    return Division(changed, tap, changed.node("classifier"))


def _source(graph: Graph, name: str) -> str:
    """The layer whose values `name` has: dropout, and flattening a vector, change none."""
    shapes = graph.shapes()
    while name not in graph.inputs:
        node = graph.node(name)
        if node.op != "dropout" and (
            node.op != "flatten" or shapes[node.inputs[0]] != shapes[name]
        ):
            break
        name = node.inputs[0]
    return name


def _layer_before(graph: Graph, part: float) -> tuple[str, float]:
    """The last layer to cut at with at most this part of the work before it, and its part.

    It is the first one where there is none.
    """
    name, layer = next(iter(graph.outputs.items()))
    main = graph.with_outputs({name: layer})
    points = set(cut_points(main))
    macs = main.macs()
    total, done, found = sum(macs.values()), 0, None
    for node in main.nodes:
        done += macs[node.name]
        if node.name in points and (found is None or done <= part * total):
            found = (node.name, done / total)
    if found is None:
        raise UnsupportedError(f"{graph.name} cannot be cut anywhere: choose 'full'")
    return found
