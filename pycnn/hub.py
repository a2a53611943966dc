"""Where weights are found on this machine: in the package, or in the cache folder."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from pycnn.errors import WeightsError
from pycnn.models.variant import Variant


def cache_folder() -> Path:
    """``$PYCNN_HOME``, else ``pycnn`` in the XDG cache folder."""
    if home := os.environ.get("PYCNN_HOME"):
        return Path(home)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "pycnn"


def _candidates(variant: Variant) -> list[Path]:
    return [cache_folder() / f"{variant.id}{suffix}" for suffix in (".safetensors", ".npz")]


def weights_status(variant: Variant) -> str | None:
    """Return "ships", "cached", or None where weights must be given."""
    if variant.shipped:
        return "ships"
    return "cached" if any(path.is_file() for path in _candidates(variant)) else None


def default_weights(variant: Variant) -> Path:
    """Path of the weights that ship with pycnn or lie in the cache.

    Raises
    ------
    WeightsError
        There are none; the message says what to do.
    """
    if variant.shipped:
        return Path(str(resources.files("pycnn") / "data" / "weights" / variant.shipped))
    candidates = _candidates(variant)
    for path in candidates:
        if path.is_file():
            return path
    raise WeightsError(
        f"no weights for {variant.id}: none ship with pycnn, and there is no "
        f"{candidates[0].name} or {candidates[1].name} in {candidates[0].parent}. "
        f"Put a file there, or give weights= a path (.safetensors, .npz), a dict of arrays, "
        f'or "random"'
    )
