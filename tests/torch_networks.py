"""Every network of pycnn in plain torch, from the papers: the oracle of the network tests.

Nothing here imports pycnn, and pycnn imports nothing from here. The names of the layers are the
paper's or its Caffe model's, so a `state_dict` key is `<node>.weight`, `<node>.running_mean`, ...

    net = build("resnet50", stride_on="1x1")
    net(x)              # logits (N, 1000), no softmax
    net.forward_all(x)  # every node's result by name, the input "data" included
"""

from __future__ import annotations

import string
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch_layers import (
    Add,
    ChannelAffine,
    Concat,
    ConnectedConv2d,
    FlatLinear,
    GlobalAveragePool,
    Net,
    Rbf,
    ScaledTanh,
    ShortcutA,
    ceil_max_pool,
    lrn,
)

# LeNet-5


def _lenet5(activation: str = "tanh") -> Net:
    functions = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "relu": nn.ReLU}
    net = Net((1, 32, 32))

    def activate(name: str) -> None:
        net.layer(f"{name}/{activation}", functions[activation]())

    net.layer("c1", nn.Conv2d(1, 6, 5))  # N x 6 x 28 x 28
    net.layer("s2", nn.AvgPool2d(2))  # N x 6 x 14 x 14
    activate("s2")
    net.layer("c3", nn.Conv2d(6, 16, 5))  # N x 16 x 10 x 10
    net.layer("s4", nn.AvgPool2d(2))  # N x 16 x 5 x 5
    activate("s4")
    net.layer("flatten", nn.Flatten())
    net.layer("c5", nn.Linear(400, 120))
    activate("c5")
    net.layer("f6", nn.Linear(120, 84))
    activate("f6")
    net.layer("output", nn.Linear(84, 10))
    return net


def _lenet5_1998() -> Net:
    """The paper's own: all units up to F6 go through the sigmoid (section II.B), c1 and c3 too.

    A subsampling unit adds its four inputs, multiplies by a coefficient and adds a bias: here an
    average pool and a channel affine, whose weight is 4 times the paper's coefficient.
    """
    net = Net((1, 32, 32))

    def squash(name: str) -> None:
        net.layer(f"{name}/tanh", ScaledTanh())

    def subsample(name: str, channels: int) -> None:
        net.layer(name, nn.AvgPool2d(2))
        net.layer(f"{name}/affine", ChannelAffine(channels))
        squash(name)

    net.layer("c1", nn.Conv2d(1, 6, 5))
    squash("c1")
    subsample("s2", 6)
    net.layer("c3", ConnectedConv2d())
    squash("c3")
    subsample("s4", 16)
    net.layer("flatten", nn.Flatten())
    net.layer("c5", nn.Linear(400, 120))
    squash("c5")
    net.layer("f6", nn.Linear(120, 84))
    squash("f6")
    net.layer("output", Rbf(84, 10))
    return net


# AlexNet and VGG


def _classifier(net: Net, in_features: int) -> None:
    net.layer("flatten", nn.Flatten())
    for i, features in ((6, in_features), (7, 4096)):
        net.layer(f"fc{i}", nn.Linear(features, 4096))
        net.layer(f"relu{i}", nn.ReLU())
        net.layer(f"drop{i}", nn.Dropout(0.5))
    net.layer("fc8", nn.Linear(4096, 1000))


def _alexnet() -> Net:
    """Krizhevsky 2012, section 3: two halves in conv2, 4, 5; LRN before the overlapping pools."""
    net = Net((3, 227, 227))
    table = {  # in, out, kernel, stride, padding, groups
        1: (3, 96, 11, 4, 0, 1),
        2: (96, 256, 5, 1, 2, 2),
        3: (256, 384, 3, 1, 1, 1),
        4: (384, 384, 3, 1, 1, 2),
        5: (384, 256, 3, 1, 1, 2),
    }
    for i, (c, k, kernel_size, stride, padding, groups) in table.items():
        net.layer(f"conv{i}", nn.Conv2d(c, k, kernel_size, stride, padding, groups=groups))
        net.layer(f"relu{i}", nn.ReLU())
        if i in (1, 2):
            net.layer(f"norm{i}", lrn())
        if i in (1, 2, 5):
            net.layer(f"pool{i}", nn.MaxPool2d(3, 2))  # 55 -> 27, 27 -> 13, 13 -> 6
    _classifier(net, 256 * 6 * 6)
    return net


