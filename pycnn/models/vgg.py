"""VGG: Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale ...", 2014.

``vgg11@vgg``, ``vgg13@vgg``, ``vgg16@vgg`` and ``vgg19@vgg`` are the columns A (without LRN), B,
D and E of the paper's table 1, for BGR pixels less their mean, as the authors' Caffe models of D
and E want them; they published no A and B. Geometry and names are those models'; pools round up,
as Caffe's, which shows only at sizes that are no multiple of 32.
"""

from __future__ import annotations

from pycnn.graph import Graph
from pycnn.models.registry import register
from pycnn.models.variant import Variant
from pycnn.vision.presets import VGG_CAFFE

__all__ = ["build_vgg"]

CHANNELS = (64, 128, 256, 512, 512)
# Depth -> number of 3x3 convolutions in each stage.
CONVOLUTIONS = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
PUBLISHED = (16, 19)


def build_vgg(depth: int) -> Graph:
    """VGG of 11, 13, 16 or 19 layers with weights.

    Parameters
    ----------
    depth : {11, 13, 16, 19}

    Returns
    -------
    Graph
    """
    g = Graph(f"vgg{depth}")
    x = g.input("data", (3, 224, 224))
    # N x 64 x 112 x 112, N x 128 x 56 x 56, N x 256 x 28 x 28, N x 512 x 14 x 14, N x 512 x 7 x 7
    for stage, (channels, count) in enumerate(zip(CHANNELS, CONVOLUTIONS[depth], strict=True), 1):
        for i in range(1, count + 1):
            x = g.conv2d(f"conv{stage}_{i}", x, channels, 3, padding=1)
            x = g.relu(f"relu{stage}_{i}", x)
        x = g.max_pool2d(f"pool{stage}", x, 2, ceil_mode=True)
    x = g.flatten("flatten", x)  # N x 25088
    x = g.dropout("drop6", g.relu("relu6", g.linear("fc6", x, 4096)))  # N x 4096
    x = g.dropout("drop7", g.relu("relu7", g.linear("fc7", x, 4096)))  # N x 4096
    g.output(g.linear("fc8", x, 1000))  # N x 1000
    return g


for _depth in CONVOLUTIONS:
    register(
        Variant(
            name=f"vgg{_depth}",
            source="vgg",
            title=f"VGG-{_depth}",
            paper=(
                "Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image "
                "Recognition, 2014"
            ),
            build=build_vgg,
            options={"depth": _depth},
            preprocessing=VGG_CAFFE,
            labels="imagenet",
            licence="CC BY 4.0" if _depth in PUBLISHED else None,
        )
    )
