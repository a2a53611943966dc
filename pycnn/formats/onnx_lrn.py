"""PyTorch's local response normalisation, as both of its exporters take it apart, put together.

    x / (k + alpha * mean of x^2 over a window of channels) ^ beta

comes as Mul(x, x) or Pow(x, 2), Reshape to (N, 1, C, H, W), Pad, AveragePool over (size, 1, 1),
Squeeze, Mul, Add, Pow, Div. Each of these becomes nodes as any other does, and is noted here as a
part of a normalisation; a division that completes one becomes an `lrn`, and its parts, which then
nobody reads, go when the graph is finished.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LrnPart:
    """What a node computes: ``(k + alpha * mean over the window of x^2) ^ beta``, so far.

    Attributes
    ----------
    x
        The node whose squares these are.
    before, after
        Channels of zeros around them: the window, once it is averaged over.
    alpha, k, beta
        None until the node that brings it.
    """

    x: str
    before: int = 0
    after: int = 0
    averaged: bool = False
    alpha: float | None = None
    k: float | None = None
    beta: float | None = None

    @property
    def is_square(self) -> bool:
        """Nothing but squares, and zeros around them."""
        return not self.averaged

    @property
    def is_mean(self) -> bool:
        """The mean, not multiplied yet."""
        return self.averaged and self.alpha is None