def _alexnet_owt() -> Net:
    """torchvision's `alexnet`: its numbers, under the names of `_alexnet`."""
    net = Net((3, 224, 224))
    table = {  # in, out, kernel, stride, padding
        1: (3, 64, 11, 4, 2),
        2: (64, 192, 5, 1, 2),
        3: (192, 384, 3, 1, 1),
        4: (384, 256, 3, 1, 1),
        5: (256, 256, 3, 1, 1),
    }
    for i, geometry in table.items():
        net.layer(f"conv{i}", nn.Conv2d(*geometry))
        net.layer(f"relu{i}", nn.ReLU())
        if i in (1, 2, 5):
            net.layer(f"pool{i}", nn.MaxPool2d(3, 2))  # 55 -> 27 -> 13 -> 6
    net.layer("flatten", nn.Flatten())
    for i, features in ((6, 256 * 6 * 6), (7, 4096)):
        net.layer(f"drop{i}", nn.Dropout(0.5))
        net.layer(f"fc{i}", nn.Linear(features, 4096))
        net.layer(f"relu{i}", nn.ReLU())
    net.layer("fc8", nn.Linear(4096, 1000))
    return net


VGG_CONVS = {  # Simonyan 2014, table 1 (A, B, D, E): 3x3 convolutions in each of the five stages
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}


def _vgg(depth: int, batch_norm: bool = False) -> Net:
    net = Net((3, 224, 224))
    c = 3
    widths = (64, 128, 256, 512, 512)
    for stage, (convs, k) in enumerate(zip(VGG_CONVS[depth], widths, strict=True), start=1):
        for i in range(1, convs + 1):
            net.layer(f"conv{stage}_{i}", nn.Conv2d(c, k, 3, padding=1))
            if batch_norm:
                net.layer(f"bn{stage}_{i}", nn.BatchNorm2d(k, eps=1e-5))
            net.layer(f"relu{stage}_{i}", nn.ReLU())
            c = k
        net.layer(f"pool{stage}", nn.MaxPool2d(2))
    _classifier(net, 512 * 7 * 7)
    return net


# ResNet and its plain counterparts (He 2015)

