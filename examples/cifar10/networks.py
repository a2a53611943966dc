"""The networks of the examples: the real Inception v1, and small ones for 32 x 32 pixels."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt

import pycnn
from pycnn import Graph, Model
from pycnn.transfer import extract
from pycnn.vision import Dataset, Preprocessing
from pycnn.vision.labels import labels
from pycnn.weights import RandomWeights

TAP = "pool5/7x7_s1"  # of Inception v1: 1,024 numbers an image

# The whole image, in -2..2.
WHOLE = Preprocessing((32, 32), scale=1 / 64, mean=(2.0,))


def inception(data: Path) -> Model:
    """The real Inception v1 of BVLC; for throughput, since whole batches go through it.

    Its own preprocessing cuts the borders off, which on 32 x 32 pixels is a loss: here the whole
    image becomes 224 x 224.
    """
    weights = data / "inception_v1_bvlc" / "weights.npz"
    model = pycnn.load("inception_v1", weights, optimize="throughput")
    assert model.preprocessing is not None
    model.preprocessing = dataclasses.replace(model.preprocessing, resize=(224, 224), crop=None)
    return model


def logits_from_store(
    fitted: Model, trunk: Model, data: Dataset, store: Path
) -> npt.NDArray[np.float32]:
    """Logits of a model that "features" or "head" gave, from the stored features of its trunk."""
    head = fitted.content()
    weight, bias = (head.read(f"loss3/classifier.{role}") for role in ("weight", "bias"))
    x = extract(trunk, TAP, data, store=store).matrix()
    return x @ weight.reshape(len(weight), -1).T + bias


def lenet_like(classes: int) -> Model:
    """LeNet-5 with ReLU on colour: what one would train from nothing."""
    g = Graph("lenet_like")
    x = g.relu("relu1", g.conv2d("c1", g.input("data", (3, 32, 32)), 6, 5))
    x = g.relu("relu2", g.conv2d("c3", g.max_pool2d("s2", x, 2), 16, 5))
    x = g.flatten("flatten", g.max_pool2d("s4", x, 2))
    x = g.relu("relu3", g.linear("c5", x, 120))
    x = g.relu("relu4", g.linear("f6", x, 84))
    g.output(g.linear("output", x, classes))
    return Model(g, RandomWeights(g), preprocessing=WHOLE)


def centre(side: int) -> Preprocessing:
    """The centre of an image, in -2..2 or so."""
    return Preprocessing(
        (side, side), crop=(side, side), scale=1 / 255, mean=(0.49, 0.48, 0.45), std=(0.25,)
    )


def stages(
    name: str, widths: tuple[int, ...], convolutions: int = 2, kernel: int = 3, side: int = 32
) -> Model:
    """Stages of convolution, batch norm and ReLU, with a pool after each; then one linear layer.

    The first weights are He's, and the same each time.
    """
    graph = Graph(name)
    x = graph.input("data", (3, side, side))
    for stage, width in enumerate(widths, start=1):
        for i in range(1, convolutions + 1):
            layer = f"conv{stage}_{i}"
            x = graph.conv2d(layer, x, width, kernel_size=kernel, padding=kernel // 2, bias=False)
            x = graph.relu(f"{layer}_relu", graph.batch_norm(f"{layer}_bn", x))
        last = stage == len(widths)
        x = graph.global_avg_pool("pool", x) if last else graph.max_pool2d(f"pool{stage}", x, 2)
    graph.output(graph.linear("classifier", graph.flatten("features", x), 10))
    return Model(
        graph, RandomWeights(graph, 0), preprocessing=centre(side), labels=labels("cifar10")
    )
