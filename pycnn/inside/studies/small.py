"""Small networks for CIFAR-10, and how the studies train them: minutes on two cores.

They take 28 x 28 of an image's 32 x 32 pixels, as AlexNet takes 224 of 256: anywhere while they
learn, in the centre afterwards. So ten crops can be cut for them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycnn.graph import Graph
from pycnn.inside.studies import Settings, cifar10
from pycnn.inside.studies.report import Report, new_figure
from pycnn.inside.studies.training import Epoch, Recipe, train
from pycnn.model import Model
from pycnn.models.resnet import conv_bn, residual_block
from pycnn.summary import summarize
from pycnn.vision import Augmentation, Mirror, Preprocessing, RandomCrop
from pycnn.vision.dataset import Dataset
from pycnn.vision.labels import labels
from pycnn.weights import RandomWeights

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "Trained",
    "about",
    "add_curves_and_costs",
    "add_table",
    "begin",
    "data_of",
    "end",
    "inception",
    "initial",
    "label_epochs",
    "residual",
    "stacked",
    "standard_error",
    "train_small",
]

SIDE = 28
PREPROCESSING = Preprocessing(
    (SIDE, SIDE),
    crop=(SIDE, SIDE),
    scale=1 / 255,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)
AUGMENTATION = Augmentation((RandomCrop(SIDE), Mirror()))
EPOCHS, FULL_EPOCHS = 3, 60
WEIGHT_DECAY = 5e-4

# Of table 1 of Szegedy et al. 2014, a quarter: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool proj.
MODULES = {
    "3a": (16, 24, 32, 4, 8, 8),
    "4a": (48, 24, 52, 4, 12, 16),
    "4b": (40, 28, 56, 6, 16, 16),
}


# The networks -------------------------------------------------------------------------------------


def conv(g: Graph, name: str, x: str, channels: int, kernel_size: int, stride: int = 1) -> str:
    """Add a convolution that keeps the image's size, or halves it, batch normalisation and ReLU."""
    y = conv_bn(g, name, f"{name}_bn", x, channels, kernel_size, stride)
    return g.relu(f"{name}_relu", y)


def begin(name: str, channels: int) -> tuple[Graph, str]:
    """Begin a network by a 3x3 convolution that halves the image."""
    g = Graph(name)
    return g, conv(g, "conv1", g.input("data", (3, SIDE, SIDE)), channels, 3, 2)  # 14 x 14


def end(g: Graph, x: str) -> Graph:
    """End a network: the average over the image, and a linear layer."""
    x = g.flatten("features", g.global_avg_pool("pool5", x))
    g.output(g.linear("classifier", x, 10))
    return g


def inception(reduction: bool = True, heads: bool = False) -> Graph:
    """Three Inception modules; with the 1x1 convolutions before the others, or without.

    With `heads` the outputs of the first two modules feed a head each, as in the paper.
    """
    g, x = begin("small_inception" + "_wide" * (not reduction) + "_heads" * heads, 32)
    found = []
    for name, widths in MODULES.items():
        x = _module(g, f"inception_{name}/", x, widths, reduction)  # 64 x 14 x 14, 128 x 7 x 7 ...
        found.append(x)
        if name == "3a":
            x = g.max_pool2d("pool3", x, 2)
    end(g, x)
    if heads:
        for i, x in enumerate(found[:-1], 1):
            g.output(_head(g, f"loss{i}", x), f"aux{i}")
    return g


def _module(g: Graph, prefix: str, x: str, widths: Sequence[int], reduction: bool) -> str:
    k_1x1, k_3x3_reduce, k_3x3, k_5x5_reduce, k_5x5, k_pool_proj = widths

    def reduced(layer: str, channels: int) -> str:
        return conv(g, prefix + layer, x, channels, 1) if reduction else x

    branches = [
        conv(g, f"{prefix}1x1", x, k_1x1, 1),
        conv(g, f"{prefix}3x3", reduced("3x3_reduce", k_3x3_reduce), k_3x3, 3),
        conv(g, f"{prefix}5x5", reduced("5x5_reduce", k_5x5_reduce), k_5x5, 5),
        conv(
            g, f"{prefix}pool_proj", g.max_pool2d(f"{prefix}pool", x, 3, 1, 1), k_pool_proj, 1
        ),
    ]  # fmt: skip
    return g.concat(f"{prefix}output", branches)


