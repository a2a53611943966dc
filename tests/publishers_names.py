"""Names and shapes of the parameters in torchvision's files: its modules' structure in torch.

Only what gives the names is here: `features` and `classifier` are rows that ReLUs and pools take
part in, and so on. Built on torch's meta device, which keeps no numbers.
"""

from __future__ import annotations

import torch
from torch import nn

VGG = {
    "vgg11": "64 M 128 M 256 256 M 512 512 M 512 512 M",
    "vgg13": "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M",
    "vgg16": "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
    "vgg19": "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
}
RESNET = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
}


def torchvision(name: str) -> dict[str, tuple[int, ...]]:
    """Name -> shape of a file's tensors, batch counters included."""
    with torch.device("meta"):
        if name == "alexnet":
            module = _alexnet()
        elif name == "inception_v1":
            module = _googlenet()
        elif name in RESNET:
            module = _resnet(name)
        else:
            module = _vgg(VGG[name.removesuffix("_bn")], name.endswith("_bn"))
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


def _module(**children: nn.Module) -> nn.Module:
    module = nn.Module()
    for name, child in children.items():
        module.add_module(name, child)
    return module


def _alexnet() -> nn.Module:
    other = nn.Identity()
    features = nn.Sequential(
        *(nn.Conv2d(3, 64, 11), other, other, nn.Conv2d(64, 192, 5), other, other),
        *(nn.Conv2d(192, 384, 3), other, nn.Conv2d(384, 256, 3), other),
        *(nn.Conv2d(256, 256, 3), other, other),
    )
    classifier = nn.Sequential(
        *(other, nn.Linear(9216, 4096), other, other, nn.Linear(4096, 4096), other),
        nn.Linear(4096, 1000),
    )
    return _module(features=features, classifier=classifier)


def _vgg(row: str, batch_norm: bool) -> nn.Module:
    layers: list[nn.Module] = []
    c = 3
    for item in row.split():
        if item == "M":
            layers.append(nn.MaxPool2d(2))
            continue
        k = int(item)
        layers.append(nn.Conv2d(c, k, 3))
        if batch_norm:
            layers.append(nn.BatchNorm2d(k))
        layers.append(nn.ReLU())
        c = k
    classifier = nn.Sequential(
        *(nn.Linear(25088, 4096), nn.ReLU(), nn.Dropout()),
        *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 1000)),
    )
    return _module(features=nn.Sequential(*layers), classifier=classifier)


def _resnet(name: str) -> nn.Module:
    bottleneck = name not in ("resnet18", "resnet34")

    def conv(c: int, k: int, size: int) -> nn.Module:
        return nn.Conv2d(c, k, size, bias=False)

    stages = {}
    c = 64
    for stage, blocks in enumerate(RESNET[name], 1):
        width = 64 << (stage - 1)
        out = 4 * width if bottleneck else width
        row = []
        for index in range(blocks):
            block = {
                **{"conv1": conv(c, width, 1 if bottleneck else 3), "bn1": nn.BatchNorm2d(width)},
                **{"conv2": conv(width, width, 3), "bn2": nn.BatchNorm2d(width)},
            }
            if bottleneck:
                block |= {"conv3": conv(width, out, 1), "bn3": nn.BatchNorm2d(out)}
            if index == 0 and (stage > 1 or bottleneck):
                block["downsample"] = nn.Sequential(conv(c, out, 1), nn.BatchNorm2d(out))
            row.append(_module(**block))
            c = out
        stages[f"layer{stage}"] = nn.Sequential(*row)
    return _module(conv1=conv(3, 64, 7), bn1=nn.BatchNorm2d(64), **stages, fc=nn.Linear(c, 1000))


INCEPTION = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}


def _googlenet() -> nn.Module:
    def conv(c: int, k: int, size: int) -> nn.Module:
        return _module(conv=nn.Conv2d(c, k, size, bias=False), bn=nn.BatchNorm2d(k))

    def aux(c: int) -> nn.Module:
        return _module(conv=conv(c, 128, 1), fc1=nn.Linear(2048, 1024), fc2=nn.Linear(1024, 1000))

    modules = {}
    for name, (c, one, three_reduce, three, five_reduce, five, pool) in INCEPTION.items():
        modules[f"inception{name}"] = _module(
            branch1=conv(c, one, 1),
            branch2=nn.Sequential(conv(c, three_reduce, 1), conv(three_reduce, three, 3)),
            branch3=nn.Sequential(conv(c, five_reduce, 1), conv(five_reduce, five, 3)),
            branch4=nn.Sequential(nn.MaxPool2d(3), conv(c, pool, 1)),
        )
    return _module(
        **{"conv1": conv(3, 64, 7), "conv2": conv(64, 64, 1), "conv3": conv(64, 192, 3)},
        **modules,
        **{"aux1": aux(512), "aux2": aux(528), "fc": nn.Linear(1024, 1000)},
    )
