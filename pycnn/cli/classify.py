"""``pycnn classify``."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pycnn.cli.common import (
    Device,
    Dtype,
    Isa,
    Json,
    Options,
    Threads,
    Weights,
    complete_name,
    load_model,
    print_json,
    print_table,
)
from pycnn.errors import ImageError, WeightsError

if TYPE_CHECKING:
    from pycnn.model import Model


def _check_crops(count: int | None) -> int | None:
    from pycnn.vision.crops import check_count

    try:
        check_count(1 if count is None else count)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return count


def classify(
    paths: Annotated[
        list[str], typer.Argument(help="Images, folders, or patterns such as '*.jpg'.")
    ],
    model: Annotated[
        str, typer.Option(help="A network, variant or file.", autocompletion=complete_name)
    ],
    weights: Weights = None,
    top: Annotated[int, typer.Option(min=1, help="Labels for each image.")] = 1,
    crops: Annotated[
        int | None,
        typer.Option(
            help="Average so many views of each image: 2 (mirrored), 10 or 144.",
            callback=_check_crops,
        ),
    ] = None,
    threads: Threads = None,
    isa: Isa = None,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    option: Options = None,
    as_json: Json = False,
) -> None:
    """Say what images show: file, label, probability, and the network's time."""
    network = load_model(
        model, weights, option, threads=threads, isa=isa, device=device, dtype=dtype
    )
    results: list[dict[str, Any]] = []
    files, errors = _find(paths)
    for file in _with_progress(files):
        try:
            results.append(_classify_one(network, file, top, crops, warm=bool(results)))
        except ImageError as error:
            errors.append({"file": str(file), "error": str(error)})
    if as_json:
        print_json({"model": network.name, "results": results, "errors": errors})
    elif results:
        header = ("file", "label", "probability", "network ms")
        print_table(header, _rows(results), right=header[2:])
    for failed in errors:
        print(f"pycnn: error: {failed['error']}", file=sys.stderr)
    if errors:
        raise typer.Exit(1)


def _find(paths: Iterable[str]) -> tuple[list[Path], list[dict[str, Any]]]:
    """The images, and what is wrong with the paths that give none."""
    from pycnn.vision import expand

    files: list[Path] = []
    errors: list[dict[str, Any]] = []
    for path in paths:
        try:
            files += expand(path)
        except ImageError as error:
            errors.append({"file": path, "error": str(error)})
    return files, errors


def _classify_one(
    network: Model, file: Path, top: int, crops: int | None, warm: bool
) -> dict[str, Any]:
    import numpy as np

    from pycnn.averaging import average
    from pycnn.model import preprocessing_of
    from pycnn.vision.crops import crops_of_image

    probabilities_of = functools.partial(network.probabilities, check_input=False)
    views = [(0, x) for x in crops_of_image(file, crops or 1, preprocessing_of(network))]
    if not warm:  # the first run of a shape compiles its plan and packs the weights
        average(probabilities_of, views, 1)
    start = time.perf_counter()
    (probabilities,) = average(probabilities_of, views, 1)
    milliseconds = 1e3 * (time.perf_counter() - start)
    if not np.isfinite(probabilities).all():
        raise WeightsError(
            f"{network.name} gives NaN or infinity for '{file}': these weights "
            f"({network.weights_origin}) are of no use with it"
        )
    predictions = [asdict(prediction) for prediction in network.rank(probabilities, top)]
    return {"file": str(file), "predictions": predictions, "ms": round(milliseconds, 4)}


def _rows(results: Iterable[dict[str, Any]]) -> Iterable[tuple[str, ...]]:
    for result in results:
        for i, found in enumerate(result["predictions"]):
            first = i == 0
            yield (
                result["file"] if first else "",
                found["label"],
                f"{found['probability']:.4f}",
                f"{result['ms']:.3f}" if first else "",
            )


def _with_progress(files: list[Path]) -> Iterable[Path]:
    """The files, with a progress bar on stderr where that is a terminal."""
    if len(files) < 2 or not sys.stderr.isatty():
        return files
    from rich.console import Console
    from rich.progress import track

    return track(files, "classifying", console=Console(stderr=True), transient=True)