RESNET_BLOCKS = {  # table 1
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
CIFAR_DEPTHS = (20, 32, 44, 56, 110)  # 6n + 2


def block_names(depth: int, stage: int, blocks: int) -> list[str]:
    """2a, 2b, 2c; in stages 3 and 4 of ResNet-101 and 152 MSRA wrote 3a, 3b1, 3b2, ..."""
    if depth in (101, 152) and stage in (3, 4):
        return [f"{stage}a"] + [f"{stage}b{i}" for i in range(1, blocks)]
    return [f"{stage}{letter}" for letter in string.ascii_lowercase[:blocks]]


def _conv_bn(
    net: Net, suffix: str, c: int, k: int, size: int, stride: int, relu: bool, *inputs: str
) -> None:
    """res<suffix>, bn<suffix> and, if asked for, res<suffix>_relu."""
    conv = nn.Conv2d(c, k, size, stride, padding=size // 2, bias=False)
    net.layer(f"res{suffix}", conv, *inputs)
    net.layer(f"bn{suffix}", nn.BatchNorm2d(k, eps=1e-5))
    if relu:
        net.layer(f"res{suffix}_relu", nn.ReLU())


def _block(
    net: Net, name: str, c: int, k: int, stride: int, kind: str, stride_on: str, residual: bool
) -> int:
    """One block of width k ("basic", "bottleneck", "cifar"); give its output channels."""
    x = net.last
    out_channels = 4 * k if kind == "bottleneck" else k
    if kind == "bottleneck":
        first, second = (stride, 1) if stride_on == "1x1" else (1, stride)
        _conv_bn(net, f"{name}_branch2a", c, k, 1, first, True)
        _conv_bn(net, f"{name}_branch2b", k, k, 3, second, True)
        _conv_bn(net, f"{name}_branch2c", k, out_channels, 1, 1, False)
    else:
        _conv_bn(net, f"{name}_branch2a", c, k, 3, stride, True)
        _conv_bn(net, f"{name}_branch2b", k, k, 3, 1, False)
    if residual:
        branch = net.last
        shortcut = x
        if stride != 1 or c != out_channels:
            if kind == "cifar":
                net.layer(f"res{name}_branch1", ShortcutA(c, out_channels, stride), x)
            else:
                _conv_bn(net, f"{name}_branch1", c, out_channels, 1, stride, False, x)
            shortcut = net.last
        net.layer(f"res{name}", Add(), shortcut, branch)
    net.layer(f"res{name}_relu", nn.ReLU())
    return out_channels


def _resnet(
    depth: int,
    residual: bool,
    stride_on: str = "3x3",
    pool1: str = "padded",
    conv1_bias: bool = False,
) -> Net:
    """`stride_on`: where the bottlenecks of stages 3 to 5 stride ("1x1": the paper's and MSRA's).

    `pool1`: "padded" (torchvision's: 1 on each side, rounded down) or "ceil" (MSRA's Caffe files:
    unpadded, rounded up). Both give 56 x 56, of other windows. `conv1_bias`: MSRA's ResNet-50.
    """
    net = Net((3, 224, 224))
    conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=conv1_bias)
    net.layer("conv1", conv1)  # N x 64 x 112 x 112
    net.layer("bn_conv1", nn.BatchNorm2d(64, eps=1e-5))
    net.layer("conv1_relu", nn.ReLU())
    pools = {"padded": nn.MaxPool2d(3, 2, padding=1), "ceil": ceil_max_pool(3, 2)}
    net.layer("pool1", pools[pool1])  # N x 64 x 56 x 56
    c, kind = 64, "basic" if depth < 50 else "bottleneck"
    for stage, blocks in enumerate(RESNET_BLOCKS[depth], start=2):
        for i, name in enumerate(block_names(depth, stage, blocks)):
            stride = 2 if i == 0 and stage > 2 else 1
            c = _block(net, name, c, 64 << (stage - 2), stride, kind, stride_on, residual)
    net.layer("pool5", GlobalAveragePool())
    net.layer("flatten", nn.Flatten())
    net.layer("fc1000", nn.Linear(c, 1000))
    return net


def _resnet_cifar(depth: int, residual: bool) -> Net:
    """Section 4.2: 6n + 2 layers, stages of 16, 32 and 64 channels, option A."""
    net = Net((3, 32, 32))
    net.layer("conv1", nn.Conv2d(3, 16, 3, padding=1, bias=False))
    net.layer("bn_conv1", nn.BatchNorm2d(16, eps=1e-5))
    net.layer("conv1_relu", nn.ReLU())
    c, blocks = 16, (depth - 2) // 6
    for stage, k in ((2, 16), (3, 32), (4, 64)):
        for i, name in enumerate(block_names(depth, stage, blocks)):
            stride = 2 if i == 0 and stage > 2 else 1
            c = _block(net, name, c, k, stride, "cifar", "3x3", residual)
    net.layer("pool5", GlobalAveragePool())
    net.layer("flatten", nn.Flatten())
    net.layer("fc10", nn.Linear(64, 10))
    return net


# Network in Network (Lin 2013)


def _nin() -> Net:
    """The Caffe model zoo's nin_imagenet, odd names included: pool0, no relu4, no pool1."""
    net = Net((3, 224, 224))
    table = (  # name, out, kernel, stride, padding, relu, pool after it
        ("conv1", 96, 11, 4, 0, "relu0", None),  # 54 x 54
        ("cccp1", 96, 1, 1, 0, "relu1", None),
        ("cccp2", 96, 1, 1, 0, "relu2", "pool0"),  # 27 x 27
        ("conv2", 256, 5, 1, 2, "relu3", None),
        ("cccp3", 256, 1, 1, 0, "relu5", None),
        ("cccp4", 256, 1, 1, 0, "relu6", "pool2"),  # 13 x 13
        ("conv3", 384, 3, 1, 1, "relu7", None),
        ("cccp5", 384, 1, 1, 0, "relu8", None),
        ("cccp6", 384, 1, 1, 0, "relu9", "pool3"),  # 6 x 6
        ("conv4-1024", 1024, 3, 1, 1, "relu10", None),
        ("cccp7-1024", 1024, 1, 1, 0, "relu11", None),
        ("cccp8-1024", 1000, 1, 1, 0, "relu12", None),
    )
    c = 3
    for name, k, kernel_size, stride, padding, relu, pool in table:
        net.layer(name, nn.Conv2d(c, k, kernel_size, stride, padding))
        net.layer(relu, nn.ReLU())
        if pool:
            net.layer(pool, ceil_max_pool(3, 2))
        if pool == "pool3":
            net.layer("drop", nn.Dropout(0.5))
        c = k
    net.layer("pool4", nn.AvgPool2d(6, 1))
    net.layer("flatten", nn.Flatten())
    return net


def _nin_cifar10() -> Net:
    net = Net((3, 32, 32))
    table = (  # three stages of conv, cccp, cccp: out, kernel, padding
        (192, 5, 2, 160, 96),
        (192, 5, 2, 192, 192),
        (192, 3, 1, 192, 10),
    )
    tails = (
        (("pool1", ceil_max_pool(3, 2)), ("drop3", nn.Dropout(0.5))),  # 16 x 16
        (("pool2", nn.AvgPool2d(3, 2, ceil_mode=True)), ("drop6", nn.Dropout(0.5))),  # 8 x 8
        (("pool3", nn.AvgPool2d(8, 1)), ("flatten", nn.Flatten())),
    )
    c = 3
    for stage, (row, tail) in enumerate(zip(table, tails, strict=True), start=1):
        k, kernel_size, padding, *mlp = row
        net.layer(f"conv{stage}", nn.Conv2d(c, k, kernel_size, padding=padding))
        net.layer(f"relu{stage}", nn.ReLU())
        c = k
        for i, k in enumerate(mlp, start=2 * stage - 1):
            net.layer(f"cccp{i}", nn.Conv2d(c, k, 1))
            net.layer(f"relu_cccp{i}", nn.ReLU())
            c = k
        for name, module in tail:
            net.layer(name, module)
    return net


# Inception v1 (Szegedy 2014)

INCEPTION = {  # table 1: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection
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


def _conv_relu(net: Net, scope: str, name: str, conv: nn.Conv2d, *inputs: str) -> str:
    net.layer(f"{scope}/{name}", conv, *inputs)
    return net.layer(f"{scope}/relu_{name.removesuffix('_s2')}", nn.ReLU())


def _inception(net: Net, name: str, c: int) -> int:
    scope, x = f"inception_{name}", net.last
    one, three_reduce, three, five_reduce, five, projection = INCEPTION[name]
    branches = [_conv_relu(net, scope, "1x1", nn.Conv2d(c, one, 1), x)]
    _conv_relu(net, scope, "3x3_reduce", nn.Conv2d(c, three_reduce, 1), x)
    branches += [_conv_relu(net, scope, "3x3", nn.Conv2d(three_reduce, three, 3, padding=1))]
    _conv_relu(net, scope, "5x5_reduce", nn.Conv2d(c, five_reduce, 1), x)
    branches += [_conv_relu(net, scope, "5x5", nn.Conv2d(five_reduce, five, 5, padding=2))]
    net.layer(f"{scope}/pool", ceil_max_pool(3, 1, padding=1), x)
    branches += [_conv_relu(net, scope, "pool_proj", nn.Conv2d(c, projection, 1))]
    net.layer(f"{scope}/output", Concat(), *branches)
    return one + three + five + projection


def _aux_head(net: Net, scope: str, x: str, c: int) -> str:
    net.layer(f"{scope}/ave_pool", nn.AvgPool2d(5, 3, ceil_mode=True), x)  # 14 -> 4
    net.layer(f"{scope}/conv", nn.Conv2d(c, 128, 1))
    net.layer(f"{scope}/relu_conv", nn.ReLU())
    net.layer(f"{scope}/fc", FlatLinear(128 * 4 * 4, 1024))
    net.layer(f"{scope}/relu_fc", nn.ReLU())
    net.layer(f"{scope}/drop_fc", nn.Dropout(0.7))
    return net.layer(f"{scope}/classifier", nn.Linear(1024, 1000))


def _inception_v1(aux: bool = False) -> Net:
    """BVLC's GoogLeNet. `aux`: a dict of outputs "main", "aux1" (4a) and "aux2" (4d)."""
    net = Net((3, 224, 224))
    _conv_relu(net, "conv1", "7x7_s2", nn.Conv2d(3, 64, 7, 2, padding=3))  # 112 x 112
    net.layer("pool1/3x3_s2", ceil_max_pool(3, 2))  # 56 x 56
    net.layer("pool1/norm1", lrn())
    _conv_relu(net, "conv2", "3x3_reduce", nn.Conv2d(64, 64, 1))
    _conv_relu(net, "conv2", "3x3", nn.Conv2d(64, 192, 3, padding=1))
    net.layer("conv2/norm2", lrn())
    net.layer("pool2/3x3_s2", ceil_max_pool(3, 2))  # 28 x 28
    c = 192
    for name in INCEPTION:
        c = _inception(net, name, c)
        if aux and name in ("4a", "4d"):
            x, head = net.last, 1 if name == "4a" else 2
            net.extra_outputs[f"aux{head}"] = _aux_head(net, f"loss{head}", x, c)
            net.last = x
        if name in ("3b", "4e"):
            net.layer(f"pool{name[0]}/3x3_s2", ceil_max_pool(3, 2))  # 14 x 14, 7 x 7
    net.layer("pool5/7x7_s1", nn.AvgPool2d(7, 1))
    net.layer("pool5/drop_7x7_s1", nn.Dropout(0.4))
    net.layer("loss3/classifier", FlatLinear(1024, 1000))
    return net


def _conv_bn_relu(net: Net, name: str, conv: nn.Conv2d, *inputs: str) -> str:
    scope, _, layer = name.removesuffix("_s2").rpartition("/")
    net.layer(name, conv, *inputs)
    net.layer(f"{scope}/bn_{layer}", nn.BatchNorm2d(conv.out_channels, eps=1e-3))
    return net.layer(f"{scope}/relu_{layer}", nn.ReLU())


def _inception_v1_bn() -> Net:
    """torchvision's `googlenet`: its numbers, under the names of `_inception_v1`."""
    net = Net((3, 224, 224))

    def conv(c: int, k: int, size: int, stride: int = 1) -> nn.Conv2d:
        return nn.Conv2d(c, k, size, stride, padding=size // 2, bias=False)

    _conv_bn_relu(net, "conv1/7x7_s2", conv(3, 64, 7, 2))
    net.layer("pool1/3x3_s2", ceil_max_pool(3, 2))
    _conv_bn_relu(net, "conv2/3x3_reduce", conv(64, 64, 1))
    _conv_bn_relu(net, "conv2/3x3", conv(64, 192, 3))
    net.layer("pool2/3x3_s2", ceil_max_pool(3, 2))
    c = 192
    for name, (one, three_reduce, three, five_reduce, five, projection) in INCEPTION.items():
        scope, x = f"inception_{name}", net.last
        branches = [_conv_bn_relu(net, f"{scope}/1x1", conv(c, one, 1), x)]
        _conv_bn_relu(net, f"{scope}/3x3_reduce", conv(c, three_reduce, 1), x)
        branches += [_conv_bn_relu(net, f"{scope}/3x3", conv(three_reduce, three, 3))]
        _conv_bn_relu(net, f"{scope}/5x5_reduce", conv(c, five_reduce, 1), x)
        branches += [_conv_bn_relu(net, f"{scope}/5x5", conv(five_reduce, five, 3))]
        net.layer(f"{scope}/pool", ceil_max_pool(3, 1, padding=1), x)
        branches += [_conv_bn_relu(net, f"{scope}/pool_proj", conv(c, projection, 1))]
        net.layer(f"{scope}/output", Concat(), *branches)
        c = one + three + five + projection
        if name == "3b":
            net.layer("pool3/3x3_s2", ceil_max_pool(3, 2))
        if name == "4e":
            net.layer("pool4/2x2_s2", ceil_max_pool(2, 2))
    net.layer("pool5", GlobalAveragePool())
    net.layer("pool5/drop", nn.Dropout(0.2))
    net.layer("loss3/classifier", FlatLinear(1024, 1000))
    return net


_MSRA = {"stride_on": "1x1", "pool1": "ceil"}
_BUILDERS: dict[str, Callable[..., Net]] = {
    "lenet5@mnist": _lenet5,
    "lenet5_1998@paper": _lenet5_1998,
    "alexnet@bvlc": _alexnet,
    "alexnet@torchvision": _alexnet_owt,
    **{f"vgg{depth}@vgg": partial(_vgg, depth) for depth in (16, 19)},
    **{f"vgg{depth}@torchvision": partial(_vgg, depth) for depth in VGG_CONVS},
    **{f"vgg{depth}_bn@torchvision": partial(_vgg, depth, True) for depth in VGG_CONVS},
    **{f"resnet{depth}@torchvision": partial(_resnet, depth, True) for depth in RESNET_BLOCKS},
    **{f"resnet{depth}@torchvision_v2": partial(_resnet, depth, True) for depth in (50, 101, 152)},
    "resnet50@msra": partial(_resnet, 50, True, conv1_bias=True, **_MSRA),
    **{f"resnet{depth}@msra": partial(_resnet, depth, True, **_MSRA) for depth in (101, 152)},
    **{f"plain{depth}@paper": partial(_resnet, depth, False) for depth in (18, 34)},
    "resnet20@cifar10": partial(_resnet_cifar, 20, True),
    "plain20@cifar10": partial(_resnet_cifar, 20, False),
    **{f"resnet{depth}@akamaster": partial(_resnet_cifar, depth, True) for depth in CIFAR_DEPTHS},
    **{f"plain{depth}@paper": partial(_resnet_cifar, depth, False) for depth in CIFAR_DEPTHS},
    "nin@caffe": _nin,
    "nin_cifar10@caffe": _nin_cifar10,
    "inception_v1@bvlc": _inception_v1,
    "inception_v1@torchvision": _inception_v1_bn,
}
NETWORKS: list[str] = list(_BUILDERS)


def build(name: str, **options: Any) -> Net:
    """The network in eval mode, with torch's own initial weights (see `tests/alive.py`).

    `name` is a variant, or a network, of which the first variant is meant.
    """
    if name not in _BUILDERS:
        name = next(variant for variant in _BUILDERS if variant.startswith(f"{name}@"))
    return _BUILDERS[name](**options).eval()


# Helpers


def weights(net: nn.Module) -> dict[str, npt.NDArray[np.float32]]:
    """The parameters and statistics as NumPy arrays: a `state_dict` without batch counters."""
    state = net.state_dict()
    return {k: v.numpy() for k, v in state.items() if not k.endswith("num_batches_tracked")}


def parameter_count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def count_macs(net: Net) -> int:
    """Multiply-adds of the convolutions and linear layers for one image, without bias and others.

    One per output element and weight that it meets.
    """
    total = 0

    def count(module: nn.Module, _: Any, y: Tensor) -> None:
        nonlocal total
        outputs_per_weight = y[0, 0].numel()  # P Q, or 1 after a linear layer
        total += module.weight.numel() * outputs_per_weight

    counted = (nn.Conv2d, nn.Linear, ConnectedConv2d)
    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(m, counted)]
    with torch.no_grad():
        net(torch.zeros(1, *net.input_shape))
    for hook in hooks:
        hook.remove()
    return total


def akamaster_to_pycnn(name: str) -> str:
    """pycnn's name of a parameter of akamaster/pytorch_resnet_cifar10.

    module.layer2.0.bn1.bias -> bn3a_branch2a.bias; module.linear.weight -> fc10.weight.
    """
    path, _, leaf = name.removeprefix("module.").rpartition(".")
    fixed = {"conv1": "conv1", "bn1": "bn_conv1", "linear": "fc10"}
    if path in fixed:
        return f"{fixed[path]}.{leaf}"
    layer, block, module = path.split(".")
    stage = int(layer.removeprefix("layer")) + 1
    kind = {"conv": "res", "bn": "bn"}[module[:-1]]
    branch = {"1": "branch2a", "2": "branch2b"}[module[-1]]
    return f"{kind}{stage}{string.ascii_lowercase[int(block)]}_{branch}.{leaf}"
