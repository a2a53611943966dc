"""A network with its weights, ready to run."""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pycnn.averaging import AT_ONCE, average, log_of
from pycnn.backend import Parameters, Plan, Wanted, backend_for
from pycnn.batch import check_batch
from pycnn.errors import ImageError, InputWarning, ShapeError, UnsupportedError
from pycnn.formats import Content, write
from pycnn.graph import Graph, Node
from pycnn.inspection import Inspection
from pycnn.memory import Memory, memory_of
from pycnn.opset import DEFAULT_TUNING, Array, Shape, Tuning
from pycnn.passes import optimize
from pycnn.passport import Passport
from pycnn.surgery import head_of, with_head
from pycnn.vision.crops import check_count, crops_of_batch, crops_of_image
from pycnn.vision.decode import as_list
from pycnn.vision.input_check import look as look_at_input
from pycnn.vision.labels import labels as labels_of
from pycnn.weights import (
    ArrayWeights,
    FileWeights,
    RandomWeights,
    Weights,
    check,
    parameter,
    renewed,
)

if TYPE_CHECKING:
    from pycnn.models.variant import Variant
    from pycnn.pytorch.module import GraphModule
    from pycnn.vision.decode import ImageLike
    from pycnn.vision.preprocess import Preprocessing

# Plans are small beside the weights that they share, but each keeps its arenas.
MAX_PLANS = 8


@dataclass(frozen=True, slots=True)
class Prediction:
    """One line of an answer: the class's label, its index, its probability."""

    label: str
    index: int
    probability: float


class _Request(NamedTuple):
    """What a plan is compiled for."""

    shapes: tuple[Shape, ...]
    dtypes: tuple[str, ...]
    outputs: tuple[tuple[str, str], ...]  # public name, layer
    softmax: bool