def _head(g: Graph, prefix: str, x: str) -> str:
    """A quarter of the paper's auxiliary head."""
    x = g.avg_pool2d(f"{prefix}/ave_pool", x, 5, stride=3, ceil_mode=True)
    x = conv(g, f"{prefix}/conv", x, 32, 1)
    x = g.relu(f"{prefix}/relu_fc", g.linear(f"{prefix}/fc", g.flatten(f"{prefix}/flat", x), 256))
    return g.linear(f"{prefix}/classifier", g.dropout(f"{prefix}/drop_fc", x, p=0.7), 10)


def residual(
    name: str, block: Sequence[tuple[int, int]], blocks: int = 2, shortcut: bool = True
) -> Graph:
    """Two stages of blocks, each a chain of (channels, kernel_size); plain without shortcuts."""
    g, x = begin(name, block[-1][0])
    for stage in (2, 3):
        if stage == 3:
            x = g.max_pool2d("pool2", x, 2)  # N x channels x 7 x 7
        for letter in "abcdefgh"[:blocks]:
            layers = [(*layer, 1) for layer in block]
            x = residual_block(g, f"{stage}{letter}", x, layers, x if shortcut else None)
    return end(g, x)


def stacked(kernel_size: int, times: int, channels: int = 32) -> Graph:
    """Two stages, as VGG's: so many equal convolutions, then a pool."""
    g, x = begin(f"small_vgg_{kernel_size}x{kernel_size}_{times}", channels)
    for stage in (2, 3):
        for i in range(1, times + 1):
            x = conv(g, f"conv{stage}_{i}", x, channels, kernel_size)
        if stage == 2:
            x = g.max_pool2d("pool2", x, 2)  # N x channels x 7 x 7
    return end(g, x)


# Training -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trained:
    """A network after its training.

    Attributes
    ----------
    model, history
        As :func:`~pycnn.inside.studies.training.train` gives them.
    """

    model: Model
    history: list[Epoch]

    @property
    def macs(self) -> int:
        """Of the network as it is used: without heads for training."""
        return self.model.summary().macs

    @property
    def accuracy(self) -> float:
        """Per cent of the held-out images that are classified rightly."""
        return 100 * self.history[-1].held_out.accuracy


def data_of(settings: Settings) -> tuple[Dataset, Dataset]:
    """Images to learn from, and those held out."""
    assert settings.data is not None  # study() asked for it
    return cifar10.read(settings.data)


def initial(graph: Graph, seed: int) -> Model:
    """He's random weights."""
    weights = RandomWeights(graph, seed)
    # A few images of one colour may look like another's order of planes.
    return Model(
        graph, weights, preprocessing=PREPROCESSING, labels=labels("cifar10"), check_input=False
    )


def train_small(
    graph: Graph,
    data: tuple[Dataset, Dataset],
    settings: Settings,
    *,
    seed: int | None = None,
    weight_decay: float = WEIGHT_DECAY,
) -> Trained:
    """Train a small network, or go on with it; the same for all of one setting.

    Studies that need the same network find each other's checkpoint.
    """
    seed = settings.seed if seed is None else seed
    recipe = Recipe(
        FULL_EPOCHS if settings.full else EPOCHS,
        weight_decay=weight_decay,
        precision="float32" if settings.full else "bfloat16",
        seed=seed,
    )
    file = f"{graph.name}_{recipe.epochs}_{weight_decay:g}_{seed}.pt"
    model, history = train(
        initial(graph, seed), recipe, *data, settings.folder / file,
        augmentation=AUGMENTATION, device=settings.device,
    )  # fmt: skip
    main, layer = next(iter(graph.outputs.items()))
    used = graph.with_outputs({main: layer})
    if used.outputs != graph.outputs:
        weights = model.content()
        arrays = {name: weights.read(name) for name in used.parameters}
        model = model.with_graph(used, arrays, model.labels)
    return Trained(model, history)


