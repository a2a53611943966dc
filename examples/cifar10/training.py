"""A training loop in PyTorch, for the examples that train small networks from nothing."""

from __future__ import annotations

import argparse
import time

import torch
from images import accuracy, arguments, load
from torch.nn.functional import cross_entropy

import pycnn
from pycnn.vision import Augmentation, Dataset, Stream


def options(description: str | None) -> tuple[argparse.Namespace, Dataset, Dataset]:
    """What the example was told; the images to train on, the first ones, and held-out ones."""
    parser = arguments(description)
    parser.add_argument("--images", type=int, default=2000, help="to train on")
    parser.add_argument("--tested", type=int, default=5000, help="held-out images")
    parser.add_argument("--epochs", type=int, default=60)
    found = parser.parse_args()
    rest, held_out = load(found.data)
    images, tested = rest.subset(range(found.images)), held_out.subset(range(found.tested))
    found.out.mkdir(parents=True, exist_ok=True)
    return found, images, tested


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
