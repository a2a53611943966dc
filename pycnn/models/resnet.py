"""ResNet and plain nets: He et al., "Deep Residual Learning for Image Recognition", 2015.

Layer names are those of the authors' Caffe models: `res3a_branch2b` is the second convolution of
the first block of stage 3, `bn3a_branch2b` its batch normalisation, `res3a_branch1` the
shortcut's projection, `res3a` the sum.

``resnet18@torchvision`` ... ``resnet152@torchvision``: table 1 of the paper, as torchvision has
it. Where a stage changes the shape the shortcut is a projection (the paper's option B).
Deviations from the paper: bottlenecks stride on their 3x3 convolution (torchvision's "v1.5", 4.09
G multiply-adds for ResNet-50), the paper on their first 1x1 (3.86 G): `stride_on="1x1"`, the same
parameters, but torchvision's weights were not trained for it. `pool1` is padded by 1 and rounds
down. torchvision published two generations of weights for 50, 101 and 152 layers, of one geometry:
``@torchvision`` are its IMAGENET1K_V1, trained much as in the paper, ``@torchvision_v2`` its
IMAGENET1K_V2, trained longer and with more augmentation. Names and shapes cannot tell them apart.

``resnet50@msra``, ``resnet101@msra``, ``resnet152@msra`` are the authors' own, for Caffe:
bottlenecks stride on their first 1x1; `pool1` is not padded and rounds up; `conv1` of ResNet-50,
and of it alone, has a bias (25,557,096 parameters). Caffe's batch norm is in two layers,
statistics in `bn2a_branch2a`, the rest in `scale2a_branch2a`: here it is one, by the first name.

``plain18@paper``, ``plain34@paper``: the same without shortcuts, for the comparison of the
paper's section 4.1.

``resnet20@akamaster`` ... ``resnet110@akamaster``: section 4.2, for CIFAR-10, with stages of 16,
32 and 64 channels and shortcuts without parameters (option A: every second pixel, zeros in the
new channels). Deviation: the new channels are split to both sides of the old, where the paper
does not say.

``plain20@paper`` ... ``plain110@paper``: the same without shortcuts; as option A has no
parameters, with as many.

``resnet20@cifar10``, ``plain20@cifar10`` are the same networks with weights that this project
trained (30 epochs, the study `plain-vs-resnet`) and that ship with the package: what `resnet20` and
`plain20` alone mean.

Nobody else published weights of the plain nets. They get the preprocessing of the residual nets
beside them, so that the two can be compared.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

from pycnn.graph import Graph
from pycnn.models import published
from pycnn.models.registry import register
from pycnn.models.variant import Variant
from pycnn.vision import Preprocessing
from pycnn.vision.presets import CIFAR10_AKAMASTER, TORCHVISION, TORCHVISION_V2, VGG_CAFFE

__all__ = ["build_cifar", "build_imagenet", "conv_bn", "residual_block"]

PAPER = "He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, 2015"

# Depth -> number of blocks in the stages 2, 3, 4, 5.
IMAGENET_BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
IMAGENET_CHANNELS = (64, 128, 256, 512)
BOTTLENECK_DEPTHS = (50, 101, 152)
EXPANSION = 4  # of a bottleneck's last convolution

CIFAR_DEPTHS = (20, 32, 44, 56, 110)  # 6n + 2, n blocks in each of the stages 2, 3, 4
CIFAR_CHANNELS = (16, 32, 64)
TRAINED_HERE = (20,)  # both kinds, by tools/ship_cifar10.py; the weights ship with the package


def build_imagenet(
    depth: int,
    residual: bool = True,
    stride_on: str = "3x3",
    caffe: bool = False,
) -> Graph:
    """ResNet or plain net for ImageNet.

    Parameters
    ----------
    depth : {18, 34, 50, 101, 152}
        Plain nets: 18 or 34.
    residual : bool
        False: no shortcuts.
    stride_on : {"3x3", "1x1"}
        The convolution of a bottleneck that halves the image.
    caffe : bool
        Whether the first layers are those of the authors' Caffe models.

    Returns
    -------
    Graph
    """
    g = Graph(f"{'resnet' if residual else 'plain'}{depth}")
    x = g.input("data", (3, 224, 224))
    x = g.conv2d("conv1", x, 64, 7, stride=2, padding=3, bias=caffe and depth == 50)
    x = g.relu("conv1_relu", g.batch_norm("bn_conv1", x))  # N x 64 x 112 x 112
    if caffe:
        x = g.max_pool2d("pool1", x, 3, stride=2, ceil_mode=True)
    else:
        x = g.max_pool2d("pool1", x, 3, stride=2, padding=1)  # N x 64 x 56 x 56
    in_channels = 64
    # N x 64 x 56 x 56, N x 128 x 28 x 28, N x 256 x 14 x 14, N x 512 x 7 x 7;
    # bottlenecks N x 256 x 56 x 56, ..., N x 2048 x 7 x 7
    stages = zip(IMAGENET_CHANNELS, IMAGENET_BLOCKS[depth], strict=True)
    for stage, (channels, count) in enumerate(stages, 2):
        out_channels = EXPANSION * channels if depth in BOTTLENECK_DEPTHS else channels
        for index in range(count):
            block = f"{stage}{_block_name(stage, index, depth)}"
            stride = 2 if stage > 2 and index == 0 else 1
            layers = [(channels, 3, stride), (channels, 3, 1)]
            if depth in BOTTLENECK_DEPTHS:
                on_1x1, on_3x3 = (stride, 1) if stride_on == "1x1" else (1, stride)
                layers = [(channels, 1, on_1x1), (channels, 3, on_3x3), (out_channels, 1, 1)]
            shortcut = x
            if residual and (stride, in_channels) != (1, out_channels):
                shortcut = conv_bn(
                    g, f"res{block}_branch1", f"bn{block}_branch1", x, out_channels, 1, stride
                )
            x = residual_block(g, block, x, layers, shortcut if residual else None)
            in_channels = out_channels
    x = g.global_avg_pool("pool5", x)  # N x 512 x 1 x 1, bottlenecks N x 2048 x 1 x 1
    x = g.flatten("flatten", x)
    g.output(g.linear("fc1000", x, 1000))  # N x 1000
    return g


def build_cifar(depth: int, residual: bool = True) -> Graph:
    """ResNet or plain net for CIFAR-10.

    Parameters
    ----------
    depth : {20, 32, 44, 56, 110}
    residual : bool
        False: no shortcuts.

    Returns
    -------
    Graph
    """
    g = Graph(f"{'resnet' if residual else 'plain'}{depth}")
    x = g.input("data", (3, 32, 32))
    x = conv_bn(g, "conv1", "bn_conv1", x, 16, 3)  # N x 16 x 32 x 32
    x = g.relu("conv1_relu", x)
    # N x 16 x 32 x 32, N x 32 x 16 x 16, N x 64 x 8 x 8
    for stage, channels in enumerate(CIFAR_CHANNELS, 2):
        for index in range((depth - 2) // 6):
            block = f"{stage}{_block_name(stage, index, depth)}"
            stride = 2 if stage > 2 and index == 0 else 1
            shortcut = x
            if residual and stride == 2:
                shortcut = g.shortcut_a(f"res{block}_branch1", x, channels, stride)
            layers = [(channels, 3, stride), (channels, 3, 1)]
            x = residual_block(g, block, x, layers, shortcut if residual else None)
    x = g.global_avg_pool("pool5", x)  # N x 64 x 1 x 1
    x = g.flatten("flatten", x)  # N x 64
    g.output(g.linear("fc10", x, 10))  # N x 10
    return g


def conv_bn(
    g: Graph, conv: str, bn: str, x: str, out_channels: int, kernel_size: int, stride: int = 1
) -> str:
    """Add a convolution that keeps the image's size, or halves it, and its batch normalisation."""
    x = g.conv2d(conv, x, out_channels, kernel_size, stride, kernel_size // 2, bias=False)
    return g.batch_norm(bn, x)


def residual_block(
    g: Graph, block: str, x: str, layers: Sequence[tuple[int, int, int]], shortcut: str | None
) -> str:
    """Add a chain of (out_channels, kernel_size, stride), then the sum (not plain) and ReLU.

    The layers of block "2a" are `res2a_branch2a`, `bn2a_branch2a`, ... as MSRA calls them.
    """
    for i, (branch, layer) in enumerate(zip("abc", layers, strict=False)):
        if i > 0:
            x = g.relu(f"res{block}_branch2{'abc'[i - 1]}_relu", x)
        x = conv_bn(g, f"res{block}_branch2{branch}", f"bn{block}_branch2{branch}", x, *layer)
    if shortcut is not None:
        x = g.add(f"res{block}", shortcut, x)
    return g.relu(f"res{block}_relu", x)


def _block_name(stage: int, index: int, depth: int) -> str:
    """Return a, b, c, ...; in the long stages of ResNet-101 and 152 a, b1, b2, ..., as MSRA's."""
    if depth in (101, 152) and stage in (3, 4):
        return f"b{index}" if index else "a"
    return chr(ord("a") + index)


# Names of published weights -----------------------------------------------------------------------

_BLOCK_PARAMETER = re.compile(
    r"layer(?P<layer>[1-4])\.(?P<index>\d{1,2})\."
    r"(?:(?P<kind>conv|bn)(?P<number>[123])|downsample\.(?P<downsample>[01]))\.(?P<role>\w+)"
)
_OUTSIDE_BLOCKS = {"conv1": "conv1", "bn1": "bn_conv1", "fc": "fc1000", "linear": "fc10"}


def _rename(name: str, depth: int) -> str | None:
    """Turn torchvision's or akamaster's name of a parameter into ours.

    >>> _rename("layer1.0.conv1.weight", 50), _rename("layer3.22.bn3.running_var", 101)
    ('res2a_branch2a.weight', 'bn4b22_branch2c.running_var')
    """
    layer, _, role = name.rpartition(".")
    if role == "num_batches_tracked":
        return None
    if layer in _OUTSIDE_BLOCKS:
        return f"{_OUTSIDE_BLOCKS[layer]}.{role}"
    match = _BLOCK_PARAMETER.fullmatch(name)
    if match is None:
        return name
    stage = int(match["layer"]) + 1
    block = f"{stage}{_block_name(stage, int(match['index']), depth)}"
    if match["downsample"]:
        return f"{'bn' if match['downsample'] == '1' else 'res'}{block}_branch1.{match['role']}"
    prefix = {"conv": "res", "bn": "bn"}[match["kind"]]
    return f"{prefix}{block}_branch2{'abc'[int(match['number']) - 1]}.{match['role']}"


def _rename_msra(name: str) -> str:
    """Turn a name of the authors' Caffe models into ours: a batch norm's scale belongs to it.

    >>> _rename_msra("scale2a_branch2a.weight"), _rename_msra("scale_conv1.bias")
    ('bn2a_branch2a.weight', 'bn_conv1.bias')
    """
    return f"bn{name.removeprefix('scale')}" if name.startswith("scale") else name


# Variants -----------------------------------------------------------------------------------------

PUBLISHED = {
    18: published.torchvision("resnet18-f37072fd.pth", "resnet", 69.758, 89.078),
    34: published.torchvision("resnet34-b627a593.pth", "resnet", 73.314, 91.420),
    50: published.torchvision("resnet50-0676ba61.pth", "resnet", 76.130, 92.862),
    101: published.torchvision("resnet101-63fe2227.pth", "resnet", 77.374, 93.546),
    152: published.torchvision("resnet152-394f9c45.pth", "resnet", 78.312, 94.046),
}
PUBLISHED_V2 = {
    50: published.torchvision("resnet50-11ad3fa6.pth", "resnet", 80.858, 95.434),
    101: published.torchvision("resnet101-cd907fc2.pth", "resnet", 81.886, 95.780),
    152: published.torchvision("resnet152-f82ba261.pth", "resnet", 82.284, 96.002),
}
PUBLISHED_MSRA = {
    50: published.msra(50, 75.3, 92.2),
    101: published.msra(101, 76.4, 92.9),
    152: published.msra(152, 77.0, 93.3),
}
PUBLISHED_CIFAR = {
    20: published.akamaster("resnet20-12fca82f.th", 91.73),
    32: published.akamaster("resnet32-d509ac18.th", 92.63),
    44: published.akamaster("resnet44-014dd654.th", 93.10),
    56: published.akamaster("resnet56-4bfd9763.th", 93.39),
    110: published.akamaster("resnet110-1d1ed7c2.th", 93.68),
}


def _register_imagenet(
    name: str, source: str, title: str, preprocessing: Preprocessing, **more: Any
) -> None:
    register(
        Variant(
            *(name, source, title, PAPER, build_imagenet),
            preprocessing=preprocessing,
            labels="imagenet",
            **more,
        )
    )


def _register_cifar(name: str, source: str, title: str, **more: Any) -> None:
    register(
        Variant(
            *(name, source, f"{title}, CIFAR-10", PAPER, build_cifar),
            preprocessing=CIFAR10_AKAMASTER,
            labels="cifar10",
            **more,
        )
    )


for _depth in IMAGENET_BLOCKS:
    _register_imagenet(
        f"resnet{_depth}",
        "torchvision",
        f"ResNet-{_depth}",
        TORCHVISION,
        options={"depth": _depth},
        choices={"stride_on": ("3x3", "1x1")} if _depth in BOTTLENECK_DEPTHS else {},
        licence="BSD-3-Clause",
        published=PUBLISHED[_depth],
        rename=partial(_rename, depth=_depth),
    )
for _depth in BOTTLENECK_DEPTHS:
    _register_imagenet(
        f"resnet{_depth}",
        "torchvision_v2",
        f"ResNet-{_depth}, trained longer",
        TORCHVISION_V2,
        options={"depth": _depth},
        licence="BSD-3-Clause",
        published=PUBLISHED_V2[_depth],
        rename=partial(_rename, depth=_depth),
    )
    _register_imagenet(
        f"resnet{_depth}",
        "msra",
        f"ResNet-{_depth}, the authors'",
        VGG_CAFFE,
        options={"depth": _depth, "stride_on": "1x1", "caffe": True},
        published=PUBLISHED_MSRA[_depth],
        rename=_rename_msra,
    )
for _depth in (18, 34):
    _register_imagenet(
        f"plain{_depth}",
        "paper",
        f"Plain-{_depth}",
        TORCHVISION,
        options={"depth": _depth, "residual": False},
    )
for _depth in TRAINED_HERE:
    for _title, _residual in (("ResNet", True), ("Plain", False)):
        _name = f"{_title.lower()}{_depth}"
        _register_cifar(
            _name,
            "cifar10",
            f"{_title}-{_depth}",
            options={"depth": _depth, "residual": _residual},
            licence="Apache-2.0",
            shipped=f"{_name}.safetensors",
        )
for _depth in CIFAR_DEPTHS:
    _register_cifar(
        f"resnet{_depth}",
        "akamaster",
        f"ResNet-{_depth}",
        options={"depth": _depth},
        licence="BSD-2-Clause",
        published=PUBLISHED_CIFAR[_depth],
        rename=partial(_rename, depth=_depth),
    )
for _depth in CIFAR_DEPTHS:
    _register_cifar(
        f"plain{_depth}",
        "paper",
        f"Plain-{_depth}",
        options={"depth": _depth, "residual": False},
    )
