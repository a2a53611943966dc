"""Network in Network: Lin, Chen, Yan, 2013.

Convolutions followed by two 1x1 convolutions each ("cccp", cascaded cross-channel pooling), and
an average over the whole map of each class instead of fully connected layers. Both networks are
their author's Caffe models, with their layer names; the paper describes the one for CIFAR-10 and
none for ImageNet. The last ReLU comes before the average, so no logit is negative. Pools round
up, as Caffe's: a window of the average pool that leaves the map divides by its part inside.

``nin@caffe`` is the nin_imagenet of Caffe's model zoo, 7,595,176 parameters, for 224 x 224.
``nin_cifar10@caffe`` is the one for CIFAR-10, 966,986 parameters. Deviation from the paper, which
has maxima only: pool2 is an average pool.

`flatten`, after the last pool, is ours: the models leave N x classes x 1 x 1.
"""

from __future__ import annotations

from pycnn.graph import Graph
from pycnn.models import published
from pycnn.models.registry import register
from pycnn.models.variant import Variant
from pycnn.vision.presets import NIN_CAFFE

__all__ = ["build_nin", "build_nin_cifar10"]

PAPER = "Lin, Chen, Yan: Network In Network, 2013"


def build_nin() -> Graph:
    """Network in Network for ImageNet.

    Returns
    -------
    Graph
    """
    g = Graph("nin")

    def pool(name: str, x: str) -> str:
        return g.max_pool2d(name, x, 3, stride=2, ceil_mode=True)

    # The ReLUs are numbered as published: there is no relu4, and the first pool is pool0.
    x = g.input("data", (3, 224, 224))
    x = g.relu("relu0", g.conv2d("conv1", x, 96, 11, stride=4))  # N x 96 x 54 x 54
    x = g.relu("relu1", g.conv2d("cccp1", x, 96, 1))
    x = g.relu("relu2", g.conv2d("cccp2", x, 96, 1))
    x = pool("pool0", x)  # N x 96 x 27 x 27
    x = g.relu("relu3", g.conv2d("conv2", x, 256, 5, padding=2))  # N x 256 x 27 x 27
    x = g.relu("relu5", g.conv2d("cccp3", x, 256, 1))
    x = g.relu("relu6", g.conv2d("cccp4", x, 256, 1))
    x = pool("pool2", x)  # N x 256 x 13 x 13
    x = g.relu("relu7", g.conv2d("conv3", x, 384, 3, padding=1))  # N x 384 x 13 x 13
    x = g.relu("relu8", g.conv2d("cccp5", x, 384, 1))
    x = g.relu("relu9", g.conv2d("cccp6", x, 384, 1))
    x = g.dropout("drop", pool("pool3", x))  # N x 384 x 6 x 6
    x = g.relu("relu10", g.conv2d("conv4-1024", x, 1024, 3, padding=1))  # N x 1024 x 6 x 6
    x = g.relu("relu11", g.conv2d("cccp7-1024", x, 1024, 1))
    x = g.relu("relu12", g.conv2d("cccp8-1024", x, 1000, 1))  # N x 1000 x 6 x 6
    x = g.avg_pool2d("pool4", x, 6, stride=1, ceil_mode=True)  # N x 1000 x 1 x 1
    g.output(g.flatten("flatten", x))  # N x 1000
    return g


def build_nin_cifar10() -> Graph:
    """Network in Network for CIFAR-10.

    Returns
    -------
    Graph
    """
    g = Graph("nin_cifar10")
    x = g.input("data", (3, 32, 32))
    x = g.relu("relu1", g.conv2d("conv1", x, 192, 5, padding=2))  # N x 192 x 32 x 32
    x = g.relu("relu_cccp1", g.conv2d("cccp1", x, 160, 1))
    x = g.relu("relu_cccp2", g.conv2d("cccp2", x, 96, 1))
    x = g.max_pool2d("pool1", x, 3, stride=2, ceil_mode=True)  # N x 96 x 16 x 16
    x = g.dropout("drop3", x)
    x = g.relu("relu2", g.conv2d("conv2", x, 192, 5, padding=2))  # N x 192 x 16 x 16
    x = g.relu("relu_cccp3", g.conv2d("cccp3", x, 192, 1))
    x = g.relu("relu_cccp4", g.conv2d("cccp4", x, 192, 1))
    x = g.avg_pool2d("pool2", x, 3, stride=2, ceil_mode=True)  # N x 192 x 8 x 8
    x = g.dropout("drop6", x)
    x = g.relu("relu3", g.conv2d("conv3", x, 192, 3, padding=1))  # N x 192 x 8 x 8
    x = g.relu("relu_cccp5", g.conv2d("cccp5", x, 192, 1))
    x = g.relu("relu_cccp6", g.conv2d("cccp6", x, 10, 1))  # N x 10 x 8 x 8
    x = g.avg_pool2d("pool3", x, 8, stride=1, ceil_mode=True)  # N x 10 x 1 x 1
    g.output(g.flatten("flatten", x))  # N x 10
    return g


register(
    Variant(
        name="nin",
        source="caffe",
        title="Network in Network",
        paper=PAPER,
        build=build_nin,
        preprocessing=NIN_CAFFE,
        labels="imagenet",
        licence="BSD",
        published=published.gist(
            "mavenlin/d802a5849de39225bcc6",
            "https://www.dropbox.com/s/0cidxafrb2wuwxw/nin_imagenet.caffemodel?dl=1",
            "nin_imagenet.caffemodel",
            "sha1:8e89c8fcd46e02780e16c867a5308e7bb7af0803",
            top1=59.36,
            note="an earlier revision of the page stated this sha1, today's states none",
        ),
    )
)
register(
    Variant(
        name="nin_cifar10",
        source="caffe",
        title="Network in Network, CIFAR-10",
        paper=PAPER,
        build=build_nin_cifar10,
        preprocessing=None,  # it was trained on whitened images (GCN, ZCA): see CIFAR10_NIN
        labels="cifar10",
        licence="NCSA",
        published=published.gist(
            "mavenlin/e56253735ef32c3c296d",
            "https://www.dropbox.com/s/blrajqirr1p31v0/cifar10_nin.caffemodel?dl=1",
            "cifar10_nin.caffemodel",
            "sha256:d131ace82eeecbc14bfba817a99eaaef3ecf4fbfeac1d5da2bc2c3ef4d1fb3da",
            top1=None,
            note="the hash is that of the copy in rai-project/go-caffe (whose licence is NCSA); "
            "the page was not read",
        ),
    )
)