class Model(Inspection):
    """A network with its weights; made by :func:`pycnn.load`.

    Safe to use from many threads and after a fork; pickles as its name and where its weights came
    from (by value where they came from memory).

    Attributes
    ----------
    graph
        The network.
    variant
        Which published network this is, if it is a registered one.
    preprocessing
        How an image becomes an input, if known.
    recognised_by
        What says that a file's weights are the variant's: "passport", "hash" or "names and
        shapes". None where only the caller says so.
    tuning
        How algorithms are chosen.
    """

    def __init__(
        self,
        graph: Graph,
        weights: Weights,
        *,
        variant: Variant | None = None,
        choices: Mapping[str, object] | None = None,
        default_weights: bool = False,
        recognised_by: str | None = None,
        preprocessing: Preprocessing | None = None,
        labels: Sequence[str] | None = None,
        threads: int | None = None,
        isa: str | None = None,
        check_input: bool = True,
        strict: bool = False,
        tuning: Tuning = DEFAULT_TUNING,
        device: str = "cpu",
        dtype: str = "float32",
    ) -> None:
        if threads is not None and not (isinstance(threads, int) and 1 <= threads <= 1024):
            raise ValueError(f"threads must be an integer of 1 to 1024, got {threads!r}")
        self.graph = graph
        self.variant = variant
        self.preprocessing = preprocessing
        self.labels = labels
        self._weights = weights
        self._choices = dict(choices or {})
        self._default_weights = default_weights
        self.recognised_by = recognised_by
        self._options = {
            "threads": threads,
            "isa": isa,
            "tuning": tuning,
            "device": device,
            "dtype": dtype,
        }
        self._backend = backend_for(device, dtype, threads, isa, tuning)
        self._check_input = check_input
        self._strict = strict
        self._looks = check_input or strict
        self._runs = 0
        self._plans: OrderedDict[_Request, Plan] = OrderedDict()
        self._unlock()
        _models.add(self)

    def _unlock(self) -> None:
        self._lock = threading.Lock()  # the plans
        self._compile_lock = threading.Lock()  # the packed weights

    # Running --------------------------------------------------------------------------------------

    def run(
        self,
        batch: Any,
        *,
        taps: str | Iterable[str] = (),
        until: str | None = None,
        crops: int | None = None,
        check_input: bool = True,
    ) -> Array | dict[str, Array]:
        """Run the network on a batch.

        Parameters
        ----------
        batch : (N, C, H, W) float32
            NumPy array, or anything with DLPack; preprocessed as the network expects. Any N;
            another H and W where the network allows it. A mapping by input name for several inputs.
            A model on a GPU also takes arrays in that GPU's memory (torch, CuPy, anything with
            DLPack or ``__cuda_array_interface__``), without a copy, on the stream on which their
            library works at the moment; also float16 and bfloat16 ones.
        taps : names of layers
            Also return what these layers compute, by the paper's names.
        until : name of a layer
            Compute no further than this layer (and the taps), and return its output in place of
            the network's.
        crops : {1, 2, 10, 144}, optional
            Run on so many crops of each image, which is larger than the network's input (for 10) or
            at least as large, and return the logarithm of their mean probabilities, of the main
            output. See :mod:`pycnn.vision.crops`.
        check_input : bool
            False for a batch that `preprocessing` made: it is as it should be, however it looks.

        Returns
        -------
        array, or dict of name to array
            Logits ``(N, classes)`` for a registered network, float32. A dict when there are
            auxiliary heads or taps; the main output comes under its layer's name. A GPU array in
            gives a GPU array out, of the same library, at once: the GPU computes on.

        Raises
        ------
        ShapeError
            The batch does not fit; the message says what it looks like.
        UnknownNameError
            No layer of that name; near matches are named.

        Notes
        -----
        The bits of a row depend on neither its batch, its place there, the threads nor the run; on
        a GPU they are the same from run to run of a shape.
        A tap on a layer that is otherwise fused (a convolution before its batch norm) keeps it
        apart, which may change the last bits of what follows.
        """
        taps = [taps] if isinstance(taps, str) else list(taps)
        if crops is not None:
            if taps or until is not None:
                raise ValueError("crops are averaged: they go with neither taps nor until")
            return log_of(self.probabilities(batch, crops=crops, check_input=check_input))
        outputs = {until: self._layer(until)} if until is not None else dict(self.graph.outputs)
        outputs.update({name: self._layer(name) for name in taps})
        results = self._run(batch, outputs, look=check_input and self._looks)
        return results if taps or len(results) > 1 else next(iter(results.values()))

    def probabilities(
        self, batch: Any, *, crops: int | None = None, check_input: bool = True
    ) -> Array:
        """Softmax of the main output: ``(N, classes)`` float32. Takes what :meth:`run` takes."""
        look = check_input and self._looks
        if crops is None:
            return self._probabilities(batch, look)
        check_count(crops)
        if len(self.graph.inputs) > 1:
            raise ShapeError(f"{self.name} has several inputs, and crops are of one image")
        ((_, height, width),) = sizes = list(self.graph.inputs.values())
        (given,) = self._given(batch)
        x = check_batch(given, sizes[0], self.name, self.preprocessing is not None)
        cut = crops_of_batch(x, crops, (height, width))
        return average(lambda images: self._probabilities(images, look), cut, len(x))

    def _probabilities(self, batch: Any, look: bool) -> Array:
        name, layer = next(iter(self.graph.outputs.items()))
        ends_in_softmax = layer not in self.graph.inputs and self.graph.node(layer).op == "softmax"
        return self._run(batch, {name: layer}, softmax=not ends_in_softmax, look=look)[name]

    def predict(
        self,
        images: ImageLike | Iterable[ImageLike],
        top: int = 5,
        *,
        crops: int | None = None,
    ) -> list[Prediction] | list[list[Prediction]]:
        """Classify images with the variant's own preprocessing.

        Parameters
        ----------
        images
            A path, a PIL image, or a uint8 array (H, W, 3) or (H, W); or several of these.
        top : int
            How many classes, best first.
        crops : {1, 2, 10, 144}, optional
            Average the probabilities of so many views of each image.

        Returns
        -------
        list of Prediction, or a list of such lists
            A list of lists when several images were given.

        Raises
        ------
        UnsupportedError
            The model does not know its preprocessing.
        ImageError
            An image cannot be read; the message names it.
        """
        if top < 1:
            raise ValueError(f"top must be at least 1, got {top}")
        listed, one = as_list(images)
        rows = self.classify(listed, crops=crops) if listed else ()
        found = [self.rank(row, top) for row in rows]
        return found[0] if one else found

    def classify(self, images: Sequence[ImageLike], *, crops: int | None = None) -> Array:
        """Probabilities ``(N, classes)`` of images: :meth:`predict` before it ranks them."""
        preprocessing = preprocessing_of(self)
        if len(images) == 0:
            raise ImageError("expected at least one image, got none")
        if crops is None:
            batches = (images[i : i + AT_ONCE] for i in range(0, len(images), AT_ONCE))
            found = [self._probabilities(preprocessing.batch(b), False) for b in batches]
            return np.concatenate(found)
        check_count(crops)
        cut = (
            (n, x)
            for n, image in enumerate(images)
            for x in crops_of_image(image, crops, preprocessing)
        )
        return average(lambda x: self._probabilities(x, False), cut, len(images))

    def rank(self, probabilities: Array, top: int = 5) -> list[Prediction]:
        """The `top` classes of one row of probabilities, best first; ties by index."""
        best = np.argsort(-probabilities, kind="stable")[:top]
        return [Prediction(self.label(int(i)), int(i), float(probabilities[i])) for i in best]

    def label(self, index: int) -> str:
        """Name of a class, or its number where names are not known."""
        if self.labels is not None and index < len(self.labels):
            return self.labels[index]
        return str(index)

    # Looking --------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """``name@source`` of a registered network, else the graph's name."""
        return self.variant.id if self.variant else self.graph.name

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Names of the classes, if known; any sequence may be set."""
        return self._labels

    @labels.setter
    def labels(self, labels: Sequence[str] | None) -> None:
        self._labels = tuple(labels) if labels is not None else None

    @property
    def weights_origin(self) -> str:
        """Where the weights come from: a path, "random, seed 0" or "arrays in memory"."""
        return self._weights.describe()

    @property
    def threads(self) -> int:
        """How many threads a run may use."""
        return self._backend.threads

    @property
    def numerics(self) -> str:
        """What decides the bits of its outputs beside network, weights and input."""
        return self._backend.numerics()

    # Changing -------------------------------------------------------------------------------------

    def replace_head(
        self, classes: int, *, labels: Sequence[str] | None = None, seed: int = 0
    ) -> Model:
        """Give a model of the same network and weights whose last layer is new.

        That is the last linear layer, or the last convolution where only an average over the whole
        image follows. Auxiliary heads are left out.

        Parameters
        ----------
        classes : int
            Outputs of the new layer.
        labels : sequence of str, optional
            Their names.
        seed : int
            Of its weights: He initialisation; its bias is zero.

        Raises
        ------
        UnsupportedError
            There is no such layer; the message names what is in its place.
        ValueError
            `labels` are not as many as `classes`.
        """
        graph = with_head(self.graph, classes)
        new = head_of(graph).params.values()
        return self.with_graph(graph, renewed(self.content().read, graph, new, seed), labels)

    def with_graph(
        self, graph: Graph, arrays: Mapping[str, Array], labels: Sequence[str] | None
    ) -> Model:
        """Give a model of another network that takes the same images and runs in the same way.

        Raises WeightsError where the arrays do not fit the graph, ValueError where the labels do
        not fit its main output.
        """
        weights = ArrayWeights(arrays)
        check(graph, weights)
        classes = graph.shapes()[next(iter(graph.outputs.values()))][1]
        if labels is not None and len(labels) != classes:
            raise ValueError(f"{len(labels)} labels for {classes} classes")
        state = self._state()
        kept = ("preprocessing", "check_input", "strict", *self._options)
        return Model(graph, weights, labels=labels, **{name: state[name] for name in kept})

    def to_torch(self) -> GraphModule:
        """Give the network as a `torch.nn.Module` with the same names, weights and outputs.

        :func:`pycnn.from_torch` is the way back. UnsupportedError where PyTorch is not installed.
        """
        from pycnn.pytorch import require_torch

        require_torch()
        from pycnn.pytorch.module import GraphModule

        state = self._state()
        del state["weights"]
        return GraphModule(self.graph.with_outputs(self.graph.outputs), self._weights, state)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the weights, as float32, and what else it takes to load the model again.

        ``pycnn.load(path)`` then needs nothing else to be said. The file's metadata name the
        registered network, or describe any other layer by layer; labels and preprocessing are in
        it too, so set them first where a network has none of its own.

        Parameters
        ----------
        path : path
            Ends in ``.safetensors`` or ``.npz``. The file appears whole or not at all.

        Raises
        ------
        UnsupportedError
            Another suffix, or a description that is too long for an .npz file.
        OSError
            The file cannot be written.

        Examples
        --------
        >>> import tempfile, pycnn
        >>> model = pycnn.load("lenet5")
        >>> model.labels = [f"digit {i}" for i in range(10)]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/mine.safetensors")
        ...     pycnn.load(f"{folder}/mine.safetensors").label(7)
        'digit 7'
        """
        write(path, self.content())

    def content(self) -> Content:
        """What :mod:`pycnn.formats` writes of this model: weights, passport, graph."""
        shapes = {n: s for n, s in self.graph.parameters.items() if n in self._weights.shapes}
        return Content(
            shapes,
            lambda name: parameter(self._weights, self.graph, name),
            self._passport().to_metadata(),
            self.graph,
        )

    def _passport(self) -> Passport:
        origin = os.path.basename(self._weights.describe())  # of a file, not whose home it is in
        variant, labels = self.variant, self.labels
        if variant is None:
            return Passport(self.graph, {}, self.preprocessing, labels, origin)
        defaults = {name: values[0] for name, values in variant.choices.items()}
        if variant.labels is not None and labels == labels_of(variant.labels):
            labels = None
        return Passport(variant, {**defaults, **self._choices}, self.preprocessing, labels, origin)

    def memory(self, batch: int = 1, size: tuple[int, int] | None = None) -> Memory:
        """Bytes that a run of this batch needs, exactly; computed without running anything."""
        return memory_of(self.graph, self._input_shapes(batch, size), self._backend)

    def compile(self, batch: int = 1, size: tuple[int, int] | None = None) -> Plan:
        """Compile for a batch before the first run of one; the plan can be profiled."""
        shapes = tuple(self._input_shapes(batch, size).values())
        outputs = tuple(self.graph.outputs.items())
        return self._plan(_Request(shapes, ("float32",) * len(shapes), outputs, False))

    def trim(self) -> None:
        """Let go of all plans, arenas and packed weights; the next run makes them anew."""
        with self._compile_lock, self._lock:
            self._backend.trim(list(self._plans.values()))
            self._plans.clear()

    def __repr__(self) -> str:
        return (
            f"<pycnn.Model {self.name}, weights: {self.weights_origin}, {self._backend.describe()}>"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (self._state(),)

    # Inside ---------------------------------------------------------------------------------------

    def _state(self) -> dict[str, Any]:
        weights = self._weights
        reference: Any = weights
        if isinstance(weights, FileWeights):
            # What shipped or was cached is so on the other side too, wherever it lies there.
            reference = "default" if self._default_weights else weights.path
        elif isinstance(weights, ArrayWeights):
            reference = {name: weights.get(name) for name in weights.shapes}
        elif isinstance(weights, RandomWeights):
            reference = weights.seed
        return {
            "variant": self.variant.id if self.variant else None,
            "choices": self._choices,
            "graph": None if self.variant else self.graph,
            "weights": reference,
            "preprocessing": self.preprocessing,
            "labels": self.labels,
            "check_input": self._check_input,
            "strict": self._strict,
            **self._options,
        }

    def _layer(self, name: str) -> str:
        if name not in self.graph.inputs:
            self.graph.node(name)  # raises with near matches
        return name

    def _given(self, batch: Any) -> list[Any]:
        """What is given for each input."""
        given = batch if isinstance(batch, Mapping) else {next(iter(self.graph.inputs)): batch}
        if set(given) != set(self.graph.inputs):
            raise ShapeError(
                f"{self.name} has the inputs {list(self.graph.inputs)}, got {list(given)}"
            )
        return [given[name] for name in self.graph.inputs]

    def _run(
        self,
        batch: Any,
        outputs: Mapping[str, str],
        softmax: bool = False,
        poison: int | None = None,
        look: bool = False,
    ) -> dict[str, Array]:
        values = self._given(batch)

        def plan_for(shapes: tuple[Shape, ...], dtypes: tuple[str, ...]) -> Plan:
            return self._plan(_Request(shapes, dtypes, tuple(outputs.items()), softmax))

        if self._backend.takes(values[0]):
            return self._backend.run_there(plan_for, values)
        arrays = [
            check_batch(value, size, self.name, self.preprocessing is not None)
            for value, size in zip(values, self.graph.inputs.values(), strict=True)
        ]
        if look and self.preprocessing is not None:
            self._look_at(arrays[0], self.preprocessing)
        return self._backend.run(plan_for, arrays, poison)

    def _look_at(self, batch: Array, preprocessing: Preprocessing) -> None:
        """Warn, once, or raise where the batch is not as the preprocessing would make it.

        Whoever feeds a network wrongly does so from the first batch on: of the runs, the first,
        second, fourth, eighth, ... are looked at, which costs nothing in the long run.
        """
        self._runs += 1
        if not self._strict and self._runs & (self._runs - 1):
            return
        found = look_at_input(batch, preprocessing)
        if found is None:
            return
        if self._strict:
            raise ImageError(f"{self.name}: {found}")
        self._looks = False
        message = f"{self.name}: {found} (check_input=False turns this check off)"
        warnings.warn(message, InputWarning, stacklevel=4)

    def _plan(self, request: _Request) -> Plan:
        with self._lock:
            if (plan := self._plans.get(request)) is not None:
                self._plans.move_to_end(request)
                return plan
        with self._compile_lock:
            plan = self._plans.get(request) or self._compile(request)
            with self._lock:
                self._plans[request] = plan
                while len(self._plans) > MAX_PLANS:
                    self._plans.popitem(last=False)
        return plan

    def _compile(self, request: _Request) -> Plan:
        graph = self.graph.with_outputs(dict(request.outputs))
        if request.softmax:
            public, layer = request.outputs[0]
            name = f"softmax of {layer}"
            while name in self.graph.names():
                name += "'"
            graph = replace(
                graph,
                nodes=[*graph.nodes, Node(name, "softmax", (layer,))],
                outputs={public: name},
            )
        inputs = dict(zip(self.graph.inputs, request.shapes, strict=True))
        dtypes = dict(zip(self.graph.inputs, request.dtypes, strict=True))
        optional = self.graph.parameters
        if self.variant is None:  # the file of weights may be that of a larger network
            optional = {**self._weights.shapes, **optional}
        check(graph, self._weights, optional=optional)
        try:
            return self._backend.compile(Wanted(optimize(graph), inputs, dtypes, self._parameters))
        except ShapeError as error:
            nominal = {name: (1, *size) for name, size in self.graph.inputs.items()}
            if all(shape[2:] == nominal[name][2:] for name, shape in inputs.items()):
                raise
            sizes = ", ".join(f"{h} x {w}" for _, _, h, w in nominal.values())
            raise ShapeError(f"{error}; images of this network are {sizes}") from None

    def _parameters(self, node: Node) -> Parameters:
        """A node's parameters, for packing."""
        arrays = {
            role: parameter(self._weights, self.graph, name) for role, name in node.params.items()
        }
        weight = node.params.get("weight")
        mapped = (
            weight is not None
            and self._weights.is_mapped(weight)
            and not arrays["weight"].flags.writeable
        )
        return Parameters(arrays, mapped)


def preprocessing_of(model: Model) -> Preprocessing:
    """The model's preprocessing; UnsupportedError where it has none."""
    if model.preprocessing is None:
        raise UnsupportedError(
            f"{model.name} does not know how its images are preprocessed: set model.preprocessing "
            "= pycnn.vision.Preprocessing(...), which model.save keeps, or use run() on batches"
        )
    return model.preprocessing


def _unpickle(state: dict[str, Any]) -> Model:
    from pycnn.loading import restore

    return restore(**state)


# A fork may happen while another thread holds a model's lock: the child starts with open ones.
_models: weakref.WeakSet[Model] = weakref.WeakSet()


def _unlock_models() -> None:
    for model in _models:
        model._unlock()


os.register_at_fork(after_in_child=_unlock_models)
