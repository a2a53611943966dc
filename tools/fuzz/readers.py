"""Coverage-guided fuzzing of the readers of pycnn/formats, with Atheris (``pip install atheris``).

    python tools/fuzz/readers.py .pt --seeds corpus     # once: good files to begin with
    python tools/fuzz/readers.py .pt corpus -max_total_time=600

The first argument is a suffix that has a reader; what follows goes to libFuzzer. A finding is any
error that is no PycnnError, a hang, or memory beyond libFuzzer's -rss_limit_mb. What one finds goes
into the tests, with the smallest file that shows it.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pycnn.formats"]):
    from pycnn import formats
    from pycnn.errors import PycnnError
    from pycnn.formats import GRAPH_READERS, WEIGHTS_READERS, open_weights
    from pycnn.formats.tensor_file import FLOAT_DTYPES

    for module in pkgutil.iter_modules(formats.__path__):  # which are imported late otherwise
        importlib.import_module(f"pycnn.formats.{module.name}")

MAX_BYTES = 1 << 24


def target(path: Path) -> None:
    """Set up one reader over one file, which each input overwrites."""

    def read(data: bytes) -> None:
        path.write_bytes(data)
        try:
            file = open_weights(path, MAX_BYTES)
            for name in file.shapes:
                if file.dtypes[name] in FLOAT_DTYPES:
                    file.read(name)
        except PycnnError:
            pass

    atheris.Setup([sys.argv[0], *sys.argv[2:]], read)
    atheris.Fuzz()


def write_seeds(suffix: str, folder: Path) -> None:
    """Write the good files of the tests of bad files into a folder."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
    import test_bad_files
    import test_bad_graphs

    folder.mkdir(parents=True, exist_ok=True)
    if suffix in test_bad_files.FORMATS:
        files = [test_bad_files.FORMATS[suffix](arrays) for arrays in test_bad_files.networks()]
    else:
        files = test_bad_graphs.seeds(suffix, folder)
    for i, data in enumerate(files):
        (folder / f"seed{i}{suffix}").write_bytes(data)


def main() -> None:
    """See above."""
    known = [*WEIGHTS_READERS, *GRAPH_READERS]
    if len(sys.argv) < 2 or sys.argv[1] not in known:
        sys.exit(f"usage: {sys.argv[0]} {{{','.join(known)}}} [--seeds FOLDER | FOLDER ...]")
    if sys.argv[2:3] == ["--seeds"]:
        write_seeds(sys.argv[1], Path(sys.argv[3]))
        return
    with tempfile.TemporaryDirectory(prefix="pycnn-fuzz-") as folder:
        target(Path(folder) / f"input{sys.argv[1]}")


if __name__ == "__main__":
    main()