# What comes out -----------------------------------------------------------------------------------


def standard_error(accuracy: float, images: int) -> float:
    """Of an accuracy in per cent, by the number of images alone."""
    return math.sqrt(accuracy * (100 - accuracy) / images)


def about(report: Report, data: tuple[Dataset, Dataset], trained: Trained) -> None:
    """Say what is the same for all small networks."""
    learnt, held_out = data
    error = standard_error(trained.accuracy, len(held_out))
    report.text(
        f"Each network learns from {len(learnt):,} images of CIFAR-10 for {len(trained.history)} "
        f"epochs, 28 x 28 pixels cut out anywhere and mirrored by chance, and is tested on the "
        f"centres of {len(held_out):,} others. Weights are He's; seed, order and rate (by cosine, "
        f"{Recipe.learning_rate} at its highest, batches of {Recipe.batch_size}, weight decay "
        f"{WEIGHT_DECAY:g} unless another is named) are the same. "
        f"The standard error of an accuracy is {error:.1f} points by "
        "the number of test images alone; another seed moves it as well."
    )


def add_table(report: Report, networks: Mapping[str, Trained]) -> None:
    """Add what the networks cost and reach, and keep it."""
    rows = []
    for name, trained in networks.items():
        summary = summarize(trained.model.graph)
        last = trained.history[-1]
        per_mac = trained.accuracy / (summary.macs / 1e6)
        rows.append(
            (
                name, f"{summary.parameters:,}", f"{summary.macs:,}",
                f"{100 * last.training.accuracy:.1f}", f"{trained.accuracy:.1f}",
                f"{per_mac:.1f}",
            )
        )  # fmt: skip
        report.numbers[name] = {
            "parameters": summary.parameters,
            "macs": summary.macs,
            "training_accuracy": 100 * last.training.accuracy,
            "held_out_accuracy": trained.accuracy,
            "held_out_loss": last.held_out.loss,
            "epochs": [100 * epoch.held_out.accuracy for epoch in trained.history],
        }
    header = (
        "network", "parameters", "multiply-adds", "accuracy in training, %", "held out, %",
        "points per million",
    )  # fmt: skip
    report.table("What the networks cost and reach", header, rows)


def label_epochs(axes: Axes) -> None:
    """Name the axis along the bottom; epochs are whole numbers."""
    axes.set_xlabel("epoch")
    axes.locator_params(axis="x", integer=True)


def _add_error_curve(axes: Axes, name: str, history: Sequence[Epoch]) -> None:
    """Add the held-out error after each epoch."""
    errors = [100 * (1 - epoch.held_out.accuracy) for epoch in history]
    axes.plot([epoch.number for epoch in history], errors, "o-", ms=4, label=name)


def add_curves_and_costs(report: Report, networks: Mapping[str, Trained]) -> None:
    """Draw the errors while training, and accuracy over cost."""
    figure = new_figure(9, 4)
    curves, costs = figure.subplots(1, 2)
    for name, trained in networks.items():
        _add_error_curve(curves, name, trained.history)
        costs.plot(trained.macs / 1e6, trained.accuracy, "o", label=name)
    label_epochs(curves)
    curves.set_ylabel("held-out error, %")
    curves.legend(fontsize=8)
    costs.set_xlabel("million multiply-adds of an image")
    costs.set_ylabel("held-out accuracy, %")
    costs.margins(0.1)
    for axes in (curves, costs):
        axes.grid(alpha=0.3)
    report.figure(
        figure, "Left: held-out error after each epoch. Right: what it costs, in the same colours."
    )
