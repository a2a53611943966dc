"""What LeNet-5 sees in a digit: the shape and the strength of each layer, then the answer.

python examples/look_inside.py [IMAGE]
"""

from __future__ import annotations

import sys
from importlib import resources

import numpy as np

import pycnn


def main() -> None:
    samples = resources.files("pycnn") / "data" / "samples"
    image = sys.argv[1] if len(sys.argv) > 1 else str(samples / "digit_3_50950.png")

    model = pycnn.load("lenet5")
    batch = model.preprocessing.batch([image])  # float32 (1, 1, 32, 32)
    layers = model.run(batch, taps=["data", "c1", "s2/tanh", "c3", "s4/tanh", "c5", "f6"])
    for name, values in layers.items():
        shape = " x ".join(map(str, values.shape[1:]))
        print(f"{name:10} {shape:14} RMS {np.sqrt(np.mean(values**2)):.3f}")

    for prediction in model.predict(image, top=3):
        print(f"{prediction.label}: {prediction.probability:.4f}")


if __name__ == "__main__":
    main()
