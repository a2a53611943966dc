"""What several crops of an image, and several networks, add to the accuracy, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pycnn.ensemble import Ensemble
from pycnn.inside.studies import Settings, small
from pycnn.inside.studies.report import Report, new_figure
from pycnn.model import Model, preprocessing_of
from pycnn.vision.crops import crops_of_image
from pycnn.vision.dataset import Dataset

MEMBERS = 5
CROPS = (1, 2, 10, 144)
# Held-out images that all of it is measured on: 144 crops of more would take long.
IMAGES = 2000


@dataclass(frozen=True)
class Way:
    """One way to answer.

    Attributes
    ----------
    runs
        Times that a network is run for one image.
    accuracy
        Per cent.
    """

    runs: int
    accuracy: float


def answer(models: list[Model], images: Dataset, crops: int) -> Way:
    """How often the mean over crops and networks is right."""
    one = models[0]
    views = sum(1 for _ in crops_of_image(images[0], crops, preprocessing_of(one)))
    listed = [images[i] for i in range(len(images))]
    found = (Ensemble(models) if len(models) > 1 else one).classify(listed, crops=crops)
    right = float((found.argmax(1) == images.labels).mean())
    return Way(views * len(models), 100 * right)


def run(report: Report, settings: Settings) -> None:
    """Train five networks that differ by their seed, then ask them."""
    data = small.data_of(settings)
    graph = small.stacked(3, 2)
    members = [
        small.train_small(graph, data, settings, seed=settings.seed + i) for i in range(MEMBERS)
    ]
    models = [member.model for member in members]
    images = data[1].subset(np.arange(min(IMAGES, len(data[1]))))
    report.heading("What is measured")
    small.about(report, data, members[0])
    report.text(
        f"{MEMBERS} networks of {members[0].macs:,} multiply-adds, which differ by their first "
        f"weights and the order of the images. Probabilities are averaged. Measured on the first "
        f"{len(images):,} held-out images; what several crops of one network give is the mean over "
        "the five, as is what one of them gives. Of GoogLeNet's 144 crops of a square image 48 "
        "differ: of the image enlarged to 32, 36, 40 and 44 pixels the corners, the centre and the "
        "whole, each mirrored too."
    )
    report.code(small.stacked)
    report.code(answer)
    ways: dict[str, Way] = {}
    for crops in CROPS:
        each = [answer([model], images, crops) for model in models]
        ways[_name(1, crops)] = Way(each[0].runs, float(np.mean([way.accuracy for way in each])))
        report.numbers[f"each network, {crops} crops"] = [way.accuracy for way in each]
    for count in range(2, MEMBERS + 1):
        ways[_name(count, 1)] = answer(models[:count], images, 1)
    ways[_name(MEMBERS, 2)] = answer(models, images, 2)
    ways[_name(MEMBERS, 10)] = answer(models, images, 10)
    _show(report, ways, members[0].macs, len(images))


def _name(networks: int, crops: int) -> str:
    who = "one network" if networks == 1 else f"{networks} networks"
    return f"{who}, {crops} crop{'s' * (crops > 1)}"


def _show(report: Report, ways: dict[str, Way], macs: int, images: int) -> None:
    base = ways[_name(1, 1)]
    rows = []
    for name, way in ways.items():
        gain = way.accuracy - base.accuracy
        per_run = f"{gain / (way.runs - 1):+.2f}" if way.runs > 1 else ""
        rows.append((name, str(way.runs), f"{way.runs * macs:,}", f"{way.accuracy:.1f}",
                     f"{gain:+.1f}", per_run))  # fmt: skip
        report.numbers[name] = {"runs": way.runs, "accuracy": way.accuracy}
    report.heading("What comes out")
    report.table(
        "Of an image",
        ("", "runs", "multiply-adds", "accuracy, %", "gain, points", "gain for each further run"),
        rows,
    )
    figure = new_figure(8, 4.4)
    axes = figure.subplots()
    for label, chosen in (
        ("crops of one network", [_name(1, crops) for crops in CROPS]),
        ("networks, one crop", [_name(1, 1), *(_name(n, 1) for n in range(2, MEMBERS + 1))]),
        (f"crops of {MEMBERS} networks", [_name(MEMBERS, crops) for crops in (1, 2, 10)]),
    ):
        points = [ways[name] for name in chosen]
        cost = [way.runs * macs / 1e6 for way in points]
        axes.plot(cost, [way.accuracy for way in points], "o-", label=label)
    axes.set_xscale("log")
    axes.set_xlabel("million multiply-adds of an image")
    axes.set_ylabel("accuracy, %")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    report.figure(figure, "Accuracy over cost: from left to right more crops, or more networks.")
    error = small.standard_error(base.accuracy, images)
    mirror, ten, many = (ways[_name(1, crops)] for crops in CROPS[1:])
    pair, all_of_them = ways[_name(2, 1)], ways[_name(MEMBERS, 1)]
    report.finding(
        f"One network and one crop: {base.accuracy:.1f} % (standard error {error:.1f}; less for "
        f"differences on the same images). The mirror image too: {mirror.accuracy:.1f} %, for "
        f"twice the cost; ten crops {ten.accuracy:.1f} %, for ten times; 144, of which "
        f"{many.runs} differ, {many.accuracy:.1f} %."
    )
    report.finding(
        f"For twice the cost a second network gains {pair.accuracy - base.accuracy:.1f} points, "
        f"the mirror image {mirror.accuracy - base.accuracy:.1f}. {MEMBERS} networks reach "
        f"{all_of_them.accuracy:.1f} %; with ten crops each, for {10 * MEMBERS} times the cost, "
        f"{ways[_name(MEMBERS, 10)].accuracy:.1f} %."
    )
