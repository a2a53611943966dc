"""A residual block that does nothing: how near it is, and what a plain network does instead."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycnn.inside.studies import Settings, small
from pycnn.inside.studies.report import Report, new_figure
from pycnn.inside.studies.training import evaluate
from pycnn.model import Model, preprocessing_of
from pycnn.models.resnet import residual_block
from pycnn.opset import Array
from pycnn.vision.dataset import Dataset
from pycnn.vision.stream import Stream

BLOCK = ((16, 3), (16, 3))
BLOCKS = 3
DECAYS = (0.0, small.WEIGHT_DECAY, 1e-2)
_IMAGES = 250


def scaled(model: Model, block: str, factor: float) -> Model:
    """The model with the weights of one block, its normalisations' too, times a factor."""
    weights = model.content()
    names = [
        name
        for name in model.graph.parameters
        if name.startswith((f"res{block}_", f"bn{block}_")) and name.endswith((".weight", ".bias"))
    ]
    return model.edit(weights={name: factor * weights.read(name) for name in names})


def two_layers_more(model: Model, after: str, shortcut: bool) -> Model:
    """The model with a block behind a layer, all of whose weights are zero."""
    layers = [(*layer, 1) for layer in BLOCK]

    def build(g: Any, x: str) -> str:
        return residual_block(g, "_more", x, layers, x if shortcut else None)

    longer = model.edit(insert={after: build})
    return scaled(longer, "_more", 0.0)


def branch_sizes(model: Model, batch: Array) -> dict[str, float]:
    """What each block adds, by what it adds it to: root mean square over root mean square."""
    sums = [node for node in model.graph.nodes if node.op == "add"]
    taps: Any = model.run(batch, taps=[name for node in sums for name in node.inputs])
    return {
        node.name: float(np.sqrt((taps[branch] ** 2).mean() / (taps[shortcut] ** 2).mean()))
        for node in sums
        for shortcut, branch in [node.inputs]
    }


def run(report: Report, settings: Settings) -> None:
    """Train a residual network with three decays and its plain twin."""
    data = small.data_of(settings)
    residual = {
        decay: small.train_small(
            small.residual("small_resnet_deep", BLOCK, BLOCKS), data, settings, weight_decay=decay
        )
        for decay in DECAYS
    }
    plain = small.train_small(
        small.residual("small_plain_deep", BLOCK, BLOCKS, shortcut=False), data, settings
    )
    usual = residual[small.WEIGHT_DECAY]
    report.heading("What is looked at")
    small.about(report, data, usual)
    report.text(
        f"Two networks of {2 * BLOCKS} blocks of two 3x3 convolutions, {2 + 4 * BLOCKS} layers "
        "with weights: with shortcuts, and plain."
    )
    report.code(small.residual)
    batch = _some(data[1], usual.model)
    _towards_zero(report, usual.model, plain.model, batch)
    _two_layers_more(report, usual.model, plain.model, data[1], batch)
    _decay(report, residual, batch)


def _some(images: Dataset, model: Model) -> Array:
    few = images.subset(range(min(_IMAGES, len(images))))
    return next(iter(Stream(few, preprocessing_of(model), batch_size=len(few))))[0]


def _towards_zero(report: Report, residual: Model, plain: Model, batch: Array) -> None:
    """Shrink the weights of one block of a trained network."""
    report.heading("A block with zero weights is the identity")
    report.text(
        "The weights of the second block of each trained network times a factor: how far its "
        "output is from its input, root mean square over that of the input."
    )
    report.code(scaled)
    block, before = "2b", "res2a_relu"
    rows = []
    for factor in (1.0, 0.5, 0.25, 0.1, 0.0):
        distances = []
        for kind, model in (("residual", residual), ("plain", plain)):
            shrunk = scaled(model, block, factor)
            taps: Any = shrunk.run(batch, taps=[before, f"res{block}_relu"])
            x, y = taps[before], taps[f"res{block}_relu"]
            distances.append(float(np.sqrt(((y - x) ** 2).mean() / (x**2).mean())))
            if factor == 0:
                equal = int((x == y).sum())
                report.numbers[f"{kind}, zero weights"] = {"equal": equal, "of": x.size}
        rows.append((f"{factor:g}", *(f"{distance:.3g}" for distance in distances)))
        report.numbers[f"weights times {factor:g}"] = distances
    report.table("Distance of output from input", ("factor", "residual", "plain"), rows)
    one, other = (report.numbers[f"{kind}, zero weights"] for kind in ("residual", "plain"))
    report.finding(
        f"With zero weights {one['equal']:,} of {one['of']:,} numbers that leave the residual "
        "block are those that entered it, bit for bit; the plain block gives zero whatever it is "
        f"given ({other['equal']:,} were zero before)."
    )


