"""Coverage-guided fuzzing of the readers of pycnn/formats, with Atheris (``pip install atheris``).

    python tools/fuzz/readers.py .pt --seeds corpus     # once: good files to begin with
    python tools/fuzz/readers.py .pt corpus -max_total_time=600

The first argument is a suffix that has a reader, or "graph", the JSON in which a saved network is
described; what follows goes to libFuzzer. A finding is any error that is no PycnnError, a hang, or
memory beyond libFuzzer's -rss_limit_mb. What one finds goes into the tests, with the smallest file
that shows it.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import sys
import tempfile
from pathlib import Path

import atheris

from pycnn import formats, graph_json, passport
from pycnn.errors import PycnnError
from pycnn.formats import GRAPH_READERS, WEIGHTS_READERS, open_weights
from pycnn.formats.tensor_file import FLOAT_DTYPES
from pycnn.graph_json import graph_from_dict, graph_to_dict
from pycnn.models import find
from pycnn.passport import Passport

MAX_BYTES = 1 << 24
GRAPH = "graph"  # beside the suffixes
NETWORK = find("lenet5_1998").graph()  # whose tensors are those that a description may name


def read_file(path: Path) -> None:
    """Read all that a file has."""
    file = open_weights(path, MAX_BYTES)
    Passport.of(file)
    for name in file.shapes:
        if file.dtypes[name] in FLOAT_DTYPES:
            file.read(name)


def read_graph(data: bytes) -> None:
    """Read a description."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return
    graph_from_dict(found, NETWORK.parameters, MAX_BYTES)


def instrument() -> None:
    """Tell the fuzzer of each branch of the readers.

    Atheris' own hook of imports does not see through the loader of an editable install: the fuzzer
    would then be blind, and say so in one line only ("no interesting inputs were found").
    """
    modules = [passport, graph_json]
    for module in pkgutil.iter_modules(formats.__path__):
        modules.append(importlib.import_module(f"pycnn.formats.{module.name}"))
    for module in modules:
        for owner in [module, *(kind for _, kind in inspect.getmembers(module, inspect.isclass))]:
            for member in vars(owner).values():
                function = getattr(member, "__func__", member)  # of a class method
                if inspect.isfunction(function) and function.__module__ == module.__name__:
                    atheris.instrument_func(function)


def target(kind: str, path: Path) -> None:
    """Set up one reader; a file is one that each input overwrites."""

    def read(data: bytes) -> None:
        try:
            if kind == GRAPH:
                read_graph(data)
            else:
                path.write_bytes(data)
                read_file(path)
        except PycnnError:
            pass

    atheris.Setup([sys.argv[0], *sys.argv[2:]], read)
    atheris.Fuzz()


def write_seeds(suffix: str, folder: Path) -> None:
    """Write the good files of the tests of bad files into a folder."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
    import good_files

    folder.mkdir(parents=True, exist_ok=True)
    files = (
        [json.dumps(graph_to_dict(NETWORK)).encode()]
        if suffix == GRAPH
        else good_files.seeds(suffix, folder)
    )
    for i, data in enumerate(files):
        (folder / f"seed{i}{suffix}").write_bytes(data)


def main() -> None:
    """See above."""
    known = [*WEIGHTS_READERS, *GRAPH_READERS, GRAPH]
    if len(sys.argv) < 2 or sys.argv[1] not in known:
        sys.exit(f"usage: {sys.argv[0]} {{{','.join(known)}}} [--seeds FOLDER | FOLDER ...]")
    if sys.argv[2:3] == ["--seeds"]:
        write_seeds(sys.argv[1], Path(sys.argv[3]))
        return
    with tempfile.TemporaryDirectory(prefix="pycnn-fuzz-") as folder:
        instrument()
        target(sys.argv[1], Path(folder) / f"input{sys.argv[1]}")


if __name__ == "__main__":
    main()
