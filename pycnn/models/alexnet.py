"""AlexNet: Krizhevsky et al., "ImageNet Classification with Deep Convolutional ...", 2012.

``alexnet@bvlc`` is the bvlc_alexnet of Caffe's model zoo, 60,965,224 parameters: the paper's
network with its two groups in conv2, conv4 and conv5, and with local response normalisation
*before* the pools (in Caffe's other AlexNet, CaffeNet, it comes after them). Deviations from the
paper, all BVLC's: LRN has k = 1 (paper: 2) and alpha is divided by its size, 5 (paper: 1e-4
undivided); the input is 227 x 227, which is what the paper's arithmetic needs where it says 224.
Pools round up, as Caffe's.

``alexnet@torchvision`` is torchvision's `alexnet`, 61,100,840 parameters, another network: that of
"One weird trick for parallelizing convolutional neural networks" (Krizhevsky, 2014), with other
widths, no groups and no LRN, for 224 x 224, padded by 2. Pools round down.
"""

from __future__ import annotations

from pycnn.graph import Graph
from pycnn.models import published
from pycnn.models.registry import register
from pycnn.models.renaming import by_layer
from pycnn.models.variant import Variant
from pycnn.vision.presets import BVLC_ALEXNET, TORCHVISION

__all__ = ["build_alexnet", "build_alexnet_owt"]

PAPER = (
    "Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep Convolutional "
    "Neural Networks, 2012"
)


def build_alexnet() -> Graph:
    """BVLC's AlexNet.

    Returns
    -------
    Graph
    """
    g = Graph("alexnet")

    def norm(i: int, x: str) -> str:
        return g.lrn(f"norm{i}", x, size=5, alpha=1e-4, beta=0.75, k=1.0)

    def pool(i: int, x: str) -> str:
        return g.max_pool2d(f"pool{i}", x, 3, stride=2, ceil_mode=True)

    x = g.input("data", (3, 227, 227))
    x = g.relu("relu1", g.conv2d("conv1", x, 96, 11, stride=4))  # N x 96 x 55 x 55
    x = pool(1, norm(1, x))  # N x 96 x 27 x 27
    x = g.relu("relu2", g.conv2d("conv2", x, 256, 5, padding=2, groups=2))  # N x 256 x 27 x 27
    x = pool(2, norm(2, x))  # N x 256 x 13 x 13
    x = g.relu("relu3", g.conv2d("conv3", x, 384, 3, padding=1))  # N x 384 x 13 x 13
    x = g.relu("relu4", g.conv2d("conv4", x, 384, 3, padding=1, groups=2))  # N x 384 x 13 x 13
    x = g.relu("relu5", g.conv2d("conv5", x, 256, 3, padding=1, groups=2))  # N x 256 x 13 x 13
    x = pool(5, x)  # N x 256 x 6 x 6
    x = g.flatten("flatten", x)  # N x 9216
    x = g.dropout("drop6", g.relu("relu6", g.linear("fc6", x, 4096)))  # N x 4096
    x = g.dropout("drop7", g.relu("relu7", g.linear("fc7", x, 4096)))  # N x 4096
    g.output(g.linear("fc8", x, 1000))  # N x 1000
    return g


def build_alexnet_owt() -> Graph:
    """AlexNet as torchvision has it.

    Returns
    -------
    Graph
    """
    g = Graph("alexnet")

    def pool(i: int, x: str) -> str:
        return g.max_pool2d(f"pool{i}", x, 3, stride=2)

    x = g.input("data", (3, 224, 224))
    x = g.relu("relu1", g.conv2d("conv1", x, 64, 11, stride=4, padding=2))  # N x 64 x 55 x 55
    x = pool(1, x)  # N x 64 x 27 x 27
    x = g.relu("relu2", g.conv2d("conv2", x, 192, 5, padding=2))  # N x 192 x 27 x 27
    x = pool(2, x)  # N x 192 x 13 x 13
    x = g.relu("relu3", g.conv2d("conv3", x, 384, 3, padding=1))  # N x 384 x 13 x 13
    x = g.relu("relu4", g.conv2d("conv4", x, 256, 3, padding=1))  # N x 256 x 13 x 13
    x = g.relu("relu5", g.conv2d("conv5", x, 256, 3, padding=1))  # N x 256 x 13 x 13
    x = pool(5, x)  # N x 256 x 6 x 6
    x = g.dropout("drop6", g.flatten("flatten", x))  # N x 9216
    x = g.dropout("drop7", g.relu("relu6", g.linear("fc6", x, 4096)))  # N x 4096
    x = g.relu("relu7", g.linear("fc7", x, 4096))  # N x 4096
    g.output(g.linear("fc8", x, 1000))  # N x 1000
    return g


_TORCHVISION_LAYERS = {
    **{f"features.{i}": f"conv{n}" for n, i in enumerate((0, 3, 6, 8, 10), 1)},
    **{f"classifier.{i}": f"fc{n}" for n, i in enumerate((1, 4, 6), 6)},
}

register(
    Variant(
        name="alexnet",
        source="bvlc",
        title="AlexNet",
        paper=PAPER,
        build=build_alexnet,
        preprocessing=BVLC_ALEXNET,
        labels="imagenet",
        licence="unrestricted",
        published=published.bvlc(
            "bvlc_alexnet", "9116a64c0fbe4459d18f4bb6b56d647b63920377", 57.1, 80.2
        ),
    )
)
register(
    Variant(
        name="alexnet",
        source="torchvision",
        title="AlexNet, one weird trick",
        paper="Krizhevsky: One weird trick for parallelizing convolutional neural networks, 2014",
        build=build_alexnet_owt,
        preprocessing=TORCHVISION,
        labels="imagenet",
        licence="BSD-3-Clause",
        published=published.torchvision("alexnet-owt-7be5be79.pth", "alexnet", 56.522, 79.066),
        rename=by_layer(_TORCHVISION_LAYERS),
    )
)
