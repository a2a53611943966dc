"""Whose weights a file has: by its passport, by its hash, by names and shapes."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pycnn.errors import WeightsError
from pycnn.formats import TensorFile
from pycnn.graph import Graph
from pycnn.models import Variant, variants
from pycnn.passport import Passport
from pycnn.weights import FileWeights, Rename, check

__all__ = ["Match", "fitting", "recognise", "rename_for"]


class Match(NamedTuple):
    """The variants that a file may belong to, and what says so.

    `by` is "passport", "hash" or "names and shapes". Several variants are those that nothing in
    the file tells apart; none, that it fits none.
    """

    variants: list[Variant]
    by: str


def rename_for(variant: Variant, graph: Graph) -> Rename:
    """What turns the publisher's names, or ours, into ours."""
    return functools.partial(_our_name, variant, graph)


def _our_name(variant: Variant, graph: Graph, name: str) -> str | None:
    if name in graph.parameters or variant.rename is None:
        return name
    return variant.rename(name)


def fitting(file: TensorFile, among: Iterable[Variant] | None = None) -> list[Variant]:
    """List the variants whose parameters have the file's names and shapes."""
    return [v for v in (variants() if among is None else among) if _fits(file, v)]


def _fits(file: TensorFile, variant: Variant) -> bool:
    graph = variant.graph()
    try:
        source = FileWeights(file, rename_for(variant, graph))
        check(graph.with_outputs(graph.outputs), source, optional=graph.parameters)
    except WeightsError:
        return False
    return True


def recognise(file: TensorFile, among: Iterable[Variant] | None = None) -> Match:
    """Say which variants the weights of a file may belong to.

    Parameters
    ----------
    file : TensorFile
    among : iterable of Variant, optional
        Where to look for names and shapes; default: all variants.

    Raises
    ------
    ModelFormatError
        The file's passport is damaged.

    Notes
    -----
    Names and shapes come first, as they are quick; the hash then decides between those that fit,
    where the file is of the format in which they are published. No other can be theirs, and to
    read half a gigabyte for it would take longer than to run the network.
    """
    passport = Passport.of(file)
    if passport is not None and isinstance(passport.network, Variant):
        return Match([passport.network], "passport")
    found = fitting(file, among)
    kind = _kind(file.path)
    stated = {
        v.published.digest: v
        for v in found
        if v.published and v.published.digest and _kind(Path(v.published.file)) == kind
    }
    if (digest := _digest_of(file.path, stated)) is not None:
        return Match([stated[digest]], "hash")
    return Match(found, "names and shapes")


def _kind(path: Path) -> str:
    """Suffix of the format."""
    return ".pth" if path.suffix in (".pt", ".th") else path.suffix


def _digest_of(path: Path, stated: Iterable[str]) -> str | None:
    """Find the digest, written as `Published.digest` writes it, that a file has."""
    stated = list(stated)
    for algorithm in dict.fromkeys(digest.partition(":")[0] for digest in stated):
        status = path.stat()
        whole = f"{algorithm}:{_hash(path, algorithm, status.st_size, status.st_mtime_ns)}"
        for digest in stated:
            if whole.startswith(digest):
                return digest
    return None


@functools.lru_cache(maxsize=64)
def _hash(path: Path, algorithm: str, size: int, mtime_ns: int) -> str:
    """Hexadecimal digits; once for a file, as long as size and time say that it is the same."""
    import hashlib  # here: it is slow to import

    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
