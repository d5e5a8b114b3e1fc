"""The number of training steps, and their learning rates."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Schedule"]


@dataclass(frozen=True)
class Schedule:
    """Settings of a run.

    Attributes
    ----------
    steps : number of steps
    batch : crops per step, over all processes
    warmup : steps in which the learning rate rises linearly, at most an eighth of all
    decay : last share of the steps, in which it falls linearly to zero
    learning_rate : largest learning rate of Adam
    rounded_from : share of the run after which the rate is that of rounded, not noisy, residuals
    average : decay of the running average of the weights
    quality_power : qualities are drawn as 101 · u ** quality_power, u uniform; above 1 low ones are more frequent
    seed : seed of crops, qualities and noise
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
        return min(1.0, (step + 1) / min(self.warmup, self.steps / 8), left)
