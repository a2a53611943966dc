"""Names, files and weights to a Model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pycnn.errors import WeightsError
from pycnn.formats import MAX_BYTES, holds_graph, open_graph, open_weights
from pycnn.graph import Graph
from pycnn.hub import default_weights
from pycnn.model import Model
from pycnn.models import Variant, find
from pycnn.vision.labels import labels as labels_of
from pycnn.vision.preprocess import Preprocessing
from pycnn.weights import ArrayWeights, FileWeights, RandomWeights, Weights, check

WeightsLike = str | os.PathLike[str] | Mapping[str, Any] | None


def load(
    name: str | os.PathLike[str],
    weights: WeightsLike = None,
    *,
    threads: int | None = None,
    isa: str | None = None,
    seed: int = 0,
    max_bytes: int = MAX_BYTES,
    **choices: object,
) -> Model:
    """Load a network with its weights.

    Parameters
    ----------
    name : str or path
        A network, ``"inception_v1"``, or one variant of it, ``"inception_v1@bvlc"``; see
        ``pycnn list``. Or a file that has a network in it, by its suffix.
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
    max_bytes : int
        The most that the tensors of a file may take, as float32.
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
    ModelFormatError
        A file is damaged, or larger than `max_bytes`.
    UnknownNameError, ValueError
        An unknown name; an unknown choice or value of one. Near matches are named.

    Examples
    --------
    >>> import pycnn
    >>> model = pycnn.load("lenet5")
    >>> model.summary().parameters
    61706
    """
    if holds_graph(name):
        if choices:
            raise ValueError(f"{os.fspath(name)}: a file has no option {next(iter(choices))!r}")
        return _load_graph(name, weights, threads=threads, isa=isa, seed=seed, max_bytes=max_bytes)
    variant = find(os.fspath(name))
    graph = variant.graph(**choices)
    source = _weights(weights, graph, variant, seed, max_bytes)
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
    )


def _load_graph(
    path: str | os.PathLike[str],
    weights: WeightsLike,
    *,
    threads: int | None,
    isa: str | None,
    seed: int,
    max_bytes: int,
) -> Model:
    """A network from a file, with the weights in it or with those given."""
    graph, tensors = open_graph(path, max_bytes)
    if _is_default(weights):
        source: Weights = FileWeights(tensors)
    else:
        source = _weights(weights, graph, None, seed, max_bytes)
    # Caffe's rule: a network takes what it knows of a file, which may be that of a larger one.
    check(graph, source, optional=source.shapes)
    return Model(graph, source, threads=threads, isa=isa)


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
        source = _weights(weights, graph, known, 0, MAX_BYTES)
    elif isinstance(weights, str):
        source = FileWeights(open_weights(weights))
    else:
        source = ArrayWeights(weights)
    optional = graph.parameters if known else source.shapes
    check(graph.with_outputs(graph.outputs), source, optional=optional)
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


def _weights(
    weights: WeightsLike, graph: Graph, variant: Variant | None, seed: int, max_bytes: int
) -> Weights:
    rename = partial(_our_name, graph, variant) if variant else None
    if variant is not None and _is_default(weights):
        return FileWeights(open_weights(default_weights(variant), max_bytes), rename)
    if isinstance(weights, str) and weights == "random":
        return RandomWeights(graph, seed)
    if isinstance(weights, (str, os.PathLike)):
        return FileWeights(open_weights(weights, max_bytes), rename)
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
