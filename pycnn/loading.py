"""Names, files and weights to a Model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from pycnn.errors import UnsupportedError, WeightsError
from pycnn.formats import (
    MAX_BYTES,
    TensorFile,
    holds_graph,
    holds_weights,
    open_graph,
    open_weights,
)
from pycnn.graph import Graph
from pycnn.hub import default_weights, verified
from pycnn.model import Model
from pycnn.models import Variant, find, variants
from pycnn.opset import Tuning
from pycnn.passport import Passport
from pycnn.recognition import fitting, recognise, rename_for
from pycnn.vision.labels import labels as labels_of
from pycnn.vision.preprocess import Preprocessing
from pycnn.weights import ArrayWeights, FileWeights, RandomWeights, Rename, Weights, check

WeightsLike = str | os.PathLike[str] | Mapping[str, Any] | None


def load(
    name: str | os.PathLike[str],
    weights: WeightsLike = None,
    *,
    threads: int | None = None,
    isa: str | None = None,
    seed: int = 0,
    max_bytes: int = MAX_BYTES,
    check_input: bool = True,
    strict: bool = False,
    optimize: str = "latency",
    winograd: bool = True,
    device: str = "cpu",
    dtype: str = "float32",
    **choices: object,
) -> Model:
    """Load a network with its weights.

    Parameters
    ----------
    name : str or path
        A network, ``"inception_v1"``, or one variant of it, ``"inception_v1@bvlc"``; see
        ``pycnn list``. Or a file, by its suffix: one that has a network in it, or one of weights
        that says by its passport, hash, names and shapes whose they are.
    weights : optional
        None or "default" (what ships with pycnn, lies in its cache or is fetched from its
        publisher), "random" (He initialisation by `seed`), a path to a .safetensors, .npz, .pt,
        .pth or .th file, or a dict of arrays. Names are ours or the publisher's.
    threads : int, optional
        How many threads a run may use; default: ``PYCNN_NUM_THREADS``, else what affinity, cgroup
        quota and cores allow.
    isa : str, optional
        Instruction set; default: ``PYCNN_CPU_ISA``, else the machine's best.
    seed : int
        For random weights.
    max_bytes : int
        The most that the tensors of a file may take, as float32.
    check_input : bool
        Whether to look, now and then, if batches are as the variant's preprocessing makes them:
        in the right range, normalised once, with the colours in order. What is found is an
        :class:`pycnn.InputWarning`, once.
    strict : bool
        Look at every batch, and raise :class:`pycnn.ImageError`.
    optimize : {"latency", "throughput"}
        What the layers' algorithms are chosen for: an image at a time, or batches. The bits of an
        image do not depend on its batch, so this is said here, not guessed from the batch.
    winograd : bool
        False: plain sums in every convolution, with the smallest errors (docs/numerics.md).
    device : {"cpu", "cuda", "cuda:N", "auto"}
        What it runs on: the CPU, or an NVIDIA GPU, the first or the one of that number; "auto" is
        a GPU if there is one that can be used, and `repr` says what it took. `threads`, `isa`,
        `optimize` and `winograd` are of the CPU.
    dtype : {"float32", "tf32", "float16", "bfloat16"}
        On a GPU, what values and weights are stored as; sums are float32 always, and so are the
        outputs. "tf32" stores float32 and rounds the factors of convolutions to 11 bits; "float32"
        rounds nothing.
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
        named, and the variants that they fit; or they are of another variant by their passport or
        hash.
    OfflineError
        The weights must be fetched, and cannot be; the message says where to put them.
    DeviceError
        The GPU that is asked for cannot be used; the message gives the reason.
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
    options = {
        "threads": threads,
        "isa": isa,
        "check_input": check_input,
        "strict": strict,
        "tuning": Tuning(optimize, winograd),
        "device": device,
        "dtype": dtype,
    }
    if holds_graph(name):
        _refuse(choices, name)
        return _load_graph(name, weights, seed, max_bytes, options)
    if holds_weights(name):
        if weights is not None:
            raise ValueError(f"{os.fspath(name)}: a file of weights is given, so weights= is not")
        file = open_weights(name, max_bytes)
        passport = Passport.of(file)
        if passport is not None and isinstance(passport.network, Graph):
            _refuse(choices, name)
            return _load_described(file, passport.network, passport, options)
        variant, choices = _whose(file, passport, choices)
        weights = name
    else:
        variant = find(os.fspath(name))
    return _load_variant(variant, weights, seed, max_bytes, choices, options)


