"""``pycnn train``."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pycnn.cli.common import (
    Json,
    Options,
    Threads,
    Weights,
    complete_name,
    load_model,
    print_json,
    print_table,
)
from pycnn.errors import InputWarning

if TYPE_CHECKING:
    from pycnn.transfer import Fit
    from pycnn.vision import Augmentation


def train(
    folder: Annotated[Path, typer.Argument(help="One folder of images for each class.")],
    model: Annotated[
        str, typer.Option(help="A network, variant or file.", autocompletion=complete_name)
    ],
    out: Annotated[Path, typer.Option(help="The new model: a .safetensors, .npz or .onnx file.")],
    weights: Weights = None,
    regime: Annotated[
        str, typer.Option(help="features, head, freeze:LAYER, full or auto.")
    ] = "auto",
    validation: Annotated[
        str, typer.Option(help="What is held out: a part of each class, or a folder.")
    ] = "0.2",
    tap: Annotated[
        str | None, typer.Option(help="Layer of the features, where it is not the last.")
    ] = None,
    augment: Annotated[
        bool | None,
        typer.Option(
            "--augment/--no-augment",
            help="Learn from crops of a third or more of the image, mirrored at random. Default: "
            '"head" from crops out of a border, mirrored where it takes colours; the others no.',
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Of gradient descent, at most.")] = 20,
    patience: Annotated[
        int, typer.Option(min=1, help="Epochs without a better one that end the training.")
    ] = 5,
    batch: Annotated[int, typer.Option(min=1, help="Images of a step.")] = 32,
    learning_rate: Annotated[
        float, typer.Option(help="Of layers that were trained before; the head's is 10 x.")
    ] = 2e-4,
    balance: Annotated[
        bool, typer.Option(help="Every class weighs the same, however many images it has.")
    ] = True,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 0,
    store: Annotated[
        Path | None, typer.Option(help="Folder of stored features; default: in PYCNN_HOME.")
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Folder for curves.png and confusion.png."),
    ] = None,
    threads: Threads = None,
    option: Options = None,
    as_json: Json = False,
) -> None:
    """Teach a network the classes of a folder, and keep what comes out in a file."""
    from pycnn.formats import check_destination
    from pycnn.transfer import Schedule, fit

    network = load_model(model, weights, option, threads=threads)
    check_destination(out, network.content())
    schedule = Schedule(
        epochs=epochs, batch_size=batch, learning_rate=learning_rate, patience=patience
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)  # said below, once for each image
        done = fit(
            network,
            folder,
            regime,
            validation=_part_or_folder(validation),
            tap=tap,
            augmentation=None if augment is None else _augmentation(augment),
            schedule=schedule,
            balance=balance,
            seed=seed,
            store=store,
        )
    for image in done.unreadable:
        print(f"pycnn: left out: {image.reason}", file=sys.stderr)
    if not as_json:
        _print(done)
    done.save(out)
    if as_json:
        print_json({"file": str(out), **done.to_dict()})
    else:
        print(f"saved: {out}")
    if plots is not None:
        done.draw(plots)


def _part_or_folder(text: str) -> float | Path:
    try:
        return float(text)
    except ValueError:
        return Path(text)


def _augmentation(augment: bool) -> Augmentation:
    """Crops of at least a third of the image, mirrored: what suits most photographs. Or none."""
    from pycnn.vision import Augmentation, Mirror, RandomResizedCrop

    if not augment:
        return Augmentation()
    return Augmentation((RandomResizedCrop(scale=(0.35, 1.0)), Mirror()))


def _print(done: Fit) -> None:
    print(done)
    header = (done.setting, "training loss", "accuracy", "held-out loss", "accuracy")
    rows = [
        (
            f"{'kept: ' if step is done.kept else ''}{step.setting:g}",
            f"{step.train.loss:.4f}",
            f"{step.train.accuracy:.4f}",
            f"{step.validation.loss:.4f}",
            f"{step.validation.accuracy:.4f}",
        )
        for step in done.history
    ]
    print_table(header, rows, right=header)
