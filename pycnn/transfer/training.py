"""Gradient descent in PyTorch on the part of a network that learns."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from pycnn.errors import WeightsError
from pycnn.opset import Array
from pycnn.pytorch.module import GraphModule
from pycnn.transfer.history import Measured, Step, measure
from pycnn.transfer.progress import Advance, bar
from pycnn.transfer.schedule import Schedule

__all__ = ["Source", "logits_of", "train"]

Labels = npt.NDArray[np.int64]

# How much faster the new head learns than layers that were trained before.
_HEAD_FASTER = 10


class Source(Protocol):
    """Gives the inputs of the part that learns, in batches."""

    def __len__(self) -> int:
        """Images of an epoch."""

    def epoch(self, number: int) -> Iterator[tuple[Array, Labels]]:
        """Inputs ``(n, C, H, W)`` and labels ``(n,)`` of each batch."""


@dataclass
class _Sums:
    """Loss and accuracy so far."""

    loss: float = 0.0
    right: int = 0
    images: int = 0

    def add(self, loss: float, logits: Tensor, labels: Tensor) -> None:
        self.loss += loss * len(labels)
        self.right += int((logits.argmax(1) == labels).sum())
        self.images += len(labels)

    def mean(self) -> Measured:
        return Measured(self.loss / self.images, self.right / self.images)


def train(
    module: GraphModule,
    head: frozenset[str],
    training: Source,
    validation: Source,
    schedule: Schedule,
    class_weights: Array | None,
    seed: int,
    show: bool,
) -> list[Step]:
    """Train a module; it ends in evaluation mode, with the weights of its best epoch.

    Stochastic gradient descent with momentum and a cosine schedule. The best epoch is that with
    the lowest loss on `validation`; `schedule.patience` epochs without a better one end the
    training.

    Parameters
    ----------
    module : GraphModule
        Its output is logits.
    head : set of str
        Parameters that are new, and learn faster.
    class_weights : (classes,) float32, optional
        What an image of each class weighs in the loss.
    seed : int
        Of dropout. PyTorch's own generator is left as it was.

    Raises
    ------
    WeightsError
        The loss is no longer finite.
    """
    rate = schedule.learning_rate
    groups = [
        {"params": [p for name, p in module.named_parameters() if name not in head], "lr": rate},
        {
            "params": [p for name, p in module.named_parameters() if name in head],
            "lr": rate * _HEAD_FASTER,
        },
    ]
    optimiser = torch.optim.SGD(
        [group for group in groups if group["params"]],
        momentum=schedule.momentum,
        weight_decay=schedule.weight_decay,
    )
    batches = -(-len(training) // schedule.batch_size)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, schedule.epochs * batches)
    weights = None if class_weights is None else torch.from_numpy(class_weights)
    history: list[Step] = []
    best, best_state = float("inf"), copy.deepcopy(module.state_dict())
    with torch.random.fork_rng(devices=[]), bar("training", len(training), show) as advance:
        torch.manual_seed(seed)
        since_best = 0
        for epoch in range(schedule.epochs):
            start = time.perf_counter()
            module.train()
            images = training.epoch(epoch)
            learnt = _epoch(module, images, schedule.batch_size, optimiser, decay, weights, advance)
            module.eval()
            held_out = measure(*logits_of(module, validation))
            seconds = time.perf_counter() - start
            history.append(Step(epoch + 1, learnt, held_out, seconds))
            advance(-len(training), f"epoch {epoch + 1}, held out: {held_out}")
            since_best += 1
            if held_out.loss < best:
                best, best_state, since_best = held_out.loss, copy.deepcopy(module.state_dict()), 0
            if since_best >= schedule.patience:
                break
    module.load_state_dict(best_state)
    return history


def logits_of(module: GraphModule, source: Source) -> tuple[Array, Labels]:
    """Logits ``(N, classes)`` and labels of a source's first epoch."""
    logits, labels = [], []
    with torch.inference_mode():
        for x, y in source.epoch(0):
            logits.append(module(torch.from_numpy(x)).numpy())
            labels.append(y)
    return np.concatenate(logits), np.concatenate(labels)


def _epoch(
    module: GraphModule,
    batches: Iterator[tuple[Array, Labels]],
    batch_size: int,
    optimiser: torch.optim.Optimizer,
    decay: torch.optim.lr_scheduler.LRScheduler,
    weights: Tensor | None,
    advance: Advance,
) -> Measured:
    sums = _Sums()
    for x, y in batches:
        # A rest of one image has no statistics for batch normalisation.
        if len(y) == 1 < batch_size and sums.images:
            continue
        labels = torch.from_numpy(y)
        logits = module(torch.from_numpy(x))
        loss = F.cross_entropy(logits, labels, weights)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        decay.step()
        sums.add(loss.item(), logits, labels)
        advance(len(labels), str(sums.mean()))
        if not np.isfinite(sums.loss):
            raise WeightsError(
                "the loss is no longer finite: a lower learning_rate may help, or images that are "
                "prepared as the network expects"
            )
    return sums.mean()