def _refuse(choices: Mapping[str, object], name: str | os.PathLike[str]) -> None:
    if choices:
        raise ValueError(f"{os.fspath(name)}: a file has no option {next(iter(choices))!r}")


def _load_described(
    file: TensorFile, graph: Graph, passport: Passport, options: Mapping[str, Any]
) -> Model:
    """A network that is described in the passport of its weights."""
    source = FileWeights(file)
    check(graph, source)
    return Model(
        graph,
        source,
        recognised_by="passport",
        preprocessing=passport.preprocessing,
        labels=passport.labels,
        **options,
    )


def _load_graph(
    path: str | os.PathLike[str],
    weights: WeightsLike,
    seed: int,
    max_bytes: int,
    options: Mapping[str, Any],
) -> Model:
    """A network from a file, with the weights in it or with those given."""
    source: Weights
    if _is_default(weights):
        graph, tensors = open_graph(path, max_bytes)
        source = FileWeights(tensors)
    elif isinstance(weights, str) and weights == "random":
        graph, _ = open_graph(path, max_bytes)
        source = RandomWeights(graph, seed)
    else:
        source = _given(weights, None, max_bytes)
        graph, _ = open_graph(path, max_bytes, source.shapes)
    # Caffe's rule: a network takes what it knows of a file, which may be that of a larger one.
    check(graph, source, optional=source.shapes)
    return Model(graph, source, **options)


def _load_variant(
    variant: Variant,
    weights: WeightsLike,
    seed: int,
    max_bytes: int,
    choices: Mapping[str, object],
    options: Mapping[str, Any],
) -> Model:
    graph = variant.graph(**choices)
    default = _is_default(weights)
    if default:
        weights = default_weights(variant)
    rename = rename_for(variant, graph)
    source = _source(weights, graph, rename, seed, max_bytes)
    passport = None
    recognised_by = None
    if isinstance(source, FileWeights):
        passport = Passport.of(source.file)
        recognised_by = _recognise(source, graph, variant, passport)
        if passport is not None and recognised_by == "passport":
            _check_choices(graph, variant, passport.choices, source.path)
        if default and recognised_by != "passport" and verified(variant):
            recognised_by = "hash"
    else:
        check(graph.with_outputs(graph.outputs), source, optional=graph.parameters)
    preprocessing = passport.preprocessing if passport else None
    labels = passport.labels if passport else None
    if labels is None and variant.labels:
        labels = labels_of(variant.labels)
    return Model(
        graph,
        source,
        variant=variant,
        choices=choices,
        default_weights=default,
        recognised_by=recognised_by,
        preprocessing=preprocessing or variant.preprocessing,
        labels=labels,
        **options,
    )


def _whose(
    file: TensorFile, passport: Passport | None, choices: dict[str, object]
) -> tuple[Variant, dict[str, object]]:
    """The one variant that a file's weights belong to, and the choices that they were made for."""
    if passport is not None and isinstance(passport.network, Variant):
        return passport.network, {**passport.choices, **choices}
    match = recognise(file)
    if len(match.variants) == 1:
        return match.variants[0], choices
    names = ", ".join(variant.id for variant in match.variants)
    if names:
        raise WeightsError(
            f"{file.path} fits {names}, and nothing in it says which: name the network and give "
            "the file as weights="
        )
    raise WeightsError(
        f"{file.path} fits no network that pycnn knows: it has {len(file.shapes)} tensors, "
        f"{', '.join(list(file.shapes)[:5])}, ..."
    )


