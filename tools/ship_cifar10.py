"""Put a network that `plain-vs-resnet` trained on CIFAR-10 into the package.

Run from the repository root, with what the study left in its folder:

    python tools/ship_cifar10.py runs/resnet20_30.safetensors --epochs 30 --data cifar10/

The network is measured on the held-out images, which nothing was chosen by; its passport says how
it was trained and what came out. The variant must be registered: `TRAINED_HERE` of
pycnn/models/resnet.py.
"""

import argparse
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

import pycnn
from pycnn.inside.studies import cifar10
from pycnn.inside.studies.training import evaluate
from pycnn.models import find
from pycnn.passport import Passport

WEIGHTS = Path("pycnn/data/weights")


def main() -> None:
    """Measure, and write."""
    parser = argparse.ArgumentParser(description="Ship a network trained on CIFAR-10.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    trained = pycnn.load(args.file)
    variant = find(f"{trained.graph.name}@cifar10")
    learnt, held_out = cifar10.read(args.data)
    weights = trained.content()
    arrays = {name: np.ascontiguousarray(weights.read(name)) for name in trained.graph.parameters}
    shipped = pycnn.load(variant.id, weights=arrays)
    accuracy = evaluate(shipped, held_out).accuracy
    metadata = Passport(variant, origin="trained by pycnn").to_metadata() | {
        "heldout_accuracy": f"{accuracy:.4f}",
        "trained_on": f"CIFAR-10 training images 0-{len(learnt) - 1}, {args.epochs} epochs; the "
        f"other {len(held_out):,} are held out",
    }
    path = WEIGHTS / str(variant.shipped)
    save_file(arrays, path, metadata)
    path.chmod(0o644)  # it was written through a private temporary file
    print(f"{variant.id}: held-out accuracy {accuracy:.4f}; {path}, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
