"""torchvision's networks, narrow, in plain torch: what people export to ONNX.

The structure is torchvision's, layer by layer; widths are a fraction, so that an export is quick.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_bn(
    c: int,
    k: int,
    size: int,
    stride: int = 1,
    groups: int = 1,
    act: Callable[[], nn.Module] = nn.ReLU,
) -> nn.Sequential:
    conv = nn.Conv2d(c, k, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(k), act())


class AlexNet(nn.Module):
    """With an adaptive average and views between features and classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 16, 11, 4, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(16, 24, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(24, 20, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((3, 3))
        self.classifier = nn.Sequential(
            *(nn.Dropout(), nn.Linear(20 * 9, 32), nn.ReLU(inplace=True), nn.Linear(32, 10))
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class PaperAlexNet(nn.Module):
    """With groups, and the local response normalisation that both exporters take apart."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 16, 5, 2), nn.ReLU(), nn.LocalResponseNorm(5, 0.1), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(16, 18, 5, padding=2, groups=2), nn.ReLU(), nn.LocalResponseNorm(4, 0.2)),
            nn.MaxPool2d(3, 2, ceil_mode=True),
        )
        self.classifier = nn.Linear(18 * 49, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        return F.softmax(self.classifier(x.view(x.size(0), -1)), dim=1)


class Vgg(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        c = 3
        for k in (8, 0, 16, 0, 24, 24, 0, 32, 32, 0):
            layers += [nn.Conv2d(c, k, 3, padding=1), nn.ReLU()] if k else [nn.MaxPool2d(2, 2)]
            c = k or c
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((2, 2))
        self.classifier = nn.Sequential(nn.Linear(32 * 4, 40), nn.ReLU(), nn.Linear(40, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class Bottleneck(nn.Module):
    def __init__(self, c: int, mid: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_bn(c, mid, 1),
            conv_bn(mid, mid, 3, stride),
            *(nn.Conv2d(mid, 4 * mid, 1, bias=False), nn.BatchNorm2d(4 * mid)),
        )
        self.short = nn.Sequential()
        if stride != 1 or c != 4 * mid:
            self.short = nn.Sequential(
                nn.Conv2d(c, 4 * mid, 1, stride, bias=False), nn.BatchNorm2d(4 * mid)
            )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.short(x))


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_bn(3, 16, 7, 2), nn.MaxPool2d(3, 2, 1))
        self.blocks = nn.Sequential(
            Bottleneck(16, 8, 1), Bottleneck(32, 8, 1), Bottleneck(32, 12, 2), Bottleneck(48, 12, 1)
        )
        self.fc = nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.adaptive_avg_pool2d(self.blocks(self.stem(x)), 1)
        return self.fc(torch.flatten(x, 1))


class Inception(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.branch1 = conv_bn(c, 8, 1)
        self.branch2 = nn.Sequential(conv_bn(c, 6, 1), conv_bn(6, 12, 3))
        self.branch3 = nn.Sequential(conv_bn(c, 4, 1), conv_bn(4, 5, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), conv_bn(c, 7, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class GoogLeNet(nn.Module):
    """With torchvision's re-normalisation of the input, channel by channel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = conv_bn(3, 16, 7, 2)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.blocks = nn.Sequential(Inception(16), Inception(32), nn.Dropout(0.2))
        self.fc = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        channels = [
            torch.unsqueeze(x[:, i], 1) * (std / 0.5) + (mean - 0.5) / 0.5
            for i, (mean, std) in enumerate(((0.485, 0.229), (0.456, 0.224), (0.406, 0.225)))
        ]
        x = self.blocks(self.pool(self.conv1(torch.cat(channels, 1))))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1))


class Fire(nn.Module):
    def __init__(self, c: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(c, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            *(nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)),
            *(Fire(16, 4, 12), Fire(24, 6, 16), nn.Dropout(0.5)),
            *(nn.Conv2d(32, 10, 1), nn.ReLU(), nn.AdaptiveAvgPool2d((1, 1))),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(self.net(x), 1)


class MobileNetV1(nn.Module):
    def __init__(self) -> None:
        super().__init__()

        def separable(c: int, k: int, stride: int) -> nn.Sequential:
            return nn.Sequential(conv_bn(c, c, 3, stride, groups=c), conv_bn(c, k, 1))

        self.net = nn.Sequential(
            *(conv_bn(3, 8, 3, 2), separable(8, 16, 1), separable(16, 24, 2), nn.AvgPool2d(8))
        )
        self.fc = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.net(x).view(-1, 24))


class InvertedResidual(nn.Module):
    def __init__(self, c: int, expand: int, k: int, stride: int) -> None:
        super().__init__()
        mid = c * expand
        self.residual = stride == 1 and c == k
        self.conv = nn.Sequential(
            *(conv_bn(c, mid, 1, act=nn.ReLU6), conv_bn(mid, mid, 3, stride, mid, nn.ReLU6)),
            *(nn.Conv2d(mid, k, 1, bias=False), nn.BatchNorm2d(k)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            *(conv_bn(3, 8, 3, 2, act=nn.ReLU6), InvertedResidual(8, 2, 12, 2)),
            *(InvertedResidual(12, 3, 12, 1), conv_bn(12, 40, 1, act=nn.ReLU6)),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(40, 10))

    def forward(self, x: Tensor) -> Tensor:
        x = F.adaptive_avg_pool2d(self.net(x), (1, 1))
        return self.classifier(torch.flatten(x, 1))


class SqueezeExcitation(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(c, 8, 1), nn.Conv2d(8, c, 1)

    def forward(self, x: Tensor) -> Tensor:
        scale = F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1)))
        return F.hardsigmoid(self.fc2(scale)) * x


