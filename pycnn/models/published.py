"""Where the weights are published, as read on their publishers' pages in November 2026.

torchvision states the first eight hexadecimal digits of the sha256 in the file's name, and the
accuracy beside it, in its source (release 0.29.1). BVLC states sha1 and accuracy in a readme.md
beside each model. akamaster's file names end in the first eight digits of the sha256.
"""

from pycnn.models.variant import Published

__all__ = ["akamaster", "bvlc", "gist", "msra", "torchvision"]


def torchvision(file: str, module: str, top1: float, top5: float) -> Published:
    """Weights of torchvision; `module` is the file of its source that lists them."""
    return Published(
        page=f"https://github.com/pytorch/vision/blob/main/torchvision/models/{module}.py",
        url=f"https://download.pytorch.org/models/{file}",
        file=file,
        digest="sha256:" + file.removesuffix(".pth").rpartition("-")[2],
        top1=top1,
        top5=top5,
    )


def bvlc(name: str, sha1: str, top1: float, top5: float) -> Published:
    """Weights of Caffe's own model zoo."""
    return Published(
        page=f"https://github.com/BVLC/caffe/tree/master/models/{name}",
        url=f"http://dl.caffe.berkeleyvision.org/{name}.caffemodel",
        file=f"{name}.caffemodel",
        digest=f"sha1:{sha1}",
        top1=top1,
        top5=top5,
    )


def gist(
    gist_id: str, url: str, file: str, digest: str | None, top1: float | None, note: str = ""
) -> Published:
    """Weights that a gist of Caffe's model zoo describes."""
    return Published(f"https://gist.github.com/{gist_id}", url, file, digest, top1, note=note)


def msra(depth: int, top1: float, top5: float) -> Published:
    """Weights of the authors of ResNet, who offer them in one archive, by hand, without hashes."""
    return Published(
        page="https://github.com/KaimingHe/deep-residual-networks",
        url=None,
        file=f"ResNet-{depth}-model.caffemodel",
        top1=top1,
        top5=top5,
        note="offered as an archive on a page for browsers; no hash is stated",
    )


def akamaster(file: str, top1: float) -> Published:
    """Weights of akamaster/pytorch_resnet_cifar10."""
    return Published(
        page="https://github.com/akamaster/pytorch_resnet_cifar10",
        url=(
            "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models/"
            + file
        ),
        file=file,
        digest="sha256:" + file.removesuffix(".th").rpartition("-")[2],
        top1=top1,
        note=""
        if "12fca82f" in file
        else "that the name holds the sha256 is verified for resnet20 only",
    )
