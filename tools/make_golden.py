"""Write pycnn/data/golden: samples of every layer of every network, computed in float64.

    python tools/make_golden.py [VARIANT ...]

The definitions are tests/torch_networks.py, which share no code with pycnn; weights and image are
those of pycnn/inside/golden.py. Each convolution's and linear layer's weights get a scale with
which its output has standard deviation 1 (before local response normalisation 80, where it begins
to be felt), each batch norm the variance that reaches it.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from alive import LRN_INPUT_STD, layers_before_lrn  # noqa: E402
from torch_layers import ConnectedConv2d  # noqa: E402
from torch_networks import Net, build  # noqa: E402

from pycnn.inside.golden import (  # noqa: E402
    Golden,
    GoldenWeights,
    file_name,
    image,
    sampled,
    survivors,
)
from pycnn.models import find, variants  # noqa: E402

FOLDER = ROOT / "pycnn" / "data" / "golden"


def calibrate(net: Net, weights: GoldenWeights) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Scale of each tensor that has one, and what every layer computes with it."""
    loud = layers_before_lrn(net)
    results = {"data": torch.from_numpy(image(net.input_shape)).double()}
    scales: dict[str, float] = {}

    def set_to(parameter: Tensor, name: str, scale: float) -> None:
        scales[name] = float(np.float32(scale))
        values = weights.bare(name) * np.float32(scales[name])
        parameter.copy_(torch.from_numpy(values).double().reshape(parameter.shape))

    for name, module, inputs in net.steps:
        xs = [results[source] for source in inputs]
        std = LRN_INPUT_STD if name in loud else 1.0
        for role, parameter in [*module.named_parameters(), *module.named_buffers()]:
            if role != "num_batches_tracked":
                set_to(parameter, f"{name}.{role}", std if role == "bias" else 1.0)
        if isinstance(module, (nn.Conv2d, nn.Linear, ConnectedConv2d)):
            if module.bias is not None:
                module.bias.zero_()
            set_to(module.weight, f"{name}.weight", std / float(module(*xs).std()))
            if module.bias is not None:
                set_to(module.bias, f"{name}.bias", std)
        elif isinstance(module, nn.BatchNorm2d):
            set_to(module.running_var, f"{name}.running_var", float(xs[0].var()))
            set_to(module.running_mean, f"{name}.running_mean", math.sqrt(float(xs[0].var())))
        results[name] = module(*xs)
    return {name: scale for name, scale in scales.items() if scale != 1}, results


def make(variant: str) -> Path:
    graph = find(variant).graph()
    graph = graph.with_outputs(graph.outputs)
    with torch.inference_mode():
        net = build(variant).double()
        scales, results = calibrate(net, GoldenWeights(graph, {}))
    layers = [name for name in survivors(graph) if name in results]
    flat = {name: results[name].flatten().numpy() for name in layers}
    alive = [float(values.std()) for values in flat.values()]
    assert min(alive) > 1e-2 and max(alive) < 1e4, (variant, min(alive), max(alive))
    path = FOLDER / file_name(graph)
    Golden(
        scales,
        {
            name: values[sampled(name, values.size)].astype(np.float32)
            for name, values in flat.items()
        },
        {name: math.sqrt(float(np.mean(values**2))) for name, values in flat.items()},
        {name: float(np.abs(values).max()) for name, values in flat.items()},
    ).save(path)
    return path


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for variant in sys.argv[1:] or [v.id for v in variants()]:
        path = make(variant)
        print(f"{variant}: {path.name}, {path.stat().st_size:,} bytes", flush=True)


if __name__ == "__main__":
    main()
