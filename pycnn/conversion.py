"""From one file format to another."""

from __future__ import annotations

import os
from typing import Any

from pycnn.formats import Content, TensorFile, holds_graph, open_weights, write
from pycnn.formats.tensor_file import FLOAT_DTYPES
from pycnn.loading import load
from pycnn.passport import Passport
from pycnn.recognition import recognise

__all__ = ["convert"]

Path = str | os.PathLike[str]


def convert(
    source: Path, target: Path, *, name: str | None = None, weights: Path | None = None
) -> dict[str, Any]:
    """Write what a file has in the format of another file's suffix.

    Parameters
    ----------
    source : path
        Weights, or a network.
    target : path
        The new file.
    name : str, optional
        The variant whose weights `source` has, where it does not say so itself.
    weights : path, optional
        The weights of a network whose file has none.

    Returns
    -------
    dict
        For people: "file", "tensors" (how many), "network".

    Raises
    ------
    WeightsError
        The weights do not fit the variant, or are not there.
    ModelFormatError, UnsupportedError, OSError
        As the reader and the writer raise them.
    ValueError
        More is said than `source` leaves open.
    """
    if name is not None and holds_graph(source):
        raise ValueError(f"{os.fspath(source)} has its network in it: no name is needed")
    content, network = _content(source, name, weights)
    write(target, content)
    return {"file": os.fspath(target), "tensors": len(content.shapes), "network": network}


def _content(source: Path, name: str | None, weights: Path | None) -> tuple[Content, str]:
    if holds_graph(source):
        model = load(source, weights)
        return model.content(), model.name
    if weights is not None:
        raise ValueError(f"{os.fspath(source)} has weights itself")
    file = open_weights(source)
    if name is None and Passport.of(file) is None:
        match = recognise(file)
        if len(match.variants) != 1:
            names = ", ".join(variant.id for variant in match.variants)
            return _tensors(file), f"one of {names}" if names else "an unknown network"
    model = load(source) if name is None else load(name, source)
    return model.content(), model.name


def _tensors(file: TensorFile) -> Content:
    """The numbers of a file that belongs to no network we know, by the file's own names."""
    floats = {name: s for name, s in file.shapes.items() if file.dtypes[name] in FLOAT_DTYPES}
    return Content(floats, file.read)
