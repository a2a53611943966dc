"""Inception v1, GoogLeNet: Szegedy et al., "Going Deeper with Convolutions", 2014.

``inception_v1@bvlc`` is the bvlc_googlenet of Caffe's model zoo, with its layer names: the
paper's network (table 1) with true 5x5 convolutions and local response normalisation (k = 1,
alpha divided by the size). 6,998,552 parameters, 13,378,280 with both auxiliary heads. Pools
round up, as Caffe's: that is how 112 becomes 56.

Deviations from the paper, BVLC's, are in the training only: no photometric distortions, no crops
of other scales and aspects, other initial values.

The auxiliary heads, of which only train_val.prototxt speaks, are always in the graph, so that
their parameters are known; they are outputs, `aux1` and `aux2`, only where asked for.
`loss1/flatten` and `loss2/flatten` are ours: Caffe's inner product flattens by itself.

``inception_v1@torchvision`` is torchvision's `googlenet`, ported from TensorFlow, 6,624,904
parameters, another network: batch normalisation (eps 1e-3) and no biases in place of LRN; 3x3
convolutions where the paper has 5x5 (torchvision calls it a known bug; the layers keep the paper's
name, `inception_3a/5x5`); `pool4` 2x2; an average over the whole map, so that images of any size
fit. Its input is -1..1, see `TORCHVISION_GOOGLENET`. Its auxiliary heads were never trained: the
file has them, this network does not.
"""

from __future__ import annotations

from pycnn.graph import Graph
from pycnn.models import published
from pycnn.models.registry import register
from pycnn.models.renaming import by_layer
from pycnn.models.variant import Variant
from pycnn.vision.presets import IMAGENET_BVLC_GOOGLENET, TORCHVISION_GOOGLENET

__all__ = ["build_inception_v1", "build_inception_v1_bn"]

PAPER = "Szegedy et al.: Going Deeper with Convolutions, 2014"

# Table 1 of the paper: module -> 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool proj.
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def build_inception_v1(aux: bool = False) -> Graph:
    """BVLC's GoogLeNet.

    Parameters
    ----------
    aux : bool
        Whether the auxiliary heads are outputs.

    Returns
    -------
    Graph
    """
    g = Graph("inception_v1")

    def pool(i: int, x: str) -> str:
        return g.max_pool2d(f"pool{i}/3x3_s2", x, 3, stride=2, ceil_mode=True)

    x = g.input("data", (3, 224, 224))
    x = g.conv2d("conv1/7x7_s2", x, 64, 7, stride=2, padding=3)  # N x 64 x 112 x 112
    x = pool(1, g.relu("conv1/relu_7x7", x))  # N x 64 x 56 x 56
    x = g.lrn("pool1/norm1", x, size=5, alpha=1e-4, beta=0.75, k=1.0)
    x = g.relu("conv2/relu_3x3_reduce", g.conv2d("conv2/3x3_reduce", x, 64, 1))
    x = g.relu("conv2/relu_3x3", g.conv2d("conv2/3x3", x, 192, 3, padding=1))  # N x 192 x 56 x 56
    x = g.lrn("conv2/norm2", x, size=5, alpha=1e-4, beta=0.75, k=1.0)
    x = pool(2, x)  # N x 192 x 28 x 28
    x = _module(g, "3a", x)  # N x 256 x 28 x 28
    x = _module(g, "3b", x)  # N x 480 x 28 x 28
    x = pool(3, x)  # N x 480 x 14 x 14
    x = _module(g, "4a", x)  # N x 512 x 14 x 14
    aux1 = _auxiliary_head(g, "loss1", x)
    x = _module(g, "4b", x)  # N x 512 x 14 x 14
    x = _module(g, "4c", x)  # N x 512 x 14 x 14
    x = _module(g, "4d", x)  # N x 528 x 14 x 14
    aux2 = _auxiliary_head(g, "loss2", x)
    x = _module(g, "4e", x)  # N x 832 x 14 x 14
    x = pool(4, x)  # N x 832 x 7 x 7
    x = _module(g, "5a", x)  # N x 832 x 7 x 7
    x = _module(g, "5b", x)  # N x 1024 x 7 x 7
    x = g.avg_pool2d("pool5/7x7_s1", x, 7, stride=1, ceil_mode=True)  # N x 1024 x 1 x 1
    x = g.dropout("pool5/drop_7x7_s1", x, p=0.4)
    g.output(g.linear("loss3/classifier", x, 1000))  # N x 1000
    if aux:
        g.output(aux1, "aux1")
        g.output(aux2, "aux2")
    return g


