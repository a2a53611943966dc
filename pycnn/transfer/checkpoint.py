"""What a training in PyTorch needs to go on after its last whole epoch, in a file."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pycnn.errors import StoreError, WeightsError
from pycnn.formats.writing import remove_unfinished, replacing

__all__ = ["Checkpoint"]

# What PyTorch raises where a file is damaged, by the place of the damage.
_UNREADABLE = (
    OSError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)


class Checkpoint:
    """The file of one training; it need not exist yet.

    Parameters
    ----------
    path : path
    facts : mapping
        What the training depends on, as plain values by name. They are kept in the file.
    """

    def __init__(self, path: str | os.PathLike[str], facts: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.facts = dict(facts)

    def load(self) -> dict[str, Any] | None:
        """Read what was saved last; None where nothing was. What a kill left half written goes.

        Raises
        ------
        StoreError
            The file cannot be read, or is damaged.
        WeightsError
            It is of a training that depends on something else.
        """
        remove_unfinished(self.path)
        try:
            state = torch.load(self.path, "cpu", weights_only=True)  # nothing in it is run
        except FileNotFoundError:
            return None
        except _UNREADABLE as error:
            raise StoreError(
                f"the checkpoint {str(self.path)!r} cannot be read: {error}; "
                "remove it to begin anew"
            ) from None
        found = state if isinstance(state, dict) else {}
        for name, value in self.facts.items():
            if found.get(name) != value:
                raise WeightsError(
                    f"{str(self.path)!r} is the checkpoint of another {name}: {found.get(name)}, "
                    f"and not {value}; give another folder, or remove the file"
                )
        return found

    def save(self, state: Mapping[str, Any]) -> None:
        """Write tensors and plain values by name, beside the facts; whole, or not at all.

        Raises
        ------
        StoreError
            The disk is full or fails. What was saved before is kept.
        """
        # In memory first: PyTorch, writing to a full disk, does not say that it is full.
        whole = io.BytesIO()
        torch.save({**self.facts, **state}, whole)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self.path) as file:
                file.write(whole.getbuffer())
        except OSError as error:
            raise StoreError(
                f"the checkpoint {str(self.path)!r} cannot be written: {error.strerror}. The epoch "
                "before, if any, is kept, and the next call goes on from there; make room first"
            ) from None

    def remove(self) -> None:
        """Remove the file, if there is one: the training has ended."""
        self.path.unlink(missing_ok=True)
        remove_unfinished(self.path)
