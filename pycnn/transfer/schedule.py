"""How long and how fast is learnt: `Schedule`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Schedule"]


@dataclass(frozen=True)
class Schedule:
    """Of the regimes that train by gradient descent.

    Attributes
    ----------
    epochs
        At most.
    batch_size
        Images of a step.
    learning_rate
        At the beginning, of layers that were trained before; it falls to zero along a cosine. The
        new head learns ten times as fast.
    momentum, weight_decay
        Of stochastic gradient descent.
    patience
        Epochs without a lower loss on the held-out images that end the training.

    Raises
    ------
    ValueError
        A number is out of its range.
    """

    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 2e-4
    momentum: float = 0.9
    weight_decay: float = 1e-4
    patience: int = 5

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        if not 0 <= self.momentum < 1 or not 0 <= self.weight_decay < float("inf"):
            raise ValueError(
                f"momentum must be 0..1 and weight_decay at least 0, got {self.momentum} and "
                f"{self.weight_decay}"
            )
