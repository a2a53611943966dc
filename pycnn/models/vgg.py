"""VGG: Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale ...", 2014.

``vgg16@vgg`` and ``vgg19@vgg`` are the columns D and E of the paper's table 1, as its authors
published them for Caffe: BGR pixels less their mean. Pools round up, as Caffe's, which shows only
at sizes that are no multiple of 32.

``vgg11@torchvision`` ... ``vgg19@torchvision`` are the columns A (without LRN), B, D and E as
torchvision trained them anew, with pools that round down; ``vgg11_bn@torchvision`` ... have batch
normalisation after each convolution, which the paper did not know.

Layer names are the authors' Caffe models'; `bn1_1` is the batch norm after `conv1_1`.
"""

from __future__ import annotations

from collections.abc import Mapping

from pycnn.graph import Graph
from pycnn.models import published
from pycnn.models.registry import register
from pycnn.models.renaming import by_layer
from pycnn.models.variant import Published, Variant
from pycnn.vision.presets import TORCHVISION, VGG_CAFFE

__all__ = ["build_vgg"]

PAPER = (
    "Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, 2014"
)

CHANNELS = (64, 128, 256, 512, 512)
# Depth -> number of 3x3 convolutions in each stage.
CONVOLUTIONS = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}


def build_vgg(depth: int, batch_norm: bool = False, ceil_mode: bool = False) -> Graph:
    """VGG of 11, 13, 16 or 19 layers with weights.

    Parameters
    ----------
    depth : {11, 13, 16, 19}
    batch_norm : bool
        Whether each convolution is followed by batch normalisation.
    ceil_mode : bool
        Whether pools round up.

    Returns
    -------
    Graph
    """
    g = Graph(f"vgg{depth}_bn" if batch_norm else f"vgg{depth}")
    x = g.input("data", (3, 224, 224))
    # N x 64 x 112 x 112, N x 128 x 56 x 56, N x 256 x 28 x 28, N x 512 x 14 x 14, N x 512 x 7 x 7
    for stage, (channels, count) in enumerate(zip(CHANNELS, CONVOLUTIONS[depth], strict=True), 1):
        for i in range(1, count + 1):
            x = g.conv2d(f"conv{stage}_{i}", x, channels, 3, padding=1)
            if batch_norm:
                x = g.batch_norm(f"bn{stage}_{i}", x)
            x = g.relu(f"relu{stage}_{i}", x)
        x = g.max_pool2d(f"pool{stage}", x, 2, ceil_mode=ceil_mode)
    x = g.flatten("flatten", x)  # N x 25088
    x = g.dropout("drop6", g.relu("relu6", g.linear("fc6", x, 4096)))  # N x 4096
    x = g.dropout("drop7", g.relu("relu7", g.linear("fc7", x, 4096)))  # N x 4096
    g.output(g.linear("fc8", x, 1000))  # N x 1000
    return g


def _torchvision_layers(depth: int, batch_norm: bool) -> Mapping[str, str]:
    """All layers of torchvision's features, ReLUs and pools too, are numbered in one row."""
    layers = {f"classifier.{i}": f"fc{n}" for n, i in enumerate((0, 3, 6), 6)}
    place = 0
    for stage, count in enumerate(CONVOLUTIONS[depth], 1):
        for i in range(1, count + 1):
            layers[f"features.{place}"] = f"conv{stage}_{i}"
            if batch_norm:
                layers[f"features.{place + 1}"] = f"bn{stage}_{i}"
            place += 3 if batch_norm else 2
        place += 1  # the pool
    return layers


def _vgg(depth: int, gist_id: str) -> Published:
    file = f"VGG_ILSVRC_{depth}_layers.caffemodel"
    return published.gist(
        f"ksimonyan/{gist_id}",
        f"http://www.robots.ox.ac.uk/~vgg/software/very_deep/caffe/{file}",
        file,
        digest=None,
        top1=None,
        note="no hash is stated; the page gives errors of dense evaluation only",
    )


PUBLISHED = {16: _vgg(16, "211839e770f7b538e2d8"), 19: _vgg(19, "3785162f95cd2d5fee77")}
PUBLISHED_TORCHVISION = {
    "vgg11": published.torchvision("vgg11-8a719046.pth", "vgg", 69.020, 88.628),
    "vgg13": published.torchvision("vgg13-19584684.pth", "vgg", 69.928, 89.246),
    "vgg16": published.torchvision("vgg16-397923af.pth", "vgg", 71.592, 90.382),
    "vgg19": published.torchvision("vgg19-dcbb9e9d.pth", "vgg", 72.376, 90.876),
    "vgg11_bn": published.torchvision("vgg11_bn-6002323d.pth", "vgg", 70.370, 89.810),
    "vgg13_bn": published.torchvision("vgg13_bn-abd245e5.pth", "vgg", 71.586, 90.374),
    "vgg16_bn": published.torchvision("vgg16_bn-6c64b313.pth", "vgg", 73.360, 91.516),
    "vgg19_bn": published.torchvision("vgg19_bn-c79401a0.pth", "vgg", 74.218, 91.842),
}

for _depth, _published in PUBLISHED.items():
    register(
        Variant(
            name=f"vgg{_depth}",
            source="vgg",
            title=f"VGG-{_depth}",
            paper=PAPER,
            build=build_vgg,
            options={"depth": _depth, "ceil_mode": True},
            preprocessing=VGG_CAFFE,
            labels="imagenet",
            licence="CC BY 4.0",
            published=_published,
        )
    )
for _name, _published in PUBLISHED_TORCHVISION.items():
    _depth, _batch_norm = int(_name[3:5]), _name.endswith("_bn")
    register(
        Variant(
            name=_name,
            source="torchvision",
            title=f"VGG-{_depth}" + (" with batch norm" if _batch_norm else ""),
            paper=PAPER,
            build=build_vgg,
            options={"depth": _depth, "batch_norm": _batch_norm},
            preprocessing=TORCHVISION,
            labels="imagenet",
            licence="BSD-3-Clause",
            published=_published,
            rename=by_layer(_torchvision_layers(_depth, _batch_norm)),
        )
    )
