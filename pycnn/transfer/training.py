"""Gradient descent in PyTorch on the part of a network that learns."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from pycnn.errors import WeightsError
from pycnn.opset import Array
from pycnn.pytorch.module import GraphModule
from pycnn.transfer.checkpoint import Checkpoint
from pycnn.transfer.history import Measured, Step, best_of, measure
from pycnn.transfer.progress import Bar, bar
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
    weight: float = 0.0
    right: int = 0
    images: int = 0

    def add(self, loss: float, weight: float, logits: Tensor, labels: Tensor) -> None:
        self.loss += loss * weight
        self.weight += weight
        self.right += int((logits.argmax(1) == labels).sum())
        self.images += len(labels)

    def mean(self) -> Measured:
        return Measured(self.loss / self.weight, self.right / self.images)


def train(
    module: GraphModule,
    head: frozenset[str],
    training: Source,
    validation: Source,
    schedule: Schedule,
    class_weights: Array | None,
    seed: int,
    checkpoint: Checkpoint,
    show: bool,
) -> list[Step]:
    """Train a module; it ends in evaluation mode, with the weights of its best epoch.

    Stochastic gradient descent with momentum and a cosine schedule. The best epoch is that with
    the lowest loss on `validation`, weighted as that which is learnt by; `schedule.patience` epochs
    without a better one end the training. The start is epoch 0: what is worse is not kept.

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
    checkpoint : Checkpoint
        Written after each epoch that another one follows; a training that finds it goes on.

    Raises
    ------
    WeightsError
        The loss is no longer finite.
    StoreError
        The checkpoint cannot be read or written.
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
    balance = weights is not None
    with torch.random.fork_rng(devices=[]), bar("training", len(training), show) as shown:
        torch.manual_seed(seed)
        if (state := checkpoint.load()) is not None:
            history = [_step_of(row) for row in state["history"]]
            best_state = state["best"]
            module.load_state_dict(state["module"])
            optimiser.load_state_dict(state["optimiser"])
            decay.load_state_dict(state["decay"])
            torch.set_rng_state(state["random"])
            shown.restart(f"goes on after {_line(history[-1])}")
        else:
            start = time.perf_counter()
            module.eval()
            own, held_out = (
                measure(*logits_of(module, source), balance) for source in (training, validation)
            )
            history = [Step(0, own, held_out, time.perf_counter() - start)]
            best_state = copy.deepcopy(module.state_dict())
            shown.restart(_line(history[0]))
        for epoch in range(len(history), schedule.epochs + 1):
            start = time.perf_counter()
            module.train()
            images = training.epoch(epoch - 1)
            own = _epoch(module, images, schedule.batch_size, optimiser, decay, weights, shown)
            if not math.isfinite(own.loss):
                checkpoint.remove()  # from which the same would come again
                raise WeightsError(
                    "the loss is no longer finite: a lower learning_rate may help, or images that "
                    "are prepared as the network expects"
                )
            module.eval()
            held_out = measure(*logits_of(module, validation), balance)
            history.append(Step(epoch, own, held_out, time.perf_counter() - start))
            shown.restart(_line(history[-1]))
            best = history.index(best_of(history))
            if best == epoch:
                best_state = copy.deepcopy(module.state_dict())
            if epoch == schedule.epochs or epoch - best >= schedule.patience:
                break
            checkpoint.save(
                {
                    "module": module.state_dict(),
                    "best": best_state,
                    "optimiser": optimiser.state_dict(),
                    "decay": decay.state_dict(),
                    "random": torch.get_rng_state(),
                    "history": [asdict(step) for step in history],
                }
            )
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


def _line(step: Step) -> str:
    return f"epoch {step.setting:g}, held out: {step.validation}"


def _step_of(row: Mapping[str, Any]) -> Step:
    """A step from a checkpoint, which has it as `asdict` makes it."""
    return Step(**{**row, **{name: Measured(**row[name]) for name in ("train", "validation")}})


def _epoch(
    module: GraphModule,
    batches: Iterator[tuple[Array, Labels]],
    batch_size: int,
    optimiser: torch.optim.Optimizer,
    decay: torch.optim.lr_scheduler.LRScheduler,
    weights: Tensor | None,
    shown: Bar,
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
        weight = len(y) if weights is None else float(weights[labels].sum())
        sums.add(loss.item(), weight, logits, labels)
        shown.advance(len(labels), str(sums.mean()))
        if not math.isfinite(sums.loss):
            break
    return sums.mean()
