"""What a model tells of itself before it runs, and how it is taken apart: a part of `Model`.

The work is done in :mod:`pycnn.inside` and :mod:`pycnn.surgery`, on the graph.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pycnn.backend import Backend, Cpu, Plan
from pycnn.errors import ShapeError, UnsupportedError, WeightsError
from pycnn.graph import Graph, IntOrPair, Padding
from pycnn.opset import Array, Shape
from pycnn.summary import Summary, summarize
from pycnn.surgery import Build, edited
from pycnn.weights import ArrayWeights, renewed

if TYPE_CHECKING:
    from pycnn.formats import Content
    from pycnn.inside import Cost, Parity, Profile, WhatIf
    from pycnn.model import Model
    from pycnn.models.variant import Variant

__all__ = ["Inspection"]


class Inspection(ABC):
    """The methods of :class:`pycnn.Model` that look at its graph, or make another one of it."""

    graph: Graph
    variant: Variant | None
    labels: Any
    name: Any
    _backend: Backend

    @property
    def taps(self) -> tuple[str, ...]:
        """Names that :meth:`run` takes as taps: the inputs and every layer of the outputs."""
        return tuple(self.graph.with_outputs(self.graph.outputs).names())

    def summary(self, batch: int = 1, size: tuple[int, int] | None = None) -> Summary:
        """Layers with shape, parameters, multiply-adds, bytes, receptive field; the totals.

        A table where it is printed, and in a notebook.

        Parameters
        ----------
        batch : int
        size : (height, width), optional
            Of the input; default: the nominal one.
        """
        return summarize(self.graph, self._input_shapes(batch, size))

    def explain_cost(self, layer: str, *, size: tuple[int, int] | None = None) -> Cost:
        """Where a layer's multiplications come from, and what its 1x1 bottleneck saves.

        See :func:`pycnn.inside.explain_cost`. UnknownNameError where there is no such layer.

        Examples
        --------
        >>> import pycnn
        >>> model = pycnn.load("inception_v1", weights="random")
        >>> model.explain_cost("inception_3a/5x5").saving.macs_without
        120422400
        """
        from pycnn.inside import explain_cost

        return explain_cost(self.graph, layer, self._input_shapes(1, size))

    def what_if(
        self,
        layer: str,
        *,
        width: int | None = None,
        stride: IntOrPair | None = None,
        kernel_size: IntOrPair | None = None,
        padding: Padding | None = None,
        bottleneck: int | Literal["keep"] | None = "keep",
        size: tuple[int, int] | None = None,
    ) -> WhatIf:
        """What another geometry of one layer does to the cost of the whole network.

        See :func:`pycnn.inside.what_if`, also for what is raised.

        Examples
        --------
        >>> import pycnn
        >>> model = pycnn.load("lenet5")
        >>> model.what_if("c5", width=60).after.parameters
        32606
        """
        from pycnn.inside import what_if

        return what_if(
            self.graph,
            layer,
            width=width,
            stride=stride,
            kernel_size=kernel_size,
            padding=padding,
            bottleneck=bottleneck,
            inputs=self._input_shapes(1, size),
        )

    def draw(self, *, fold: bool | None = None, volumes: bool | None = None) -> str:
        """Draw the network as its paper does: an SVG document, which a notebook shows.

        See :func:`pycnn.inside.draw`.

        Examples
        --------
        >>> import pathlib, pycnn
        >>> svg = pycnn.load("lenet5").draw()  # pathlib.Path("lenet5.svg").write_text(svg)
        >>> svg[:4]
        '<svg'
        """
        from pycnn.inside import draw

        title = self.variant.title if self.variant else None
        return draw(self.graph, fold=fold, volumes=volumes, title=title)

    def profile(
        self, batch: int = 1, *, size: tuple[int, int] | None = None, runs: int = 20
    ) -> Profile:
        """Where the time of a run goes: each layer's time, algorithm, speed, share of the limit.

        The machine's limits are measured first, once for each number of threads. Of the result
        ``chart()`` is a picture in SVG, ``trace()`` JSON for chrome://tracing.

        Parameters
        ----------
        batch : int
            Images of random numbers.
        size : (height, width), optional
        runs : int
            The median of so many counts.

        Raises
        ------
        UnsupportedError
            The model is on a GPU.

        Examples
        --------
        >>> import pycnn
        >>> found = pycnn.load("lenet5").profile(runs=3)
        >>> found.layers[-1].name, found.layers[-2].name
        ('output (layout)', 'output')
        """
        from pycnn.inside import profile

        backend = self._backend
        if not isinstance(backend, Cpu):
            raise UnsupportedError(f"{self.name} is on a GPU: only runs on the CPU are profiled")
        return profile(
            self.compile(batch, size),
            network=self.name,
            threads=backend.threads,
            isa=backend.isa,
            runs=runs,
        )

    def parity(
        self,
        against: str = "golden",
        *,
        isas: Iterable[str] | None = None,
        algorithms: Iterable[str] | None = None,
        tolerance: float = 1e-4,
    ) -> Parity:
        """How far every layer is from a reference, for each instruction set and algorithm.

        See :func:`pycnn.inside.parity`. "golden" compares the network with weights of its own.

        Examples
        --------
        >>> import pycnn
        >>> pycnn.load("lenet5").parity().holds
        True
        """
        from pycnn.inside import parity

        return parity(
            self.graph,
            self.content().read,
            against,
            name=self.name,
            isas=isas,
            algorithms=algorithms,
            tolerance=tolerance,
        )

    def edit(
        self,
        *,
        drop: str | Iterable[str] = (),
        replace: Mapping[str, Build] | None = None,
        insert: Mapping[str, Build] | None = None,
        weights: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> Model:
        """Give a model with some layers dropped, replaced or inserted; this one stays as it is.

        Parameters that keep name and shape keep their values. Others are in `weights`, or get He
        initialisation (biases zero, batch normalisations the identity).

        Parameters
        ----------
        drop : name, or names, of layers
            What read the layer reads its input, the first of several.
        replace : mapping of layer to function
            ``function(graph, *inputs)`` adds what stands in its place by the methods of
            :class:`Graph` and returns the last layer's name.
        insert : mapping of layer to function
            ``function(graph, x)`` adds what stands behind it; also behind an input.
        weights : mapping of parameter to array, optional
            Values of parameters, new or old.
        seed : int
            Of the initialisation.

        Raises
        ------
        UnknownNameError
            No layer of that name; near matches are named.
        ShapeError
            Shapes no longer fit; the message names the layer.
        WeightsError
            `weights` has a name that the network has not, or another shape.

        Examples
        --------
        >>> import pycnn
        >>> model = pycnn.load("lenet5")
        >>> other = model.edit(replace={"s2": lambda g, x: g.max_pool2d("s2", x, 2)})
        >>> other.graph.node("s2").op, model.graph.node("s2").op
        ('max_pool2d', 'avg_pool2d')
        """
        drop = [drop] if isinstance(drop, str) else drop
        graph = edited(self.graph, drop, replace, insert)
        given = ArrayWeights(weights or {})
        if unknown := [name for name in given.shapes if name not in graph.parameters]:
            raise WeightsError(f"{graph.name} has no parameter {', '.join(unknown)}")
        old = self.graph.parameters
        new = {name for name, shape in graph.parameters.items() if old.get(name) != shape}
        arrays = renewed(self.content().read, graph, new, seed)
        arrays |= {name: given.get(name) for name in given.shapes}
        classes = self._classes(graph) == self._classes(self.graph)
        return self.with_graph(graph, arrays, self.labels if classes else None)

    def _classes(self, graph: Graph) -> int:
        return graph.shapes()[next(iter(graph.outputs.values()))][1]

    def _input_shapes(self, batch: int, size: tuple[int, int] | None) -> dict[str, Shape]:
        if batch < 1 or (size is not None and min(size) < 1):
            raise ShapeError(f"batch and size must be at least 1, got {batch} and {size}")
        return {
            name: (batch, c, *(size or (h, w))) for name, (c, h, w) in self.graph.inputs.items()
        }

    @abstractmethod
    def content(self) -> Content:
        """Weights, passport, graph."""

    @abstractmethod
    def compile(self, batch: int = 1, size: tuple[int, int] | None = None) -> Plan:
        """Compile for a batch."""

    @abstractmethod
    def with_graph(
        self, graph: Graph, arrays: Mapping[str, Array], labels: Sequence[str] | None
    ) -> Model:
        """Give a model of another network."""
