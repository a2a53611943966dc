"""What belongs together under one name: a geometry, its preprocessing, its labels, its licence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pycnn.errors import suggest
from pycnn.graph import Graph
from pycnn.vision import Preprocessing

__all__ = ["Published", "Variant"]


@dataclass(frozen=True)
class Published:
    """Weights as their publisher offers them.

    Attributes
    ----------
    page : str
        Where a person reads about them: hash and accuracy are from there.
    url : str or None
        The file itself; None where it comes only inside an archive or by hand.
    file : str
        Its name there.
    digest : str or None
        ``"sha256:"`` or ``"sha1:"`` and hexadecimal digits as the publisher states them; of sha256
        the first eight may be all there are. None where none is stated: the hash of the first
        download is then kept, and every later one must equal it.
    top1, top5 : float or None
        Accuracy in percent on the validation images of ImageNet (CIFAR-10: the test images), of
        the centre crop, as the publisher states it.
    note : str
        What could not be verified, or departs from the page.
    """

    page: str
    url: str | None
    file: str
    digest: str | None = None
    top1: float | None = None
    top5: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Variant:
    """One network of one publisher.

    Attributes
    ----------
    name : str
        The network, "resnet50".
    source : str
        Whose network and weights: "torchvision"; "paper" where nobody published weights.
    title : str
        The name for people, "ResNet-50".
    paper : str
        Authors, title, year.
    build : callable
        Returns the graph; called with `options` and one value of each of `choices`.
    options : mapping
        Fixed arguments of `build`.
    choices : mapping
        Argument of `build` -> the values a user may choose from. The first is the default, and the
        one that published and shipped weights are for; other values give the same parameters.
    preprocessing : Preprocessing or None
        None where the network takes no images.
    labels : {"imagenet", "cifar10", "mnist"} or None
        See :func:`pycnn.vision.labels.labels`.
    licence : str or None
        Of the weights, in their publisher's words; None where there are none.
    shipped : str or None
        Name of the file in ``pycnn/data/weights`` that the package comes with.
    published : Published or None
        Where the weights come from; None where nobody published any.
    rename : callable or None
        The publisher's name of a parameter -> ours, or None for what is no parameter of ours (a
        counter of batches, a head that was never trained). Names that it does not know come back
        unchanged. No function: the publisher's names are ours.
    """

    name: str
    source: str
    title: str
    paper: str
    build: Callable[..., Graph]
    options: Mapping[str, object] = field(default_factory=dict, hash=False)
    choices: Mapping[str, tuple[object, ...]] = field(default_factory=dict, hash=False)
    preprocessing: Preprocessing | None = None
    labels: str | None = None
    licence: str | None = None
    shipped: str | None = None
    published: Published | None = None
    rename: Callable[[str], str | None] | None = None

    @property
    def id(self) -> str:
        """``name@source``."""
        return f"{self.name}@{self.source}"

    def graph(self, **choices: Any) -> Graph:
        """Build the network's graph.

        Parameters
        ----------
        **choices
            Values for some of the variant's `choices`.

        Returns
        -------
        Graph
            A new one; its main output is the logits.

        Raises
        ------
        ValueError
            There is no such choice, or not with this value.

        Examples
        --------
        >>> from pycnn.models import find
        >>> find("lenet5").graph(activation="relu").shapes()["output"]
        (1, 10, 1, 1)
        """
        for option, value in choices.items():
            if option not in self.choices:
                known = f"it has {', '.join(self.choices)}" if self.choices else "it has none"
                raise ValueError(
                    f"{self.id} has no option {option!r}; {known}{suggest(option, self.choices)}"
                )
            allowed = self.choices[option]
            if value not in allowed:
                near = suggest(value, map(str, allowed)) if isinstance(value, str) else ""
                raise ValueError(
                    f"{self.id}: {option} is one of {', '.join(map(repr, allowed))}, "
                    f"not {value!r}{near}"
                )
        defaults = {option: allowed[0] for option, allowed in self.choices.items()}
        return self.build(**{**self.options, **defaults, **choices})
