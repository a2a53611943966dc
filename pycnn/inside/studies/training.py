"""Train a network from nothing, an epoch at a time: killed and started again, it goes on."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F

from pycnn.errors import WeightsError
from pycnn.inside.golden import digest
from pycnn.loading import from_torch
from pycnn.model import Model, preprocessing_of
from pycnn.pytorch.module import GraphModule
from pycnn.transfer.checkpoint import Checkpoint
from pycnn.transfer.data import content_of
from pycnn.transfer.history import Measured, measure
from pycnn.vision.augmentation import Augmentation
from pycnn.vision.dataset import Dataset
from pycnn.vision.stream import Stream

__all__ = ["AUXILIARY_WEIGHT", "Epoch", "Recipe", "evaluate", "evaluate_heads", "train"]

# Szegedy et al. 2014, section 5: how much the loss of an auxiliary head counts.
AUXILIARY_WEIGHT = 0.3
_TEST_BATCH = 250


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: stochastic gradient descent with momentum.

    Attributes
    ----------
    epochs, batch_size
    learning_rate
        At its highest.
    schedule
        "cosine": it rises along the first epoch, then falls to zero. "paper": He et al. 2015,
        section 4.2: a tenth after half of the steps, a hundredth after three quarters.
    momentum, weight_decay
        Decay works on all parameters.
    precision
        Of PyTorch's arithmetic; parameters and their updates are float32 always. "bfloat16" takes
        half of the time on CPUs that have it.
    seed
        Of the first weights, the order, the augmentation and dropout.
    """

    epochs: int
    batch_size: int = 128
    learning_rate: float = 0.1
    schedule: Literal["cosine", "paper"] = "cosine"
    momentum: float = 0.9
    weight_decay: float = 1e-4
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0

    def stem(self, name: str) -> str:
        """What the files of a network that is trained so are called, without their suffix."""
        return f"{name}_{self.epochs}" + (f"_{self.seed}" if self.seed else "")

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, of `steps` in all."""
        if self.schedule == "paper":
            return self.learning_rate * 0.1 ** ((2 * step >= steps) + (4 * step >= 3 * steps))
        warm = steps // self.epochs
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        part = (step - warm) / max(1, steps - warm)
        return self.learning_rate * 0.5 * (1 + float(np.cos(np.pi * part)))


@dataclass(frozen=True)
class Epoch:
    """What an epoch gave.

    Attributes
    ----------
    number
        From 1.
    training
        Mean over its steps, on images as they were augmented.
    held_out
        After it, float32.
    gradient_norms
        Mean over its steps of each convolution's and linear layer's gradient, by its weight's name.
    seconds
    weight_norms
        After it, of every parameter that is trained.
    heads
        `held_out` of each output beside the main one.
    """

    number: int
    training: Measured
    held_out: Measured
    gradient_norms: dict[str, float]
    seconds: float
    weight_norms: dict[str, float] = field(default_factory=dict)
    heads: dict[str, Measured] = field(default_factory=dict)


def train(
    model: Model,
    recipe: Recipe,
    training: Dataset,
    held_out: Dataset,
    checkpoint: str | os.PathLike[str],
    *,
    augmentation: Augmentation | None = None,
    device: str = "auto",
    say: Callable[[Epoch], None] = lambda epoch: None,
) -> tuple[Model, list[Epoch]]:
    """Train a model, or go on with it.

    Parameters
    ----------
    model : Model
        With its first weights; those count only where there is no checkpoint yet. Outputs beside
        the main one are heads for training: their losses are added, `AUXILIARY_WEIGHT` times each.
    checkpoint : path
        Written after each epoch; a run that finds it goes on after the epoch that it holds.
    device : str
        Of PyTorch; "auto" is "cuda" where PyTorch finds one, else "cpu". A checkpoint of one goes
        on on another.
    say : callable
        Called after each epoch, also for those that the checkpoint holds.

    Returns
    -------
    model : Model
        Trained.
    history : list of Epoch

    Raises
    ------
    WeightsError
        The checkpoint is of another network, recipe, augmentation or other images; or the loss is
        no longer finite.
    StoreError
        The checkpoint cannot be read or written.
    """
    where = torch.device(_device(device))
    module = model.to_torch().to(where)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    watched = {name: weight for name, weight in module.named_parameters() if weight.ndim in (2, 4)}
    optimiser = torch.optim.SGD(
        module.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum,
        weight_decay=recipe.weight_decay, nesterov=recipe.schedule == "cosine",
    )  # fmt: skip
    stream = Stream(
        training, preprocessing_of(model), augmentation, batch_size=recipe.batch_size, shuffle=True,
        drop_last=True, seed=recipe.seed,
    )  # fmt: skip
    facts = {
        "network": model.graph.name,
        "recipe": asdict(recipe),
        "graph": digest(model.graph),
        "preprocessing": repr(stream.preprocessing),
        "augmentation": repr(augmentation),
        "set of images to learn from": content_of(training),
        "set of held-out images": content_of(held_out),
    }
    kept = Checkpoint(checkpoint, facts)
    history: list[Epoch] = []
    if (state := kept.load()) is not None:
        module.load_state_dict(state["module"])
        optimiser.load_state_dict(state["optimiser"])
        history = [_epoch_of(row) for row in state["history"]]
    for epoch in history:
        say(epoch)
    for number in range(len(history), recipe.epochs):
        start = time.perf_counter()
        stream.seek(number)
        with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []):
            torch.manual_seed(recipe.seed + number)
            measured, norms = _epoch(module, stream, optimiser, recipe, number, watched)
        tested, *others = evaluate_heads(from_torch(module), held_out).items()
        history.append(
            Epoch(
                number + 1, measured, tested[1], norms, time.perf_counter() - start,
                {name: float(p.detach().norm()) for name, p in module.named_parameters()},
                dict(others),
            )
        )  # fmt: skip
        kept.save(
            {
                "module": module.state_dict(),
                "optimiser": optimiser.state_dict(),
                "history": [asdict(epoch) for epoch in history],
            }
        )
        say(history[-1])
    return from_torch(module), history


def evaluate(model: Model, images: Dataset) -> Measured:
    """Loss and accuracy of the main output on images as the network predicts from them."""
    return next(iter(evaluate_heads(model, images).values()))


def evaluate_heads(model: Model, images: Dataset) -> dict[str, Measured]:
    """Loss and accuracy of each output, by its name; the main one first."""
    logits: dict[str, list[Any]] = {name: [] for name in model.graph.outputs}
    classes = []
    for pixels, labels in Stream(images, preprocessing_of(model), batch_size=_TEST_BATCH):
        found = model.run(pixels)
        for name, rows in logits.items():
            rows.append(np.asarray(found[name] if isinstance(found, dict) else found))
        classes.append(labels)
    truth = np.concatenate(classes)
    return {name: measure(np.concatenate(rows), truth) for name, rows in logits.items()}


def _epoch(
    module: GraphModule,
    stream: Stream,
    optimiser: torch.optim.Optimizer,
    recipe: Recipe,
    number: int,
    watched: dict[str, torch.nn.Parameter],
) -> tuple[Measured, dict[str, float]]:
    """One epoch of steps: what it learnt, and the mean norm of each gradient that is watched."""
    loss_sum = right = images = 0.0
    where = next(module.parameters()).device
    norms = torch.zeros(len(watched), device=where)
    module.train()
    for i, (pixels, classes) in enumerate(stream):
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate(number * len(stream) + i, recipe.epochs * len(stream))
        labels = torch.from_numpy(classes).to(where)
        with _arithmetic(recipe, where):
            x = torch.from_numpy(pixels).to(where).contiguous(memory_format=torch.channels_last)
            outputs = module(x)
        logits, *auxiliary = outputs.values() if isinstance(outputs, dict) else (outputs,)
        loss = F.cross_entropy(logits.float(), labels)
        whole = loss + sum(AUXILIARY_WEIGHT * F.cross_entropy(x.float(), labels) for x in auxiliary)
        optimiser.zero_grad()
        whole.backward()  # type: ignore[no-untyped-call]
        norms += torch.stack([gradient.norm() for gradient in _gradients(watched)])
        optimiser.step()
        loss_sum += loss.item() * len(labels)
        right += int((logits.argmax(1) == labels).sum())
        images += len(labels)
        if not np.isfinite(loss_sum):
            raise WeightsError(f"epoch {number + 1}: the loss is no longer finite")
    module.eval()
    means = (norms / len(stream)).tolist()
    return Measured(loss_sum / images, right / images), dict(zip(watched, means, strict=True))


def _gradients(watched: dict[str, torch.nn.Parameter]) -> list[torch.Tensor]:
    return [weight.grad for weight in watched.values() if weight.grad is not None]


def _device(name: str) -> str:
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def _arithmetic(recipe: Recipe, where: torch.device) -> Any:
    if recipe.precision == "bfloat16":
        return torch.autocast(where.type, torch.bfloat16)
    return contextlib.nullcontext()


def _epoch_of(row: Mapping[str, Any]) -> Epoch:
    """An epoch from a checkpoint, which has it as `asdict` makes it."""
    measured = {name: Measured(**row[name]) for name in ("training", "held_out")}
    heads = {name: Measured(**head) for name, head in row["heads"].items()}
    return Epoch(**{**row, **measured, "heads": heads})
