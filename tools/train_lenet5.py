"""Train the LeNet-5 that ships with pycnn and draw its sample digits.

Run from the repository root, with torch, numpy, pillow and safetensors installed:

    python tools/train_lenet5.py --epochs 40 --seed 1998

The first 50,000 digits of the MNIST training file are trained on. The last 10,000 are held out:
they are measured after each epoch for the record, and nothing (epoch, seed, setting) is chosen by
them. The weights written are those after the last step, whatever the figures before it.

Network, after LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document
Recognition" (1998), section II.B, with these deviations: c3 is dense (the paper connects only some
map pairs), the pools have no trainable coefficient or bias, tanh is not scaled by 1.7159, and
`output` is a linear layer trained by cross-entropy instead of radial basis functions.
"""

import argparse
import gzip
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

NUM_TRAIN = 50_000
NUM_HELD_OUT = 10_000
NUM_CLASSES = 10
BATCH_SIZE = 128

# Fixed before the first run, not tuned on the held-out digits.
MAX_LEARNING_RATE = 3e-3
WEIGHT_DECAY = 2e-2
MAX_ROTATION_DEG = 10.0
MAX_SCALE_CHANGE = 0.10
MAX_SHEAR = 0.10
MAX_SHIFT_PIXELS = 2.0


class LeNet5(nn.Module):
    """LeNet-5, 61,706 parameters. Each convolution is followed by its pool, then by tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(1, 6, kernel_size=5)
        self.c3 = nn.Conv2d(6, 16, kernel_size=5)
        self.c5 = nn.Linear(16 * 5 * 5, 120)
        self.f6 = nn.Linear(120, 84)
        self.output = nn.Linear(84, NUM_CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, 10) of inputs (N, 1, 32, 32) in the range of `normalise`."""
        x = torch.tanh(F.avg_pool2d(self.c1(x), 2))  # N x 6 x 14 x 14   (c1 28 x 28)
        x = torch.tanh(F.avg_pool2d(self.c3(x), 2))  # N x 16 x 5 x 5    (c3 10 x 10)
        x = torch.tanh(self.c5(x.flatten(1)))  # N x 120
        x = torch.tanh(self.f6(x))  # N x 84
        logits: Tensor = self.output(x)  # N x 10
        return logits


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Read a gzipped IDX file of unsigned bytes.

    Raises:
        ValueError: the file is not IDX, not uint8, or its size does not fit its header.
    """
    raw = gzip.decompress(path.read_bytes())
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path.name}: magic is {raw[:4]!r}, expected an IDX file of uint8")
    ndim = raw[3]
    header_bytes = 4 + 4 * ndim
    if len(raw) < header_bytes:
        raise ValueError(f"{path.name}: got {len(raw)} bytes, expected a header of {header_bytes}")
    shape = struct.unpack(f">{ndim}I", raw[4:header_bytes])
    data = np.frombuffer(raw, np.uint8, offset=header_bytes)
    if data.size != int(np.prod(shape)):
        raise ValueError(f"{path.name}: got {data.size} bytes of data, expected shape {shape}")
    return data.reshape(shape)


def load_mnist(folder: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The 60,000 MNIST training images (60000, 28, 28) and labels (60000,)."""
    images = read_idx(folder / "train-images-idx3-ubyte.gz")
    labels = read_idx(folder / "train-labels-idx1-ubyte.gz")
    total = NUM_TRAIN + NUM_HELD_OUT
    if images.shape != (total, 28, 28) or labels.shape != (total,):
        raise ValueError(f"MNIST: got {images.shape} and {labels.shape}, expected {total} digits")
    return images, labels


def to_ink(images: npt.NDArray[np.uint8]) -> Tensor:
    """Zero-pad (N, 28, 28) bytes by 2 on each side: ink 0..1 as float32 (N, 1, 32, 32)."""
    return F.pad(torch.from_numpy(images.copy()).float().div_(255.0), (2, 2, 2, 2)).unsqueeze(1)


def normalise(ink: Tensor) -> Tensor:
    """The paper's input range: background -0.1, full ink 1.175 (roughly mean 0, variance 1)."""
    return ink * 1.275 - 0.1


