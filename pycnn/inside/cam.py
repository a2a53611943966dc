"""Class activation maps: which parts of an image speak for a class (Zhou et al. 2016).

Where a network ends in an average over the whole image and one linear layer, a class's logit is

    logit[k] = bias[k] + mean over (y, x) of map[k, y, x],  map[k] = sum_c weight[k, c] features[c]

so the map says, place by place, where the logit comes from. In Network in Network the last
convolution gives a map for each class itself, and the logit is its mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pycnn.errors import UnknownNameError, UnsupportedError, suggest
from pycnn.graph import Graph
from pycnn.inside.pictures import Pixels, png, values_of, zoom_of
from pycnn.model import Model, preprocessing_of
from pycnn.opset import Array
from pycnn.surgery import head_of
from pycnn.vision.decode import ImageLike

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Activation", "class_activation"]

_STRENGTH = 0.55  # of the colours over the image
_SIDE = 192  # pixels that the longer side of a picture has at least


@dataclass(frozen=True)
class Activation:
    """Where a class's logit comes from.

    Attributes
    ----------
    label, index, probability
        The class, and what the network gives it.
    logit
        The bias and the mean of the map.
    map
        (H, W) float32, of the layer before the average.
    pixels
        What the network saw: uint8 (H, W, 3).
    """

    label: str
    index: int
    probability: float
    logit: float
    map: Array
    pixels: Pixels

    def picture(self) -> Image.Image:
        """The image under the map: from blue, nothing or against the class, to red, most for it.

        A small image is enlarged by a whole number.
        """
        from PIL import Image

        height, width = self.pixels.shape[:2]
        zoom = zoom_of(height, width, _SIDE)
        pixels = self.pixels.repeat(zoom, axis=0).repeat(zoom, axis=1)
        height, width = pixels.shape[:2]
        positive = np.maximum(self.map, 0) / (float(self.map.max()) or 1.0)
        small = Image.fromarray(np.clip(positive, 0, 1).astype(np.float32))
        large = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
        heat = _colours(np.clip(large, 0, 1))
        mixed = (1 - _STRENGTH) * pixels + _STRENGTH * heat
        return Image.fromarray(np.rint(mixed).astype(np.uint8))

    def _repr_png_(self) -> bytes:
        return png(self.picture())


def class_activation(model: Model, image: ImageLike, label: str | int | None = None) -> Activation:
    """Say which parts of an image speak for a class.

    Parameters
    ----------
    model : Model
        A network that ends in an average over the whole image: NIN, Inception v1, ResNet.
    image : path, PIL image or uint8 array
    label : str or int, optional
        The class, by its label or number; by default the one with the largest probability.

    Raises
    ------
    UnsupportedError
        The network ends in another way; the message says how.
    UnknownNameError
        There is no such class; near matches are named.
    ValueError
        Several classes have that label; their numbers are named.
    TypeError
        The class is True or False.
    """
    features, head = _end(model.graph)
    batch = preprocessing_of(model).batch([image])
    (maps,) = values_of(model, features, [image]).astype(np.float64)
    (probabilities,) = model.probabilities(batch, check_input=False)
    index = int(np.argmax(probabilities)) if label is None else _index(model, label)
    bias = 0.0
    if head is None:  # a map for each class
        found = maps[index]
    else:
        read, params = model.content().read, model.graph.node(head).params
        weight = read(params["weight"]).reshape(model.graph.parameters[params["weight"]])
        found = np.tensordot(weight[index].astype(np.float64), maps, 1)
        bias = float(read(params["bias"])[index]) if "bias" in params else 0.0
    return Activation(
        model.label(index),
        index,
        float(probabilities[index]),
        bias + float(found.mean()),
        found.astype(np.float32),
        preprocessing_of(model).pixels(image),
    )


def _end(graph: Graph) -> tuple[str, str | None]:
    """The layer before the average over the whole image, and the linear layer behind it, if any."""
    head, shapes = head_of(graph), graph.shapes()
    linear = head.name if head.op == "linear" else None
    name = head.inputs[0] if linear else next(iter(graph.outputs.values()))
    while name not in graph.inputs:
        node = graph.node(name)
        if node.op == "global_avg_pool" or (
            node.op == "avg_pool2d" and node.attrs["kernel_size"] == shapes[node.inputs[0]][2:]
        ):
            return node.inputs[0], linear
        if node.op not in ("dropout", "flatten", "softmax", "log_softmax"):
            break
        name = node.inputs[0]
    raise UnsupportedError(
        f"{graph.name} has no class activation maps: before its last layer there is '{name}', no "
        "average over the whole image"
    )


def _index(model: Model, label: str | int) -> int:
    classes = model.graph.shapes()[next(iter(model.graph.outputs.values()))][1]
    if isinstance(label, bool):
        raise TypeError(f"a class is a label or a number, got {label}")
    if isinstance(label, int) or label.isdecimal():
        if 0 <= int(label) < classes:
            return int(label)
        raise UnknownNameError(f"{model.name} has {classes} classes, none is {label}")
    labels = model.labels or ()
    if label not in labels:
        raise UnknownNameError(f"{model.name} has no class {label!r}{suggest(label, labels)}")
    numbers = [i for i, known in enumerate(labels) if known == label]
    if len(numbers) > 1:
        several = " and ".join(map(str, numbers))
        raise ValueError(f"{model.name}: classes {several} are called {label!r}: give a number")
    return numbers[0]


def _colours(values: Array) -> npt.NDArray[np.float64]:
    """Blue, cyan, yellow, red for 0 to 1."""
    places = [0.0, 0.35, 0.65, 1.0]
    red, green, blue = ([20, 30, 250, 220], [40, 190, 220, 30], [130, 200, 60, 20])
    return np.stack([np.interp(values, places, plane) for plane in (red, green, blue)], axis=-1)
