"""A graph as a `torch.nn.Module`, to be trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pycnn.errors import UnsupportedError
from pycnn.graph import Graph
from pycnn.opset import Array
from pycnn.placement import vectors
from pycnn.pytorch.ops import FORWARD
from pycnn.weights import Weights, parameter

__all__ = ["GraphModule"]


class GraphModule(nn.Module):
    """A network of pycnn in PyTorch: the same names, weights and outputs.

    ``state_dict()`` has the graph's parameters under the graph's names; running statistics and
    fixed codes are buffers. A layer that has parameters can be had as
    ``module.get_submodule("conv1/7x7_s2")``, to freeze it or to give it a learning rate of its own.
    In training mode dropout drops, and batch normalisation, unless its own submodule is in
    evaluation mode, uses the batch's statistics and keeps count of them. It is made in evaluation
    mode.

    Parameters
    ----------
    graph : Graph
        All of its outputs are computed.
    weights : Weights
        Of its parameters; they are copied.
    facts : mapping
        What a model knows of itself beside graph and weights, for the way back.

    Raises
    ------
    UnsupportedError
        A parameter's name is none that PyTorch allows.
    """

    def __init__(
        self, graph: Graph, weights: Weights, facts: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.graph = graph
        self.facts = dict(facts or {})
        buffers = graph.buffers()
        for name in graph.parameters:
            value = torch.from_numpy(np.array(parameter(weights, graph, name), np.float32))
            scope, leaf = self._scope(name)
            try:
                if name in buffers:
                    scope.register_buffer(leaf, value)
                else:
                    scope.register_parameter(leaf, nn.Parameter(value))
            except KeyError as error:
                raise _unusable(name, error) from None
        self._layers = [
            (node, [(role, *self._place(name)) for role, name in node.params.items()])
            for node in graph.nodes
        ]
        self._vectors = vectors(graph)
        self._last_use = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
        self.eval()

    def _scope(self, name: str) -> tuple[nn.Module, str]:
        """The module that holds a parameter, made where it is missing, and its name in there."""
        *path, leaf = name.split(".")
        scope: nn.Module = self
        for part in path:
            if part not in dict(scope.named_children()):
                try:
                    scope.add_module(part, nn.Module())
                except KeyError as error:
                    raise _unusable(name, error) from None
            scope = scope.get_submodule(part)
        return scope, leaf

    def _place(self, name: str) -> tuple[nn.Module, str]:
        scope, _, leaf = name.rpartition(".")
        return self.get_submodule(scope), leaf

    def forward(self, x: Tensor | Mapping[str, Tensor]) -> Any:
        """Compute the outputs.

        Parameters
        ----------
        x : (N, C, H, W) float32
            A mapping by input name for several inputs.

        Returns
        -------
        tensor, or dict of name to tensor
            Logits ``(N, classes)`` for a registered network; a dict where the graph has several
            outputs.
        """
        given = x if isinstance(x, Mapping) else {next(iter(self.graph.inputs)): x}
        values = {
            name: value.reshape(*value.shape[:2], *(value.shape[2:] or (1, 1)))
            for name, value in given.items()
        }
        wanted = set(self.graph.outputs.values())
        for i, (node, places) in enumerate(self._layers):
            params = {role: getattr(scope, leaf) for role, scope, leaf in places}
            training = places[0][1].training if places else self.training
            values[node.name] = FORWARD[node.op](
                node.attrs, [values[name] for name in node.inputs], params, training
            )
            for name in node.inputs:  # what nothing reads any more, unless autograd keeps it
                if self._last_use[name] == i and name not in wanted:
                    values.pop(name, None)
        outputs = {
            public: values[name].flatten(1) if name in self._vectors else values[name]
            for public, name in self.graph.outputs.items()
        }
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs

    def arrays(self) -> dict[str, Array]:
        """The parameters and buffers as they are now, copied: float32 by the graph's names."""
        return {
            name: value.detach().cpu().float().numpy().copy()
            for name, value in self.state_dict().items()
        }


def _unusable(name: str, error: KeyError) -> UnsupportedError:
    return UnsupportedError(f"PyTorch cannot have a parameter of the name {name!r}: {error}")
