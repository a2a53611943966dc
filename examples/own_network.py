"""A network of one's own from the same ops, with weights from arrays: a 1x1 convolution is a fully
connected layer at each position, so both give the same bits.

    python examples/own_network.py
"""

from __future__ import annotations

import numpy as np

from pycnn import Graph, Model
from pycnn.weights import ArrayWeights


def main() -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((10, 64)).astype(np.float32)
    bias = rng.standard_normal(10).astype(np.float32)

    image = Graph("convolution")
    image.output(image.conv2d("layer", image.input("data", (64, 1, 1)), 10, kernel_size=1))
    vector = Graph("linear")
    vector.output(
        vector.linear("layer", vector.flatten("rows", vector.input("data", (64, 1, 1))), 10)
    )

    x = rng.standard_normal((5, 64, 1, 1)).astype(np.float32)
    one = Model(
        image, ArrayWeights({"layer.weight": weight[:, :, None, None], "layer.bias": bias})
    ).run(x)
    other = Model(vector, ArrayWeights({"layer.weight": weight, "layer.bias": bias})).run(x)
    print("equal bits:", np.array_equal(one.reshape(other.shape), other))


if __name__ == "__main__":
    main()
