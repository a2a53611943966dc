"""What a file of weights says of itself: the variant, its choices, how its images are prepared.

It is metadata, text to text, under names that begin with "pycnn."; files of others have none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pycnn.errors import ModelFormatError, UnknownNameError
from pycnn.models import Variant, find
from pycnn.vision.preprocess import Preprocessing

__all__ = ["Passport"]

_PREFIX = "pycnn."


@dataclass(frozen=True)
class Passport:
    """The identity of a file of weights.

    Attributes
    ----------
    variant
        Whose weights these are.
    choices
        Of the variant's choices those that are not left open.
    preprocessing, labels
        None: the variant's.
    origin
        Where the weights came from, for people.
    """

    variant: Variant
    choices: Mapping[str, object] = field(default_factory=dict)
    preprocessing: Preprocessing | None = None
    labels: Sequence[str] | None = None
    origin: str = ""

    def to_metadata(self) -> dict[str, str]:
        """As text."""
        found = {"variant": self.variant.id, "origin": self.origin}
        found |= {choice: str(value) for choice, value in self.choices.items()}
        if self.preprocessing is not None:
            found["preprocessing"] = json.dumps(self.preprocessing.to_dict())
        if self.labels is not None:
            found["labels"] = json.dumps(list(self.labels))
        if self.variant.licence:
            found["licence"] = self.variant.licence
        return {_PREFIX + key: value for key, value in found.items() if value}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], where: str) -> Passport | None:
        """Undo `to_metadata`, for a file that need not be trusted; None where there is none.

        Raises
        ------
        ModelFormatError
            It is damaged; `where` names the file.
        """
        found = {
            key.removeprefix(_PREFIX): value
            for key, value in metadata.items()
            if key.startswith(_PREFIX)
        }
        name = found.get("variant")
        if name is None:
            return None
        try:
            variant = find(name)
        except UnknownNameError as error:
            raise ModelFormatError(
                f"{where}: made for a variant that is unknown: {error}"
            ) from None
        choices = {}
        for choice, allowed in variant.choices.items():
            if choice in found:
                by_text = {str(value): value for value in allowed}
                if found[choice] not in by_text:
                    raise ModelFormatError(
                        f"{where}: {choice} is {found[choice][:100]!r}, "
                        f"expected one of {', '.join(by_text)}"
                    )
                choices[choice] = by_text[found[choice]]
        steps = _json(found, "preprocessing", where)
        try:
            preprocessing = None if steps is None else Preprocessing.from_dict(steps)
        except ModelFormatError as error:
            raise ModelFormatError(f"{where}: {error}") from None
        labels = _json(found, "labels", where)
        if labels is not None and not (
            isinstance(labels, list) and all(isinstance(label, str) for label in labels)
        ):
            raise ModelFormatError(f"{where}: labels are no list of names")
        return cls(
            variant,
            choices,
            preprocessing,
            labels,
            found.get("origin", ""),
        )


def _json(found: Mapping[str, str], key: str, where: str) -> Any:
    if key not in found:
        return None
    try:
        return json.loads(found[key])
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{where}: {key} is no JSON: {error}") from None
