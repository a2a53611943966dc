"""From a publisher's names of parameters to ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping

__all__ = ["by_layer"]


def by_layer(layers: Mapping[str, str]) -> Callable[[str], str | None]:
    """Rename what stands before the last dot; names of other layers stay.

    Parameters
    ----------
    layers : mapping
        The publisher's name of a layer -> ours.

    Returns
    -------
    callable
        What `Variant.rename` wants. Counters of batches, which torch keeps with each batch norm,
        are no parameters.

    Examples
    --------
    >>> rename = by_layer({"features.0": "conv1"})
    >>> rename("features.0.weight"), rename("bn.num_batches_tracked"), rename("other")
    ('conv1.weight', None, 'other')
    """

    def rename(name: str) -> str | None:
        layer, dot, role = name.rpartition(".")
        if role == "num_batches_tracked":
            return None
        return f"{layers[layer]}.{role}" if dot and layer in layers else name

    return rename
