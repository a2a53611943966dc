"""What a file of weights says of itself: whose they are, and how its images are prepared.

It is metadata, text to text, under names that begin with "pycnn."; files of others have none. A
registered network is named; any other is described, layer by layer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pycnn.errors import ModelFormatError, UnknownNameError, UnsupportedError
from pycnn.formats import TensorFile
from pycnn.formats.tensor_file import MAX_BYTES
from pycnn.formats.writing import GRAPH_KEY
from pycnn.graph import Graph
from pycnn.graph_json import graph_from_dict, graph_to_dict
from pycnn.models import Variant, find
from pycnn.vision.labels import LABEL_SETS
from pycnn.vision.labels import labels as labels_of
from pycnn.vision.preprocess import Preprocessing

__all__ = ["Passport"]

_PREFIX = "pycnn."
_GRAPH = GRAPH_KEY.removeprefix(_PREFIX)
_LONGEST_JSON = 16 << 20


@dataclass(frozen=True)
class Passport:
    """The identity of a file of weights.

    Attributes
    ----------
    network
        Whose weights these are: a variant, or the graph of a network that is none.
    choices
        Of the variant's choices those that are not left open.
    preprocessing, labels
        None: the variant's; a graph has none then.
    origin
        Where the weights came from, for people.
    """

    network: Variant | Graph
    choices: Mapping[str, object] = field(default_factory=dict)
    preprocessing: Preprocessing | None = None
    labels: Sequence[str] | None = None
    origin: str = ""

    def to_metadata(self) -> dict[str, str]:
        """As text. UnsupportedError where it could not be read back."""
        found = {"origin": self.origin}
        if isinstance(self.network, Variant):
            found |= {"variant": self.network.id, "licence": self.network.licence or ""}
            found |= {choice: str(value) for choice, value in self.choices.items()}
        else:
            found[_GRAPH] = _described(self.network)
        if self.preprocessing is not None:
            found["preprocessing"] = _text_of(self.preprocessing.to_dict())
        if self.labels is not None:
            found["labels"] = _text_of(_packaged(self.labels) or list(self.labels))
        return {_PREFIX + key: value for key, value in found.items() if value}

    @classmethod
    def of(cls, file: TensorFile) -> Passport | None:
        """Undo `to_metadata`, for a file that need not be trusted; None where there is none.

        Raises
        ------
        ModelFormatError
            It is damaged; the message names the file.
        """
        found = {
            key.removeprefix(_PREFIX): value
            for key, value in file.metadata.items()
            if key.startswith(_PREFIX)
        }
        try:
            return cls._read(found, file)
        except ModelFormatError as error:
            raise ModelFormatError(f"{file.path}: {error}") from None

    @classmethod
    def _read(cls, found: Mapping[str, str], file: TensorFile) -> Passport | None:
        network: Variant | Graph
        choices: Mapping[str, object] = {}
        if "variant" in found:
            try:
                network = find(found["variant"])
            except UnknownNameError as error:
                raise ModelFormatError(f"made for a variant that is unknown: {error}") from None
            choices = _choices(network, found)
        elif _GRAPH in found:
            network = graph_from_dict(_json(found, _GRAPH), file.shapes, file.max_bytes)
        else:
            return None
        steps = _json(found, "preprocessing")
        preprocessing = None if steps is None else Preprocessing.from_dict(steps)
        return cls(network, choices, preprocessing, _labels(found), found.get("origin", ""))


def _described(network: Graph) -> str:
    """Text that `graph_from_dict` takes: what cannot be read back is not written."""
    try:
        text = _text_of(graph_to_dict(network))
        graph_from_dict(_json({_GRAPH: text}, _GRAPH), network.parameters, MAX_BYTES)
    except (ModelFormatError, ValueError) as error:
        raise UnsupportedError(f"{network.name} cannot be saved: {error}") from None
    return text


def _choices(variant: Variant, found: Mapping[str, str]) -> dict[str, object]:
    choices = {}
    for choice, allowed in variant.choices.items():
        if choice in found:
            by_text = {str(value): value for value in allowed}
            if found[choice] not in by_text:
                raise ModelFormatError(
                    f"{choice} is {found[choice][:100]!r}, expected one of {', '.join(by_text)}"
                )
            choices[choice] = by_text[found[choice]]
    return choices


def _packaged(labels: Sequence[str]) -> str | None:
    """Which of the lists that come with pycnn this is."""
    return next((name for name in LABEL_SETS if labels_of(name) == tuple(labels)), None)


def _labels(found: Mapping[str, str]) -> Sequence[str] | None:
    labels = _json(found, "labels")
    if isinstance(labels, str) and labels in LABEL_SETS:
        return labels_of(labels)
    if labels is not None and not (
        isinstance(labels, list) and all(isinstance(label, str) for label in labels)
    ):
        raise ModelFormatError(f"labels are no list of names, nor one of {', '.join(LABEL_SETS)}")
    return labels


def _text_of(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _json(found: Mapping[str, str], key: str) -> Any:
    if key not in found:
        return None
    if len(found[key]) > _LONGEST_JSON:
        raise ModelFormatError(f"{key}: more than {_LONGEST_JSON:,} characters")
    try:
        return json.loads(found[key])
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{key} is no JSON: {error}") from None
