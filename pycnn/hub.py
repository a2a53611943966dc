"""Where weights are found: in the package, in the cache folder, or at their publisher's.

In the cache folder the weights of a variant are called ``<name>@<source>`` and a suffix that has a
reader. A folder that ``pycnn fetch --all`` filled may be used as the cache folder, or served as a
mirror.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from pycnn.errors import OfflineError, WeightsError
from pycnn.formats import WEIGHTS_READERS
from pycnn.models.variant import Published, Variant

if TYPE_CHECKING:
    from pycnn.download import Progress

__all__ = ["cache_folder", "default_weights", "fetch", "verified", "weights_status"]


def cache_folder() -> Path:
    """``$PYCNN_HOME``, else ``pycnn`` in the XDG cache folder."""
    if home := os.environ.get("PYCNN_HOME"):
        return Path(home)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "pycnn"


def weights_status(variant: Variant) -> str | None:
    """Say where a variant's weights are.

    Returns
    -------
    str or None
        "ships"; "verified", in the cache with the publisher's hash, or the first download's where
        the publisher states none; "cached", put there by hand; "published", to be fetched at first
        use; None, where they must be given.
    """
    if variant.shipped:
        return "ships"
    if _cached(variant) is not None:
        return "verified" if verified(variant) else "cached"
    return "published" if variant.published and variant.published.url else None


def verified(variant: Variant) -> bool:
    """Whether the cached weights were fetched, and so had the hash that was expected."""
    path = _cached(variant)
    return path is not None and path.with_name(f"{path.name}.sha256").exists()


def default_weights(variant: Variant) -> Path:
    """Path of the weights that ship with pycnn, lie in the cache, or are fetched into it now.

    Raises
    ------
    WeightsError
        There are none; the message says what to do.
    OfflineError
        They cannot be fetched; the message says from where, and where to put them.
    """
    if variant.shipped:
        return Path(str(resources.files("pycnn") / "data" / "weights" / variant.shipped))
    return _cached(variant) or fetch(variant)


def fetch(variant: Variant, folder: Path | None = None) -> Path:
    """Fetch a variant's published weights, unless they are there.

    Parameters
    ----------
    variant : Variant
    folder : path, optional
        Where to; default: the cache folder.

    Returns
    -------
    path
        The file.

    Raises
    ------
    WeightsError, OfflineError
        As of :func:`default_weights`.

    Notes
    -----
    ``PYCNN_OFFLINE=1`` forbids it; ``PYCNN_MIRROR`` is a URL in place of all publishers', below
    which the files have the names that they have in the cache folder. A bar on stderr shows how it
    goes, where that is a terminal.
    """
    from pycnn.download import download  # here: it imports the standard library's HTTP

    folder = folder or cache_folder()
    published = variant.published
    if published is None:
        raise WeightsError(
            f"no weights for {variant.id}: nobody published any. Put a file "
            f"{_by_hand(variant, folder)}"
        )
    path = folder / _file_name(variant, published)
    if path.exists():
        return path
    url = _url(variant, published)
    where = (
        f"{published.file}, described on {published.page}, must be put by hand as {path}, or its "
        "path given as weights="
    )
    if url is None:
        raise WeightsError(f"no weights for {variant.id} can be fetched: {where}")
    if os.environ.get("PYCNN_OFFLINE", "") not in ("", "0"):
        raise OfflineError(f"{variant.id}: PYCNN_OFFLINE forbids to fetch {url}; {where}")
    if not url.startswith(("http://", "https://")):
        raise WeightsError(f"PYCNN_MIRROR must be a http or https URL, it gives {url!r}")
    try:
        with _bar(path.name) as progress:
            download(url, path, published.digest, progress)
    except OfflineError as error:
        raise OfflineError(f"{variant.id}: {error}; {where}") from None
    except WeightsError as error:
        raise WeightsError(f"{variant.id}: {error}; {where}") from None
    return path


def _cached(variant: Variant) -> Path | None:
    for suffix in WEIGHTS_READERS:
        path = cache_folder() / f"{variant.id}{suffix}"
        if path.is_file():
            return path
    return None


def _file_name(variant: Variant, published: Published) -> str:
    return variant.id + Path(published.file).suffix


def _url(variant: Variant, published: Published) -> str | None:
    if mirror := os.environ.get("PYCNN_MIRROR"):
        return f"{mirror.rstrip('/')}/{_file_name(variant, published)}"
    return published.url


def _by_hand(variant: Variant, folder: Path) -> str:
    *some, last = WEIGHTS_READERS
    return (
        f"{variant.id} with the suffix {', '.join(some)} or {last} into {folder}, or give weights= "
        'a path, a dict of arrays, or "random"'
    )


@contextmanager
def _bar(name: str) -> Iterator[Progress | None]:
    """A progress bar on stderr, where that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bar

    columns = (
        *(TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn()),
        *(TransferSpeedColumn(), TimeRemainingColumn()),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
