"""Which image files a list of files, folders and patterns means: `expand`."""

import functools
import glob
import os
from collections.abc import Iterable
from pathlib import Path

from pycnn.errors import ImageError

__all__ = ["expand"]

# Formats that Pillow names but does not decode, and EPS, which would run a program.
_NOT_READ = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PALM", "PDF", "WMF"}


def expand(paths: Iterable[str | os.PathLike[str]] | str | os.PathLike[str]) -> list[Path]:
    """List the image files that `paths` means.

    Parameters
    ----------
    paths : iterable of paths, or one path
        Each is a file, taken whatever its suffix; a folder, searched with those below it; or a
        pattern of ``*``, ``?``, ``[...]`` and ``**``. A pattern matches files only: it does not
        enter the folders that it matches, ``photos/**`` does. From folders and patterns only files
        with the suffix of an image that Pillow decodes are taken, and names that begin with a dot
        are left out. Links to folders are not followed in a folder.

    Returns
    -------
    list of pathlib.Path
        In the order of `paths`; sorted within a folder or pattern. A file named twice comes twice.

    Raises
    ------
    ImageError
        A file is missing, a folder cannot be read, or a folder or pattern gives no image.
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    return [file for path in paths for file in _expand_one(path)]


def _expand_one(path: str | os.PathLike[str]) -> list[Path]:
    if not isinstance(path, (str, os.PathLike)):
        raise ImageError(f"expected the path of an image, got {type(path).__name__}")
    name = os.fspath(path)
    if name and os.path.isdir(name):
        found = _walk(name)
        if not found:
            raise ImageError(f"folder {name!r}: no image in it or below it")
        return found
    if name and os.path.lexists(name):  # before patterns: a file may be called "a[1].jpg"
        return [Path(name)]
    if not glob.has_magic(name):
        raise ImageError(f"{name!r}: no such file or folder")
    files = {match for match in glob.glob(name, recursive=True) if os.path.isfile(match)}
    if not files:
        raise ImageError(f"pattern {name!r}: matches no file")
    images = sorted(Path(file) for file in files if _is_image(file))
    if not images:
        raise ImageError(f"pattern {name!r}: none of the {len(files)} files it matches is an image")
    return images


def _walk(folder: str) -> list[Path]:
    def fail(error: OSError) -> None:
        raise ImageError(f"folder {error.filename!r}: {error.strerror}") from error

    found = []
    for root, folders, files in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(root, name) for name in files if not name.startswith(".") and _is_image(name)
        ]
    return sorted(found)


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in _suffixes()


@functools.cache
def _suffixes() -> frozenset[str]:
    from PIL import Image

    formats = Image.registered_extensions()
    return frozenset(suffix for suffix, name in formats.items() if name not in _NOT_READ)
