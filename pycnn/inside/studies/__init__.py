"""The papers' claims as experiments: `pycnn study NAME` writes a page with what comes out.

One file a study. It has a `run(report, settings)` that fills the report; what it needs beside the
engine, torch or real data, it asks for when it runs.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pycnn.errors import UnknownNameError, suggest
from pycnn.inside.studies.report import Report
from pycnn.pytorch import require_torch

__all__ = ["STUDIES", "Report", "Settings", "Study", "study"]


class Study(NamedTuple):
    """What is known of a study before it runs.

    `takes` is how long it does on two CPU cores.
    """

    title: str
    question: str
    needs_data: bool = False
    trains: bool = False
    takes: str = "some minutes"


STUDIES = {
    "shrink-and-deepen": Study(
        "Shrink and deepen",
        "From the image to the classes, height and width fall while channels rise: in all of these "
        "networks? And what does that do to the activations and to the work?",
        takes="a second",
    ),
    "one-by-one": Study(
        "What a 1x1 convolution is",
        "A fully connected layer at each position (Lin et al. 2013, section 3.1), a scale on a "
        "single channel, a cheap way to fewer channels (Szegedy et al. 2015, section 4).",
        takes="a second",
    ),
    "lrn": Study(
        "Local response normalisation",
        "AlexNet and Inception v1 normalise across channels; Simonyan and Zisserman (2015, section "
        "4.1) found no gain in it. Does a trained Inception v1 answer differently without?",
        needs_data=True,
        takes="a minute for 1,000 images",
    ),
    "lenet-activations": Study(
        "LeNet-5's non-linearity",
        "LeCun et al. 1998 squash with tanh, after each pooling. What do sigmoid and ReLU do, and "
        "what if they come before it?",
        needs_data=True,
        trains=True,
    ),
    "bottleneck": Study(
        "The 1x1 reduction",
        "Szegedy et al. 2014, section 5, and He et al. 2015, section 4.1: a 1x1 convolution to "
        "fewer channels before a larger one. What does it save, and what does it cost in "
        "accuracy?",
        needs_data=True,
        trains=True,
    ),
    "auxiliary-heads": Study(
        "Auxiliary heads",
        "Szegedy et al. 2014, section 5: heads on the way, whose losses are added while training. "
        "What do they reach, and does the network get better by them?",
        needs_data=True,
        trains=True,
    ),
    "vgg-uniformity": Study(
        "Nothing but 3x3",
        "Simonyan and Zisserman 2015, section 2.3: two 3x3 see what a 5x5 does and three what a "
        "7x7 does, for less. And how accurate are they, for their work?",
        needs_data=True,
        trains=True,
    ),
    "crops-and-ensembles": Study(
        "Several crops, several networks",
        "Krizhevsky et al. 2012, section 4.1, and Szegedy et al. 2014, section 7: averages over "
        "crops and networks. What do they add to the accuracy, for how much more work?",
        needs_data=True,
        trains=True,
    ),
    "identity-block": Study(
        "A block that does nothing",
        "He et al. 2015, section 3.1: a residual block can be the identity, by zero weights. Is "
        "it, does weight decay drive it there, and do two layers more hurt?",
        needs_data=True,
        trains=True,
    ),
    "plain-vs-resnet": Study(
        "Plain and residual networks",
        "He et al. 2015, section 4.2: on CIFAR-10 a plain network gets worse with depth, and a "
        "residual one does not.",
        needs_data=True,
        trains=True,
        takes="some hours",
    ),
}


@dataclass(frozen=True)
class Settings:
    """How a study is run.

    Attributes
    ----------
    data
        Folder of the real data that some studies need.
    weights
        File of the weights of the published network that a study looks at; default: as `load`.
    folder
        Where checkpoints are kept: a study that is killed goes on there.
    full
        As the paper did it, which may take a GPU; else what two CPU cores do in minutes, or, where
        networks are trained, in hours.
    seed
        Of everything that is drawn.
    device
        Where PyTorch trains: "cpu", "cuda", or "auto": a GPU if PyTorch finds one.
    """

    data: Path | None = None
    weights: Path | None = None
    folder: Path = Path("studies")
    full: bool = False
    seed: int = 0
    device: str = "auto"


def study(
    name: str,
    *,
    data: str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
    folder: str | os.PathLike[str] = "studies",
    full: bool = False,
    seed: int = 0,
    device: str = "auto",
) -> Report:
    """Run a study.

    Parameters
    ----------
    name : str
        One of `STUDIES`.
    data, weights, folder, full, seed, device
        See `Settings`.

    Returns
    -------
    Report

    Raises
    ------
    UnknownNameError
        There is no such study.
    ValueError
        It needs real data, and no folder was given, or none that is there.
    UnsupportedError
        It trains, and PyTorch is not installed.
    """
    if name not in STUDIES:
        raise UnknownNameError(f"there is no study {name!r}{suggest(name, STUDIES)}")
    about = STUDIES[name]
    if about.trains:
        require_torch()
    settings = Settings(
        None if data is None else Path(data),
        None if weights is None else Path(weights),
        Path(folder),
        full,
        seed,
        device,
    )
    if about.needs_data and settings.data is None:
        raise ValueError(f"study {name!r} needs real data: give its folder as data=")
    if settings.data is not None and not settings.data.is_dir():
        raise ValueError(f"data: {os.fspath(settings.data)!r} is no folder")
    shown: dict[str, Any] = asdict(settings)
    del shown["folder"], shown["device"]
    for file in ("data", "weights"):  # the name says what it was; where it lay is nobody's concern
        shown[file] = shown[file] and shown[file].resolve().name
    report = Report(name, about.title, about.question, shown)
    module = importlib.import_module(f"pycnn.inside.studies.{name.replace('-', '_')}")
    module.run(report, settings)
    return report
