"""The errors of pycnn: one hierarchy under `PycnnError`.

A message says what is wrong, where (layer, file, offset), what was expected, and how to mend it.
A wrong argument that concerns no image, shape, file, weight or device, such as an unknown
interpolation, is Python's own ValueError or TypeError.
"""

from collections.abc import Iterable

__all__ = [
    "DataError",
    "DeviceError",
    "ImageError",
    "InputWarning",
    "ModelFormatError",
    "OfflineError",
    "PycnnError",
    "ShapeError",
    "StoreError",
    "UnknownNameError",
    "UnsupportedError",
    "WeightsError",
    "suggest",
]

# difflib is quadratic in the length of the name, and a name may come from a hostile file.
_LONGEST_NAME = 100


class PycnnError(Exception):
    """Base of all errors of pycnn.

    Examples
    --------
    >>> issubclass(ShapeError, PycnnError)
    True
    """


class ModelFormatError(PycnnError):
    """A model file, or a description read from one, is damaged or says something impossible."""


class WeightsError(PycnnError):
    """Weights do not fit the network: missing, surplus, of another shape, or of another variant."""


class ShapeError(PycnnError, ValueError):
    """An array, or the output of a layer, has a shape or layout that cannot be used."""


class DeviceError(PycnnError):
    """The device that was asked for is absent, or failed; the message gives the reason."""


class UnknownNameError(PycnnError, LookupError):
    """A network, variant or layer of this name does not exist; near matches are named."""


class OfflineError(PycnnError):
    """A download is needed, but downloads are off or the network cannot be reached."""


class UnsupportedError(PycnnError, NotImplementedError):
    """The request is valid, but pycnn does not implement it."""


class InputWarning(UserWarning):
    """A batch does not look as the network's preprocessing makes it; said once for a model."""


class ImageError(PycnnError, ValueError):
    """An image, or a batch of them, cannot be found, decoded or used; the message says why."""


class DataError(PycnnError, ValueError):
    """Images with labels cannot be learnt from: no class, an empty one, an unknown label, ..."""


class StoreError(PycnnError):
    """Features, or a trained model, cannot be kept; the message says what is, and where."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Give the nearest known name, as the end of an error message.

    Parameters
    ----------
    name : str
        The name that was not found.
    known : iterable of str
        The names that exist.

    Returns
    -------
    str
        ``" (did you mean 'x'?)"``, or ``""`` where nothing is near. Case is ignored.

    Examples
    --------
    >>> "no network 'alexnt'" + suggest("alexnt", ["alexnet", "vgg16"])
    "no network 'alexnt' (did you mean 'alexnet'?)"
    >>> suggest("resnet50", ["mnist"])
    ''
    """
    if len(name) > _LONGEST_NAME:
        return ""
    import difflib  # here: only an error needs it

    by_lower = {candidate.lower(): candidate for candidate in known}
    nearest = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f" (did you mean {by_lower[nearest[0]]!r}?)" if nearest else ""
