"""What the examples on CIFAR-10 share: the images, small networks, a training loop."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import cross_entropy

import pycnn
from pycnn.vision import Augmentation, Dataset, Preprocessing, Stream
from pycnn.vision.labels import labels

HELD_OUT = 5000  # the last images: for testing only


def arguments(description: str | None) -> argparse.Namespace:
    """Where the images are, and how much to train."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("../shared/data/cifar10"),
        help="folder of train_00.png ..., 1000 rows of a 32 x 32 image each, and train_labels.npy",
    )
    parser.add_argument("--images", type=int, default=2000, help="to train on")
    parser.add_argument("--tested", type=int, default=HELD_OUT, help="held-out images")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--png", type=Path, help="write the chart here")
    return parser.parse_args()


def load(args: argparse.Namespace) -> tuple[Dataset, Dataset]:
    """Training images, the first ones, and held-out ones, the last."""
    rows = [np.asarray(Image.open(file)) for file in sorted(args.data.glob("train_*.png"))]
    images = np.concatenate(rows).reshape(-1, 32, 32, 3)
    data = Dataset(images, np.load(args.data / "train_labels.npy"), labels("cifar10"))
    n = len(data)
    train, test = min(args.images, n - HELD_OUT), min(args.tested, HELD_OUT)
    return data.subset(np.arange(train)), data.subset(np.arange(n - test, n))


def preprocessing(side: int) -> Preprocessing:
    """The centre of an image, in -1..1 or so."""
    return Preprocessing(
        (side, side), crop=(side, side), scale=1 / 255, mean=(0.49, 0.48, 0.45), std=(0.25,)
    )


def network(
    name: str, widths: tuple[int, ...], convolutions: int = 2, kernel: int = 3, side: int = 32
) -> pycnn.Model:
    """Stages of convolution, batch norm and ReLU, with a pool after each; then one linear layer.

    The first weights are He's, and the same each time.
    """
    graph = pycnn.Graph(name)
    x = graph.input("data", (3, side, side))
    for stage, width in enumerate(widths, start=1):
        for i in range(1, convolutions + 1):
            layer = f"conv{stage}_{i}"
            x = graph.conv2d(layer, x, width, kernel_size=kernel, padding=kernel // 2, bias=False)
            x = graph.relu(f"{layer}_relu", graph.batch_norm(f"{layer}_bn", x))
        last = stage == len(widths)
        x = graph.global_avg_pool("pool", x) if last else graph.max_pool2d(f"pool{stage}", x, 2)
    graph.output(graph.linear("classifier", graph.flatten("features", x), 10))
    return pycnn.Model(
        graph,
        pycnn.weights.RandomWeights(graph, 0),
        preprocessing=preprocessing(side),
        labels=labels("cifar10"),
    )


def train(
    model: pycnn.Model,
    images: Dataset,
    augmentation: Augmentation | None,
    epochs: int,
    seed: int = 0,
    tested: Dataset | None = None,
) -> tuple[pycnn.Model, list[tuple[int, float, float]]]:
    """Train all of it: SGD, momentum, weight decay, a rate that rises and then falls to zero.

    Returns
    -------
    model : pycnn.Model
    history : list of (int, float, float)
        Twenty times or so: the epoch, the accuracy on its training images as they were augmented,
        and on `tested`, if there are any.
    """
    torch.manual_seed(seed)
    module = model.to_torch().train()
    stream = Stream(
        images, model.preprocessing, augmentation, batch_size=128, shuffle=True, seed=seed
    )
    optimizer = torch.optim.SGD(
        module.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.1, total_steps=epochs * len(stream), pct_start=0.2
    )
    history = []
    for epoch in range(1, epochs + 1):
        start, right = time.perf_counter(), 0
        for pixels, classes in stream:
            logits = module(torch.from_numpy(pixels))
            loss = cross_entropy(logits, torch.from_numpy(classes), label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
            right += int((logits.argmax(1).numpy() == classes).sum())
        seconds, own = time.perf_counter() - start, right / len(images)
        if tested and (epoch % max(1, epochs // 20) == 0 or epoch == epochs):
            history.append((epoch, own, accuracy(pycnn.from_torch(module), tested)))
            print(
                f"  epoch {epoch:2}: {own:.1%} of its images, {history[-1][2]:.1%} held out, "
                f"{seconds:.1f} s",
                flush=True,
            )
    print("  " + str(stream.stats()).replace("\n", "\n  "))
    return pycnn.from_torch(module), history


def accuracy(model: pycnn.Model, images: Dataset, crops: int | None = None) -> float:
    """Part of the images that the model names rightly."""
    right = 0
    for pixels, classes in Stream(images, model.preprocessing, batch_size=250):
        right += int((model.run(pixels, crops=crops).argmax(1) == classes).sum())
    return right / len(images)
