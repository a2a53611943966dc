"""Names, files and weights to a Model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pycnn.errors import WeightsError
from pycnn.graph import Graph
from pycnn.hub import default_weights
from pycnn.model import Model
from pycnn.models import Variant, find
from pycnn.opset import Tuning
from pycnn.vision.labels import labels as labels_of
from pycnn.vision.preprocess import Preprocessing
from pycnn.weights import ArrayWeights, FileWeights, RandomWeights, Weights, check

WeightsLike = str | os.PathLike[str] | Mapping[str, Any] | None


def load(
    name: str,
    weights: WeightsLike = None,
    *,
    threads: int | None = None,
    isa: str | None = None,
    seed: int = 0,
    optimize: str = "latency",
    winograd: bool = True,
    **choices: object,
) -> Model:
    """Load a network with its weights.

    Parameters
    ----------
    name : str
        A network, ``"inception_v1"``, or one variant of it, ``"inception_v1@bvlc"``; see
        ``pycnn list``.
    weights : optional
        None or "default" (what ships with pycnn or lies in its cache), "random" (He initialisation
        by `seed`), a path to a .safetensors or .npz file, or a dict of arrays. Names are ours or
        the publisher's.
    threads : int, optional
        How many threads a run may use; default: ``PYCNN_NUM_THREADS``, else what affinity, cgroup
        quota and cores allow.
    isa : str, optional
        Instruction set; default: ``PYCNN_CPU_ISA``, else the machine's best.
    seed : int
        For random weights.
    optimize : {"latency", "throughput"}
        What the layers' algorithms are chosen for: an image at a time, or batches. The bits of an
        image do not depend on its batch, so this is said here, not guessed from the batch.
    winograd : bool
        False: plain sums in every convolution, with the smallest errors (docs/numerics.md).
    **choices
        What the variant leaves open, such as ``activation="relu"`` (lenet5), ``stride_on="1x1"``
        (resnet50) or ``aux=True`` (inception_v1: also the auxiliary heads' outputs).

    Returns
    -------
    Model

    Raises
    ------
    WeightsError
        There are no weights, or they do not fit: every missing, surplus and misshapen tensor is
        named.
    UnknownNameError, ValueError
        An unknown name; an unknown choice or value of one. Near matches are named.

    Examples
    --------
    >>> import pycnn
    >>> model = pycnn.load("lenet5")
    >>> model.summary().parameters
    61706
    """
    variant = find(name)
    graph = variant.graph(**choices)
    source = _weights(weights, graph, variant, seed)
    used = graph.with_outputs(graph.outputs)
    check(used, source, optional=graph.parameters)
    _check_choices(variant, choices, source)
    return Model(
        graph,
        source,
        variant=variant,
        choices=choices,
        default_weights=_is_default(weights),
        preprocessing=variant.preprocessing,
        labels=labels_of(variant.labels) if variant.labels else None,
        threads=threads,
        isa=isa,
        tuning=Tuning(optimize, winograd),
    )


def restore(
    *,
    variant: str | None,
    choices: Mapping[str, object],
    graph: Graph | None,
    weights: str | int | Mapping[str, Any],
    preprocessing: Preprocessing | None,
    labels: Sequence[str] | None,
    threads: int | None,
    isa: str | None,
    tuning: Tuning,
) -> Model:
    """Make a pickled model anew; `weights` is a path or "default", a seed, or the arrays."""
    known = find(variant) if variant else None
    if known is not None:
        graph = known.graph(**choices)
    elif graph is None:
        raise ValueError("a pickled model needs a variant or a graph")
    source: Weights
    if isinstance(weights, int):
        source = RandomWeights(graph, weights)
    elif known is not None:
        source = _weights(weights, graph, known, 0)
    elif isinstance(weights, str):
        source = FileWeights(weights)
    else:
        source = ArrayWeights(weights)
    check(graph.with_outputs(graph.outputs), source, optional=graph.parameters)
    return Model(
        graph,
        source,
        variant=known,
        choices=choices,
        default_weights=known is not None and _is_default(weights),
        preprocessing=preprocessing,
        labels=labels,
        threads=threads,
        isa=isa,
        tuning=tuning,
    )


def _is_default(weights: object) -> bool:
    return weights is None or (isinstance(weights, str) and weights == "default")


def _check_choices(variant: Variant, choices: Mapping[str, object], weights: Weights) -> None:
    """Refuse a file that says it was trained with another choice: names and shapes cannot tell."""
    if not isinstance(weights, FileWeights):
        return
    for choice, values in variant.choices.items():
        wanted = str(choices.get(choice, values[0]))
        trained = weights.metadata.get(f"pycnn.{choice}", wanted)
        if trained != wanted:
            raise WeightsError(
                f"{weights.path} was trained with {choice}={trained!r}, not {wanted!r}; "
                f'leave {choice} out, or give other weights ("random" for untrained ones)'
            )


def _weights(weights: WeightsLike, graph: Graph, variant: Variant, seed: int) -> Weights:
    rename = partial(_our_name, graph, variant)
    if _is_default(weights):
        return FileWeights(default_weights(variant), rename)
    if isinstance(weights, str) and weights == "random":
        return RandomWeights(graph, seed)
    if isinstance(weights, (str, os.PathLike)):
        return FileWeights(weights, rename)
    if not isinstance(weights, Mapping):
        raise TypeError(
            f'weights must be a path, a dict of arrays, "default" or "random", got {weights!r}'
        )
    return ArrayWeights(weights, rename)


def _our_name(graph: Graph, variant: Variant, name: str) -> str | None:
    """Our name of a publisher's parameter; None for what no network needs."""
    if name in graph.parameters or variant.rename is None:
        return name
    return variant.rename(name)