class MobileNetV3(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            *(conv_bn(3, 16, 3, 2, act=nn.Hardswish), conv_bn(16, 16, 5, 2, 16, nn.Hardswish)),
            *(SqueezeExcitation(16), nn.Conv2d(16, 24, 1), nn.Hardswish(), nn.AdaptiveAvgPool2d(1)),
        )
        self.classifier = nn.Sequential(nn.Linear(24, 32), nn.Hardswish(), nn.Linear(32, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.net(x), 1))


class DenseLayer(nn.Module):
    def __init__(self, c: int, growth: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(c), nn.Conv2d(c, 12, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(12), nn.Conv2d(12, growth, 3, padding=1, bias=False)

    def forward(self, features: list[Tensor]) -> Tensor:
        x = self.conv1(F.relu(self.norm1(torch.cat(features, 1))))
        return self.conv2(F.relu(self.norm2(x)))


class DenseNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_bn(3, 16, 7, 2), nn.MaxPool2d(3, 2, 1))
        self.layers = nn.ModuleList([DenseLayer(16 + 8 * i, 8) for i in range(3)])
        self.transition = nn.Sequential(
            *(nn.BatchNorm2d(40), nn.ReLU(), nn.Conv2d(40, 20, 1, bias=False), nn.AvgPool2d(2, 2))
        )
        self.classifier = nn.Linear(20, 10)

    def forward(self, x: Tensor) -> Tensor:
        features = [self.stem(x)]
        for layer in self.layers:
            features.append(layer(features))
        x = F.relu(self.transition(torch.cat(features, 1)))
        return self.classifier(torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1))


class ShuffleNet(nn.Module):
    """Channels split, shuffled through five dimensions, and joined."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, 16, 3, 2)
        self.branch = nn.Sequential(conv_bn(8, 8, 1), conv_bn(8, 8, 3, groups=8))
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.stem(x).chunk(2, dim=1)
        x = torch.cat((left, self.branch(right)), dim=1)
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        return F.log_softmax(self.fc(x.mean([2, 3])), dim=1)


class Others(nn.Module):
    """Ops that none of the above has: leaky and parametric ReLU, padding, powers, maxima, turns."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.prelu = nn.Conv2d(3, 8, 3), nn.PReLU(8)
        self.scale = nn.Parameter(torch.rand(8, 1, 1) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (1, 2, 0, 1), mode="reflect")
        x = F.pad(self.prelu(self.conv(x)), (0, 1, 1, 0), value=0.5)
        x = torch.sqrt(torch.clamp(F.leaky_relu(x, 0.2) ** 2, 0.1, 9.0)) / self.scale
        x = torch.maximum(x, 1.5 - torch.tanh(x)).transpose(2, 3)
        return torch.sigmoid(x[:, 1::2, :-1]).softmax(1) - torch.arange(4.0).view(1, 4, 1, 1)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "alexnet": (AlexNet, 127),  # the edge of its images, in pixels
    "alexnet_lrn": (PaperAlexNet, 63),
    "vgg": (Vgg, 32),
    "resnet": (ResNet, 40),
    "googlenet": (GoogLeNet, 40),
    "squeezenet": (SqueezeNet, 40),
    "mobilenet_v1": (MobileNetV1, 32),
    "mobilenet_v2": (MobileNetV2, 32),
    "mobilenet_v3": (MobileNetV3, 32),
    "densenet": (DenseNet, 40),
    "shufflenet": (ShuffleNet, 16),
    "others": (Others, 12),
}


def build(name: str) -> tuple[nn.Module, int]:
    """A network in evaluation mode, with batch norms that are not trivial, and its edge."""
    torch.manual_seed(0)
    make, edge = NETWORKS[name]
    net = make()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net.eval(), edge