def augment(ink: Tensor) -> Tensor:
    """Give each image of the batch its own small rotation, scale, shear and shift.

    This runs on ink, where outside the image means 0, so that zero padding adds background.
    """
    n, _, height, width = ink.shape

    def uniform(limit: float) -> Tensor:
        return torch.empty(n).uniform_(-limit, limit)

    angle = torch.deg2rad(uniform(MAX_ROTATION_DEG))
    scale_x, scale_y = 1 + uniform(MAX_SCALE_CHANGE), 1 + uniform(MAX_SCALE_CHANGE)
    shear = uniform(MAX_SHEAR)
    cos, sin = torch.cos(angle), torch.sin(angle)
    # theta = rotation * [[1, shear], [0, 1]] * diag(scale); shifts are in units of half the image.
    theta = torch.stack(
        [
            torch.stack(
                [
                    cos * scale_x,
                    (cos * shear - sin) * scale_y,
                    uniform(2 * MAX_SHIFT_PIXELS / width),
                ],
                dim=1,
            ),
            torch.stack(
                [
                    sin * scale_x,
                    (sin * shear + cos) * scale_y,
                    uniform(2 * MAX_SHIFT_PIXELS / height),
                ],
                dim=1,
            ),
        ],
        dim=1,
    )
    grid = F.affine_grid(theta, list(ink.shape), align_corners=False)
    return F.grid_sample(ink, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


@torch.inference_mode()
def accuracy(model: LeNet5, inputs: Tensor, labels: Tensor) -> float:
    """The fraction of (N, 1, 32, 32) inputs whose largest logit is that of the label."""
    model.eval()
    correct = 0
    for x, y in zip(torch.split(inputs, 1000), torch.split(labels, 1000), strict=True):
        correct += int(torch.eq(model(x).argmax(1), y).sum())
    return correct / len(labels)


def train(
    model: LeNet5,
    train_ink: Tensor,
    train_labels: Tensor,
    held_out: Tensor,
    held_out_labels: Tensor,
    epochs: int,
) -> float:
    """Train in place for `epochs`; print, then return, the accuracy on the held-out digits."""
    steps_per_epoch = -(-len(train_ink) // BATCH_SIZE)
    # Decay pulls weights to zero; a bias does not add capacity, so it is left alone.
    groups: list[dict[str, Any]] = [
        {"params": [p for p in model.parameters() if p.ndim > 1]},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=MAX_LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=MAX_LEARNING_RATE, total_steps=epochs * steps_per_epoch, pct_start=0.1
    )
    held_out_accuracy = 0.0
    for epoch in range(1, epochs + 1):
        start = time.perf_counter()
        model.train()
        total_loss = 0.0
        for batch in torch.split(torch.randperm(len(train_ink)), BATCH_SIZE):
            logits = model(normalise(augment(train_ink[batch])))
            loss = F.cross_entropy(logits, train_labels[batch])
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
            total_loss += loss.item() * len(batch)
        held_out_accuracy = accuracy(model, held_out, held_out_labels)
        print(
            f"epoch {epoch:2d}/{epochs}  loss {total_loss / len(train_ink):.4f}  "
            f"held-out {held_out_accuracy:.4f}  {time.perf_counter() - start:.1f} s",
            flush=True,
        )
    return held_out_accuracy


def save_weights(model: LeNet5, path: Path, held_out_accuracy: float) -> None:
    """Write the state_dict as float32 safetensors, with pycnn's metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {
        "pycnn.variant": "lenet5@mnist",
        "pycnn.activation": "tanh",
        "heldout_accuracy": f"{held_out_accuracy:.4f}",
        "trained_on": f"MNIST training digits 0-{NUM_TRAIN - 1}; the other 10,000 are held out",
        "licence": "Apache-2.0",
    }
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, path, metadata)
    # Written through a private temporary file: give the result the usual mode of a data file.
    path.chmod(0o644)


def save_samples(
    images: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8], folder: Path, seed: int
) -> None:
    """Draw two held-out digits of each class by `seed`; write digit_<label>_<index>.png.

    The draw looks at labels only, never at predictions. An earlier draw in `folder` is replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("digit_[0-9]_[0-9][0-9][0-9][0-9][0-9].png"):
        old.unlink()
    rng = np.random.default_rng(seed)
    for label in range(NUM_CLASSES):
        candidates = NUM_TRAIN + np.flatnonzero(labels[NUM_TRAIN:] == label)
        for index in sorted(rng.choice(candidates, size=2, replace=False)):
            Image.fromarray(images[index]).save(folder / f"digit_{label}_{index}.png")


def main() -> None:
    """Parse the command line, train, and write weights and samples."""
    parser = argparse.ArgumentParser(description="Train pycnn's LeNet-5 on MNIST.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/mnist"))
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1998)
    parser.add_argument("--out", type=Path, default=Path("pycnn/data/weights/lenet5.safetensors"))
    parser.add_argument("--samples", type=Path, default=Path("pycnn/data/samples"))
    args = parser.parse_args()
    if args.epochs < 1:
        parser.error(f"--epochs: got {args.epochs}, expected at least 1")

    # One thread: sums are then always taken in the same order, so the weights repeat bit for bit.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(args.seed)

    images, labels = load_mnist(args.data)
    ink = to_ink(images)
    targets = torch.from_numpy(labels.astype(np.int64))
    model = LeNet5()
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, seed {args.seed}")

    start = time.perf_counter()
    held_out_accuracy = train(
        model,
        ink[:NUM_TRAIN],
        targets[:NUM_TRAIN],
        normalise(ink[NUM_TRAIN:]),
        targets[NUM_TRAIN:],
        args.epochs,
    )
    save_weights(model, args.out, held_out_accuracy)
    save_samples(images, labels, args.samples, args.seed)
    print(f"held-out accuracy {held_out_accuracy:.4f} in {time.perf_counter() - start:.0f} s")
    print(f"wrote {args.out} ({args.out.stat().st_size:,} bytes) and samples to {args.samples}")


if __name__ == "__main__":
    main()
