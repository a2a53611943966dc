"""What every writer gets, and files that appear whole or not at all."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from pycnn.graph import Graph

__all__ = ["GRAPH_KEY", "Content", "remove_unfinished", "replacing"]

#: Under which the metadata describe the network: not needed in a file that has it in its own way.
GRAPH_KEY = "pycnn.graph"


@dataclass(frozen=True)
class Content:
    """What goes into a file.

    Attributes
    ----------
    shapes
        Name -> shape, in the order of writing.
    read
        Gives a tensor by its name, float32, of that shape; called once for each.
    metadata
        What the file says of itself, text to text.
    graph
        The network, where it is known; the tensors are named as its parameters.
    """

    shapes: Mapping[str, tuple[int, ...]]
    read: Callable[[str], npt.NDArray[np.float32]]
    metadata: Mapping[str, str] = field(default_factory=dict)
    graph: Graph | None = None


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file beside `path` that takes its place at the end, if nothing fails.

    An OSError names `path`, not the file beside it, which a kill leaves there.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        # A full disk names no file; an error of another file, such as that of the weights, its own.
        ours = isinstance(error, OSError) and str(error.filename) in ("None", str(temporary))
        if isinstance(error, OSError) and ours and error.errno is not None:
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise


def remove_unfinished(path: Path) -> None:
    """Remove what killed processes left beside `path`; nobody may be writing it."""
    for file in path.parent.glob(f".{glob.escape(path.name)}.*"):
        file.unlink(missing_ok=True)
