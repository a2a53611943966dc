"""LeNet-5: LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998.

Two variants.

``lenet5@mnist`` is LeNet-5 as it is taught today, 61,706 parameters, with weights trained by this
project (tools/train_lenet5.py). It differs from the paper (1998, section II.B) so: c3 sees all
maps of s2; the subsampling layers are plain averages, without coefficient and bias, and the
activation comes after them only; tanh is not scaled by 1.7159; `output` is a linear layer trained
by cross-entropy, not radial basis functions. The activation may be sigmoid or ReLU instead.

``lenet5_1998@paper`` is the paper's network, 60,000 trained parameters: c3 with the connections
of table I; subsampling layers with one coefficient and one bias per map; every unit up to f6
squashed by 1.7159 tanh(2/3 a); the output the negative squared distance to one fixed code of 84
values per class, so that the largest is the best, as with logits. It is only written otherwise:
the paper multiplies the *sum* of four inputs by its coefficient, `s2/affine` and `s4/affine`
their *mean*, so that their weight is four times the paper's; and c5, a convolution whose filters
are as large as its input, is a linear layer. The codes (`output.weight`) are data and must come
with the weights.
"""

from __future__ import annotations

from pycnn.graph import Graph
from pycnn.models.registry import register
from pycnn.models.variant import Variant
from pycnn.vision.presets import MNIST_LENET

__all__ = ["C3_CONNECTIONS", "build_lenet5", "build_lenet5_1998"]

PAPER = (
    "LeCun, Bottou, Bengio, Haffner: Gradient-Based Learning Applied to Document Recognition, 1998"
)

# Of the paper's squashing function, SCALE tanh(SLOPE a): it gives 1 for 1 and -1 for -1.
SCALE = 1.7159
SLOPE = 2 / 3

#: Table I of the paper: the maps of s2 that each of the 16 maps of c3 sees; 60 connections.
C3_CONNECTIONS = (
    (0, 1, 2),
    (1, 2, 3),
    (2, 3, 4),
    (3, 4, 5),
    (0, 4, 5),
    (0, 1, 5),
    (0, 1, 2, 3),
    (1, 2, 3, 4),
    (2, 3, 4, 5),
    (0, 3, 4, 5),
    (0, 1, 4, 5),
    (0, 1, 2, 5),
    (0, 1, 3, 4),
    (1, 2, 4, 5),
    (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)


def build_lenet5(activation: str = "tanh") -> Graph:
    """LeNet-5 as it is taught today.

    Parameters
    ----------
    activation : {"tanh", "sigmoid", "relu"}
        Also the last part of the names of its layers.

    Returns
    -------
    Graph
    """
    g = Graph("lenet5")

    def squash(x: str) -> str:
        methods = {"tanh": g.tanh, "sigmoid": g.sigmoid, "relu": g.relu}
        return methods[activation](f"{x}/{activation}", x)

    x = g.input("data", (1, 32, 32))
    x = g.conv2d("c1", x, 6, 5)  # N x 6 x 28 x 28
    x = squash(g.avg_pool2d("s2", x, 2))  # N x 6 x 14 x 14
    x = g.conv2d("c3", x, 16, 5)  # N x 16 x 10 x 10
    x = squash(g.avg_pool2d("s4", x, 2))  # N x 16 x 5 x 5
    x = g.flatten("flatten", x)  # N x 400
    x = squash(g.linear("c5", x, 120))  # N x 120
    x = squash(g.linear("f6", x, 84))  # N x 84
    g.output(g.linear("output", x, 10))  # N x 10
    return g


def build_lenet5_1998() -> Graph:
    """LeNet-5 as in the paper.

    Returns
    -------
    Graph
    """
    g = Graph("lenet5_1998")

    def squash(x: str) -> str:
        return g.tanh(f"{x}/tanh", x, SCALE, SLOPE)

    def subsample(name: str, x: str) -> str:
        x = g.channel_affine(f"{name}/affine", g.avg_pool2d(name, x, 2))
        return g.tanh(f"{name}/tanh", x, SCALE, SLOPE)

    x = g.input("data", (1, 32, 32))
    x = squash(g.conv2d("c1", x, 6, 5))  # N x 6 x 28 x 28
    x = subsample("s2", x)  # N x 6 x 14 x 14
    x = squash(g.conv2d("c3", x, 16, 5, connections=C3_CONNECTIONS))  # N x 16 x 10 x 10
    x = subsample("s4", x)  # N x 16 x 5 x 5
    x = g.flatten("flatten", x)  # N x 400
    x = squash(g.linear("c5", x, 120))  # N x 120
    x = squash(g.linear("f6", x, 84))  # N x 84
    g.output(g.rbf("output", x, 10))  # N x 10
    return g


register(
    Variant(
        name="lenet5",
        source="mnist",
        title="LeNet-5",
        paper=PAPER,
        build=build_lenet5,
        choices={"activation": ("tanh", "sigmoid", "relu")},
        preprocessing=MNIST_LENET,
        labels="mnist",
        licence="Apache-2.0",
        shipped="lenet5.safetensors",
    )
)
register(
    Variant(
        name="lenet5_1998",
        source="paper",
        title="LeNet-5 (1998)",
        paper=PAPER,
        build=build_lenet5_1998,
        preprocessing=MNIST_LENET,
        labels="mnist",
    )
)