def _recognise(
    source: FileWeights, graph: Graph, variant: Variant, passport: Passport | None
) -> str | None:
    """What says that a file is this variant's; None where only the caller does.

    Raises
    ------
    WeightsError
        It is another variant's, which is named, or it does not fit.
    """
    named = passport.network if passport is not None else None
    if isinstance(named, Variant) and named is not variant:
        raise WeightsError(
            f"{source.path} is of {named.id}, not of {variant.id}, as it says itself"
        )
    try:
        check(graph.with_outputs(graph.outputs), source, optional=graph.parameters)
    except WeightsError as error:
        others = [other.id for other in fitting(source.file)]
        hint = f"\nThese weights fit {', '.join(others)}." if others else ""
        raise WeightsError(f"{error}{hint}") from None
    if named is variant:
        return "passport"
    kin = [other for other in variants() if other.name == variant.name]
    match = recognise(source.file, kin)
    if match.by == "hash" and variant not in match.variants:
        raise WeightsError(
            f"{source.path} is of {match.variants[0].id}, not of {variant.id}, by its hash; "
            "names and shapes are the same"
        )
    return match.by if match.variants == [variant] else None


def from_torch(module: Any) -> Model:
    """Give the model that a module of :meth:`Model.to_torch` has become by training.

    Parameters
    ----------
    module : torch.nn.Module
        Its parameters and running statistics are copied.

    Returns
    -------
    Model
        With the labels, the preprocessing and the options of the model that the module was made of.

    Raises
    ------
    UnsupportedError
        The module was not made by `to_torch`: what any module computes cannot be read off it.
    """
    from pycnn.pytorch import require_torch

    require_torch()
    from pycnn.pytorch.module import GraphModule

    if not isinstance(module, GraphModule):
        raise UnsupportedError(
            f"a {type(module).__name__} was not made by Model.to_torch(): export it to ONNX and "
            "load that file, or give its state_dict() as weights= of a network that pycnn knows"
        )
    return restore(weights=module.arrays(), **module.facts)


def restore(
    *,
    variant: str | None,
    choices: Mapping[str, object],
    graph: Graph | None,
    weights: str | int | Mapping[str, Any],
    preprocessing: Preprocessing | None,
    labels: Sequence[str] | None,
    **options: Any,
) -> Model:
    """Make a pickled model anew; `weights` is a path or "default", a seed, or the arrays."""
    if variant is not None:
        seed = weights if isinstance(weights, int) else 0
        given: WeightsLike = "random" if isinstance(weights, int) else weights
        model = _load_variant(find(variant), given, seed, MAX_BYTES, choices, options)
        model.preprocessing = preprocessing
        model.labels = labels
        return model
    if graph is None:
        raise ValueError("a pickled model needs a variant or a graph")
    source: Weights
    if isinstance(weights, int):
        source = RandomWeights(graph, weights)
    else:
        source = _source(weights, graph, None, 0, MAX_BYTES)
    check(graph, source, optional=source.shapes)
    return Model(graph, source, preprocessing=preprocessing, labels=labels, **options)


def _is_default(weights: object) -> bool:
    return weights is None or (isinstance(weights, str) and weights == "default")


def _check_choices(
    graph: Graph, variant: Variant, choices: Mapping[str, object], where: str
) -> None:
    """Refuse weights that were made for another network: names and shapes cannot tell."""
    if _main(variant.graph(**choices)) != _main(graph):
        made_for = ", ".join(f"{choice}={value!r}" for choice, value in choices.items())
        raise WeightsError(
            f"{where} was trained with {made_for}; leave other choices out, or give other weights "
            '("random" for untrained ones)'
        )


def _main(graph: Graph) -> Graph:
    """The part of a graph that its main output needs."""
    name, layer = next(iter(graph.outputs.items()))
    return graph.with_outputs({name: layer})


def _source(
    weights: WeightsLike, graph: Graph, rename: Rename | None, seed: int, max_bytes: int
) -> Weights:
    if isinstance(weights, str) and weights == "random":
        return RandomWeights(graph, seed)
    return _given(weights, rename, max_bytes)


def _given(weights: WeightsLike, rename: Rename | None, max_bytes: int) -> Weights:
    if isinstance(weights, (str, os.PathLike)):
        return FileWeights(open_weights(weights, max_bytes), rename)
    if not isinstance(weights, Mapping):
        raise TypeError(
            f'weights must be a path, a dict of arrays, "default" or "random", got {weights!r}'
        )
    return ArrayWeights(weights, rename)
