"""The list of variants that :mod:`pycnn.models` fills when it is imported."""

from __future__ import annotations

from pycnn.errors import UnknownNameError, suggest
from pycnn.models.variant import Variant

__all__ = ["find", "names", "register", "variants"]

_by_id: dict[str, Variant] = {}


def register(variant: Variant) -> Variant:
    """Make a variant known by its name; the first of a name is the one a bare name means.

    Parameters
    ----------
    variant : Variant

    Returns
    -------
    Variant
        The same.

    Raises
    ------
    ValueError
        Its ``name@source`` is taken.
    """
    if variant.id in _by_id:
        raise ValueError(f"a network '{variant.id}' is registered already")
    _by_id[variant.id] = variant
    return variant


def find(name: str) -> Variant:
    """Return the variant of that name.

    Parameters
    ----------
    name : str
        ``"name"``, whose first registered variant is meant, or ``"name@source"``.

    Returns
    -------
    Variant

    Raises
    ------
    UnknownNameError
        There is none; the message names near ones.

    Examples
    --------
    >>> find("inception_v1").id
    'inception_v1@bvlc'
    """
    if name in _by_id:
        return _by_id[name]
    network, at, _ = name.partition("@")
    found = [variant for variant in _by_id.values() if variant.name == network]
    if found and not at:
        return found[0]
    if found:
        sources = ", ".join(variant.id for variant in found)
        raise UnknownNameError(f"no network {name!r}; of {network} there is {sources}")
    near = suggest(name, _by_id) if at else suggest(name, names())
    raise UnknownNameError(f"no network {name!r}{near}; pycnn.variants() lists all")


def variants() -> list[Variant]:
    """List all variants, in the order in which they were registered."""
    return list(_by_id.values())


def names() -> list[str]:
    """List the names of the networks, each once, in the order of :func:`variants`."""
    return list(dict.fromkeys(variant.name for variant in _by_id.values()))