def _module(g: Graph, module: str, x: str) -> str:
    """Four branches over one input, side by side in the channels."""
    prefix = f"inception_{module}/"
    k_1x1, k_3x3_reduce, k_3x3, k_5x5_reduce, k_5x5, k_pool_proj = MODULES[module]

    def conv(layer: str, x: str, out_channels: int, kernel_size: int) -> str:
        y = g.conv2d(prefix + layer, x, out_channels, kernel_size, padding=kernel_size // 2)
        return g.relu(f"{prefix}relu_{layer}", y)

    branches = [
        conv("1x1", x, k_1x1, 1),
        conv("3x3", conv("3x3_reduce", x, k_3x3_reduce, 1), k_3x3, 3),
        conv("5x5", conv("5x5_reduce", x, k_5x5_reduce, 1), k_5x5, 5),
        conv("pool_proj", g.max_pool2d(prefix + "pool", x, 3, 1, padding=1), k_pool_proj, 1),
    ]
    return g.concat(prefix + "output", branches)


def _auxiliary_head(g: Graph, loss: str, x: str) -> str:
    x = g.avg_pool2d(f"{loss}/ave_pool", x, 5, stride=3, ceil_mode=True)  # N x C x 4 x 4
    x = g.relu(f"{loss}/relu_conv", g.conv2d(f"{loss}/conv", x, 128, 1))  # N x 128 x 4 x 4
    x = g.flatten(f"{loss}/flatten", x)  # N x 2048
    x = g.relu(f"{loss}/relu_fc", g.linear(f"{loss}/fc", x, 1024))  # N x 1024
    x = g.dropout(f"{loss}/drop_fc", x, p=0.7)
    return g.linear(f"{loss}/classifier", x, 1000)  # N x 1000


def build_inception_v1_bn() -> Graph:
    """GoogLeNet as torchvision has it.

    Returns
    -------
    Graph
    """
    g = Graph("inception_v1")

    def conv(layer: str, x: str, out_channels: int, kernel_size: int, stride: int = 1) -> str:
        y = g.conv2d(layer, x, out_channels, kernel_size, stride, kernel_size // 2, bias=False)
        return g.relu(_after(layer, "relu"), g.batch_norm(_after(layer, "bn"), y, eps=1e-3))

    def pool(i: int, x: str, kernel_size: int = 3) -> str:
        name = f"pool{i}/{kernel_size}x{kernel_size}_s2"
        return g.max_pool2d(name, x, kernel_size, stride=2, ceil_mode=True)

    def module(name: str, x: str) -> str:
        k_1x1, k_3x3_reduce, k_3x3, k_5x5_reduce, k_5x5, k_pool_proj = MODULES[name]
        prefix = f"inception_{name}/"
        pooled = g.max_pool2d(prefix + "pool", x, 3, 1, padding=1, ceil_mode=True)
        branches = [
            conv(prefix + "1x1", x, k_1x1, 1),
            conv(prefix + "3x3", conv(prefix + "3x3_reduce", x, k_3x3_reduce, 1), k_3x3, 3),
            conv(prefix + "5x5", conv(prefix + "5x5_reduce", x, k_5x5_reduce, 1), k_5x5, 3),
            conv(prefix + "pool_proj", pooled, k_pool_proj, 1),
        ]
        return g.concat(prefix + "output", branches)

    x = g.input("data", (3, 224, 224))
    x = conv("conv1/7x7_s2", x, 64, 7, stride=2)  # N x 64 x 112 x 112
    x = pool(1, x)  # N x 64 x 56 x 56
    x = conv("conv2/3x3", conv("conv2/3x3_reduce", x, 64, 1), 192, 3)  # N x 192 x 56 x 56
    x = pool(2, x)  # N x 192 x 28 x 28
    x = module("3b", module("3a", x))  # N x 480 x 28 x 28
    x = pool(3, x)  # N x 480 x 14 x 14
    for name in ("4a", "4b", "4c", "4d", "4e"):
        x = module(name, x)  # at last N x 832 x 14 x 14
    x = pool(4, x, 2)  # N x 832 x 7 x 7
    x = module("5b", module("5a", x))  # N x 1024 x 7 x 7
    x = g.global_avg_pool("pool5", x)  # N x 1024 x 1 x 1
    x = g.dropout("pool5/drop", x, p=0.2)
    g.output(g.linear("loss3/classifier", x, 1000))  # N x 1000
    return g


def _after(conv: str, kind: str) -> str:
    """Name of the batch norm or ReLU after a convolution, as BVLC names ReLUs."""
    scope, _, name = conv.rpartition("/")
    return f"{scope}/{kind}_{name.removesuffix('_s2')}"


def _torchvision_layers() -> dict[str, str]:
    convs = {"conv1": "conv1/7x7_s2", "conv2": "conv2/3x3_reduce", "conv3": "conv2/3x3"}
    branches = {
        "branch1": "1x1",
        "branch2.0": "3x3_reduce",
        "branch2.1": "3x3",
        "branch3.0": "5x5_reduce",
        "branch3.1": "5x5",
        "branch4.1": "pool_proj",
    }
    for module in MODULES:
        convs |= {f"inception{module}.{b}": f"inception_{module}/{n}" for b, n in branches.items()}
    layers = {"fc": "loss3/classifier"}
    for theirs, ours in convs.items():
        layers |= {f"{theirs}.conv": ours, f"{theirs}.bn": _after(ours, "bn")}
    return layers


_by_layer = by_layer(_torchvision_layers())


def _rename_torchvision(name: str) -> str | None:
    return None if name.startswith(("aux1.", "aux2.")) else _by_layer(name)


register(
    Variant(
        name="inception_v1",
        source="bvlc",
        title="Inception v1 (GoogLeNet)",
        paper=PAPER,
        build=build_inception_v1,
        choices={"aux": (False, True)},
        preprocessing=IMAGENET_BVLC_GOOGLENET,
        labels="imagenet",
        licence="unrestricted",
        published=published.bvlc(
            "bvlc_googlenet", "405fc5acd08a3bb12de8ee5e23a96bec22f08204", 68.7, 88.9
        ),
    )
)
register(
    Variant(
        name="inception_v1",
        source="torchvision",
        title="Inception v1 (GoogLeNet) with batch norm",
        paper=PAPER,
        build=build_inception_v1_bn,
        preprocessing=TORCHVISION_GOOGLENET,
        labels="imagenet",
        licence="BSD-3-Clause",
        published=published.torchvision("googlenet-1378be20.pth", "googlenet", 69.778, 89.530),
        rename=_rename_torchvision,
    )
)
