"""Writes a network as an ONNX model, op by op.

torch's exporter decomposes LRN, which slows every runtime down and ties the file to one batch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from benchmarks.peers.definitions import Add, Concat, FlatLinear, GlobalAveragePool, Inference

OPSET = 17
INPUT, OUTPUT, BATCH = "data", "logits", "N"


def write(net: Inference, path: Path) -> None:
    """Write `net`, whose batch is the symbolic dimension "N"."""
    with torch.inference_mode():
        (_, classes) = net(torch.zeros(1, *net.input_shape)).shape
    nodes, arrays = [], []
    for name, module, sources in net.steps:
        if isinstance(module, FlatLinear):
            nodes.append(helper.make_node("Flatten", list(sources), [f"{name}/flat"], axis=1))
            sources = (f"{name}/flat",)
        op, attributes = _op(module)
        parameters = []
        if isinstance(module, nn.Conv2d | nn.Linear):
            for role in ("weight", "bias"):
                value = getattr(module, role)
                if value is not None:
                    parameters.append(f"{name}.{role}")
                    arrays.append(numpy_helper.from_array(value.detach().numpy(), parameters[-1]))
        target = OUTPUT if name == net.steps[-1][0] else name
        nodes.append(helper.make_node(op, [*sources, *parameters], [target], name, **attributes))
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [BATCH, *net.input_shape])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [BATCH, classes])],
        arrays,
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _op(module: nn.Module) -> tuple[str, dict[str, Any]]:
    """ONNX's name of an op, and its attributes."""
    match module:
        case nn.Conv2d():
            return "Conv", {
                "kernel_shape": module.kernel_size,
                "strides": module.stride,
                "pads": [*module.padding, *module.padding],
                "group": module.groups,
            }
        case nn.Linear():
            return "Gemm", {"transB": 1}
        case nn.MaxPool2d():
            return "MaxPool", _window(module)
        case nn.AvgPool2d():
            return "AveragePool", {**_window(module), "count_include_pad": 1}
        case nn.LocalResponseNorm():
            alpha, beta, k = float(module.alpha), float(module.beta), float(module.k)
            return "LRN", {"size": module.size, "alpha": alpha, "beta": beta, "bias": k}
        case nn.ReLU():
            return "Relu", {}
        case nn.Tanh():
            return "Tanh", {}
        case nn.Flatten():
            return "Flatten", {"axis": 1}
        case Add():
            return "Add", {}
        case Concat():
            return "Concat", {"axis": 1}
        case GlobalAveragePool():
            return "GlobalAveragePool", {}
    raise NotImplementedError(f"no ONNX op is known for {module}")


def _window(pool: nn.MaxPool2d | nn.AvgPool2d) -> dict[str, Any]:
    return {
        "kernel_shape": [pool.kernel_size] * 2,
        "strides": [pool.stride] * 2,
        "pads": [pool.padding] * 4,
        "ceil_mode": int(pool.ceil_mode),
    }
