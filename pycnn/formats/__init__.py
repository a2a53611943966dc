"""One file per format: readers give the tensors of a file by name, or its graph and its tensors.

To add a format, write ``pycnn/formats/<format>.py`` and give it a row here. A reader takes the
path and ``max_bytes``, trusts nothing in the file, and raises ModelFormatError with file and place;
a missing package is an UnsupportedError that gives the line for pip. A writer takes the path and a
`Content`. Formats are imported when one of their files is opened.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from pycnn.errors import ModelFormatError, UnsupportedError, WeightsError
from pycnn.formats.tensor_file import MAX_BYTES, TensorFile
from pycnn.formats.writing import Content
from pycnn.graph import Graph

__all__ = [
    "GRAPH_READERS",
    "MAX_BYTES",
    "WEIGHTS_READERS",
    "WRITERS",
    "Content",
    "TensorFile",
    "check_destination",
    "holds_graph",
    "holds_weights",
    "open_graph",
    "open_weights",
    "write",
]

WeightsReader = Callable[[Path, int], TensorFile]
Shapes = Mapping[str, tuple[int, ...]]
GraphReader = Callable[[Path, int, Shapes | None], tuple[Graph, TensorFile]]
Writer = Callable[[Path, Content], None]


def _of(module: str, name: str) -> Any:
    """A function of a format's file, which is imported when the function is called."""

    def call(*arguments: Any) -> Any:
        return getattr(import_module(f"pycnn.formats.{module}"), name)(*arguments)

    return call


#: Suffix -> reader of a file that has tensors and no network.
WEIGHTS_READERS: Mapping[str, WeightsReader] = {
    ".safetensors": _of("safetensors", "SafetensorsFile"),
    ".npz": _of("npz", "NpzFile"),
    ".caffemodel": _of("caffe", "CaffemodelFile"),
    **dict.fromkeys((".pt", ".pth", ".th"), _of("torch", "TorchFile")),
}

#: Suffix -> reader of a file that has a network. The tensors are named as the graph's parameters;
#: there are none where they come in a file of their own: its shapes are the third argument, from
#: which a reader takes what the network leaves open.
GRAPH_READERS: Mapping[str, GraphReader] = {
    ".onnx": _of("onnx", "read_onnx"),
    ".prototxt": _of("caffe", "read_prototxt"),
}

#: Suffix -> writer. One that needs the graph raises UnsupportedError where there is none.
WRITERS: Mapping[str, Writer] = {
    ".safetensors": _of("safetensors", "write"),
    ".npz": _of("npz", "write"),
    ".onnx": _of("onnx_writer", "write"),
}

Opened = TypeVar("Opened")


def holds_graph(path: str | os.PathLike[str]) -> bool:
    """Whether a file of this name has a network in it, by its suffix."""
    return Path(path).suffix.lower() in GRAPH_READERS


def holds_weights(path: str | os.PathLike[str]) -> bool:
    """Whether a file of this name has weights in it and no network, by its suffix."""
    return Path(path).suffix.lower() in WEIGHTS_READERS


def open_weights(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> TensorFile:
    """Open the tensors of a file by its suffix; of a file with a network, the network's.

    Parameters
    ----------
    path
        The file.
    max_bytes : int
        The most that its tensors may take as float32.

    Raises
    ------
    WeightsError
        There is no such file.
    UnsupportedError
        No reader for this suffix.
    ModelFormatError
        The file is damaged, or larger than `max_bytes`.
    """
    file = Path(path)
    if holds_graph(file):
        return open_graph(file, max_bytes)[1]
    return _open(WEIGHTS_READERS, file, max_bytes)


def open_graph(
    path: str | os.PathLike[str], max_bytes: int = MAX_BYTES, weights: Shapes | None = None
) -> tuple[Graph, TensorFile]:
    """Open a file that has a network: its graph, and its tensors by the graph's names.

    `weights` are the shapes of tensors that come from elsewhere. The other parameters and errors
    are those of :func:`open_weights`; UnsupportedError also names every op that pycnn lacks.
    """
    return _open(GRAPH_READERS, Path(path), max_bytes, weights)


def write(path: str | os.PathLike[str], content: Content) -> None:
    """Write a file in the format of its suffix; it appears whole or not at all.

    Raises
    ------
    UnsupportedError
        No writer for this suffix.
    OSError
        The file cannot be written.
    """
    _writer(Path(path))(Path(path), content)


def check_destination(path: str | os.PathLike[str], content: Content) -> None:
    """Find out before long work what `write` would raise after it, as far as that can be known.

    Parameters
    ----------
    path : path
    content : Content
        Of about the size that will be written, for which there must be room.

    Raises
    ------
    UnsupportedError, OSError
        As :func:`write`.
    """
    file = Path(path)
    _writer(file)
    if not file.parent.is_dir():
        raise FileNotFoundError(f"{file}: there is no folder {str(file.parent)!r}: make it first")
    import tempfile  # here: few need it

    size = 4 * sum(map(math.prod, content.shapes.values()))
    try:
        with tempfile.TemporaryFile(dir=file.parent) as trial:
            os.posix_fallocate(trial.fileno(), 0, max(1, size))
    except OSError as error:
        error.filename = str(file)
        raise


def _writer(file: Path) -> Writer:
    writer = WRITERS.get(file.suffix.lower())
    if writer is None:
        raise UnsupportedError(
            f"{file}: cannot write '{file.suffix}' files; known: {', '.join(WRITERS)}"
        )
    return writer


def _open(readers: Mapping[str, Callable[..., Opened]], file: Path, *arguments: object) -> Opened:
    if not file.is_file():
        raise WeightsError(f"{file}: no such file")
    reader = readers.get(file.suffix.lower())
    if reader is None:
        known = ", ".join([*WEIGHTS_READERS, *GRAPH_READERS])
        raise UnsupportedError(f"{file}: cannot read '{file.suffix}' files; known: {known}")
    try:
        return reader(file, *arguments)
    except OSError as error:
        raise ModelFormatError(f"{file}: cannot be read: {error}") from error
