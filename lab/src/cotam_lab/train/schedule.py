"""How long and how fast a network is trained."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Schedule"]


@dataclass(frozen=True)
class Schedule:
    """A number of steps, and the learning rate of each.

    Attributes
    ----------
    steps : steps in all
    batch : crops a step, over all processes
    warmup : steps of linear rise of the learning rate
    decay : last part of the steps, in which it falls linearly to zero
    learning_rate : Adam's, at its height
    rounded_from : part of the run after which rounded, not noisy, residuals are paid for
    average : decay of the running average of the weights
    quality_power : qualities are drawn as 101 · u ** this, u uniform: above 1 favours low ones
    seed : of crops, qualities and noise
    """

    steps: int = 300_000
    batch: int = 8
    warmup: int = 500
    decay: float = 0.6
    learning_rate: float = 1e-3
    rounded_from: float = 0.9
    average: float = 0.9995
    quality_power: float = 1.0
    seed: int = 0

    def factor(self, step: int) -> float:
        """Return the learning rate of a step relative to the full one."""
        left = (self.steps - step) / max(1.0, self.steps * self.decay)
        return min(1.0, (step + 1) / self.warmup, left)