def _two_layers_more(
    report: Report, residual: Model, plain: Model, images: Dataset, batch: Array
) -> None:
    report.heading("Two layers more do not hurt")
    report.code(two_layers_more)
    rows = []
    for kind, model in (("residual", residual), ("plain", plain)):
        accuracy = 100 * evaluate(model, images).accuracy
        logits = np.asarray(model.run(batch))
        for stage in (2, 3):
            longer = two_layers_more(model, f"res{stage}c_relu", shortcut=kind == "residual")
            same = np.asarray(longer.run(batch)) == logits
            now = 100 * evaluate(longer, images).accuracy
            name = f"{kind}, behind stage {stage}"
            rows.append((name, f"{accuracy:.1f}", f"{now:.1f}", f"{100 * same.mean():.0f} %"))
            report.numbers[name] = {
                "before": accuracy, "after": now, "equal_logits": float(same.mean())
            }  # fmt: skip
    report.table(
        "A block of zero weights is added to a trained network",
        ("where", "accuracy before, %", "after, %", "equal logits"), rows,
    )  # fmt: skip
    kept = all(report.numbers[f"residual, behind stage {s}"]["equal_logits"] == 1 for s in (2, 3))
    after = report.numbers["plain, behind stage 2"]["after"]
    report.finding(
        f"The residual network gives {'the same logits, bit for bit' if kept else 'other logits'}: "
        "it is at least as good as the shorter one from the start, and training can only begin "
        f"there. The plain network falls to {after:.1f} %: it would have to learn the identity."
    )


def _decay(report: Report, networks: dict[float, small.Trained], batch: Array) -> None:
    report.heading("Weight decay drives a block towards it")
    report.text(
        "The same residual network with three weight decays. Behind a normalisation the size of "
        "a convolution's weights does not matter: a block adds as much as the scales (weights) of "
        "its last normalisation say."
    )
    report.code(branch_sizes)
    figure = new_figure(9, 4)
    left, right = figure.subplots(1, 2)
    rows = []
    for decay, trained in networks.items():
        sizes = branch_sizes(trained.model, batch)
        norms = [_scale_norm(epoch.weight_norms) for epoch in trained.history]
        left.plot([e.number for e in trained.history], norms, "o-", ms=4, label=f"{decay:g}")
        right.plot(range(1, len(sizes) + 1), list(sizes.values()), "o-", ms=4, label=f"{decay:g}")
        mean = float(np.mean(list(sizes.values())))
        rows.append((f"{decay:g}", f"{norms[-1]:.2f}", f"{mean:.2f}", f"{trained.accuracy:.1f}"))
        report.numbers[f"decay {decay:g}"] = {
            "scale_norms": norms, "branch_over_shortcut": sizes, "accuracy": trained.accuracy
        }  # fmt: skip
    small.label_epochs(left)
    left.set_ylabel("norm of the scales of a block's last normalisation")
    right.set_xlabel("block")
    right.set_ylabel("what it adds, over what it adds it to")
    for axes in (left, right):
        axes.set_ylim(0)
        axes.grid(alpha=0.3)
        axes.legend(title="weight decay")
    report.table(
        "At the end: mean over the blocks",
        ("decay", "norm of the scales", "branch over shortcut", "held-out accuracy, %"), rows,
    )  # fmt: skip
    report.figure(figure, "Left: mean over the blocks, after each epoch. Right: at the end.")
    first, last = (report.numbers[f"decay {decay:g}"] for decay in (DECAYS[0], DECAYS[-1]))
    means = [np.mean(list(found["branch_over_shortcut"].values())) for found in (first, last)]
    norms = [found["scale_norms"][-1] for found in (first, last)]
    report.finding(
        f"With a decay of {DECAYS[-1]:g} the scales end at {norms[1]:.2f}, without at "
        f"{norms[0]:.2f}: decay takes a residual block towards the identity, where it takes a "
        f"plain layer towards zero. What a block adds, over what it adds it to, goes from "
        f"{means[0]:.2f} to {means[1]:.2f} only: decay shrinks the other layers as well."
    )


def _scale_norm(norms: dict[str, float]) -> float:
    """Mean norm of the scales of the blocks' last normalisations."""
    found = [v for name, v in norms.items() if name.endswith("_branch2b.weight") and "bn" in name]
    return float(np.mean(found))
