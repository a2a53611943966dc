"""Class names of the data sets that the networks were trained on."""

import functools

from pycnn.errors import suggest

__all__ = ["LABEL_SETS", "labels", "synsets"]

LABEL_SETS = ("imagenet", "cifar10", "mnist")


@functools.cache
def labels(name: str) -> tuple[str, ...]:
    """Names of the classes, in the order of the network's outputs.

    Parameters
    ----------
    name : {"imagenet", "cifar10", "mnist"}

    Returns
    -------
    tuple of str
        For ImageNet all the words of the synset. Not even they are unique: "crane" is the bird
        (134) and the machine (517); `synsets` are.

    Raises
    ------
    ValueError
        There is no such set.

    Examples
    --------
    >>> labels("imagenet")[258], len(labels("imagenet"))
    ('Samoyed, Samoyede', 1000)
    >>> labels("cifar10")[:3]
    ('airplane', 'automobile', 'bird')
    """
    lines = _lines(name)
    return tuple(line.split(" ", 1)[1] for line in lines) if name == "imagenet" else lines


@functools.cache
def synsets(name: str) -> tuple[str, ...]:
    """WordNet ids of the classes, in the order of the network's outputs.

    Parameters
    ----------
    name : {"imagenet"}

    Returns
    -------
    tuple of str

    Raises
    ------
    ValueError
        There is no such set, or its classes are not synsets.

    Examples
    --------
    >>> synsets("imagenet")[258]
    'n02111889'
    """
    lines = _lines(name)
    if name != "imagenet":
        raise ValueError(f"the classes of {name} are not WordNet synsets; only imagenet's are")
    return tuple(line.split(" ", 1)[0] for line in lines)


def _lines(name: str) -> tuple[str, ...]:
    if name not in LABEL_SETS:
        known = ", ".join(LABEL_SETS)
        raise ValueError(f"no labels {name!r}; there are {known}{suggest(name, LABEL_SETS)}")
    from importlib import resources  # here: it is slow to import

    path = resources.files("pycnn") / "data" / "labels" / f"{name}.txt"
    return tuple(path.read_text(encoding="utf-8").splitlines())
