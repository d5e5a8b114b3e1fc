"""The training loop of codec and token adapter: exactly resumable, in one or many processes, on CPU or GPU."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from cotam_lab.nets.codec import Codec
from cotam_lab.nets.integers import set_tracking
from cotam_lab.train.batches import PackBatches, TileBatches
from cotam_lab.train.checkpoints import Average, save_checkpoint
from cotam_lab.train.losses import Batch, Loss, Parts, rate_distortion
from cotam_lab.train.precision import bf16_pays
from cotam_lab.train.schedule import Schedule

__all__ = ["Part", "train"]

Part = Literal["codec", "transforms", "adapter"]

HYPER = ("hyper_analysis.", "hyper_context.", "z_log2_step.", "z_index.")
"""What codes the hyper latents, by the start of the parameters' names."""

TRACK_EVERY, TRACKED = 32, 8
"""Training steps between two updates of the step sizes of activations, and crops used for an update."""

AGREE_EVERY = 20
"""Steps between two points at which processes agree whether to stop."""


def _trains(part: Part, name: str) -> bool:
    if name.startswith("adapter."):
        return part == "adapter"
    return part == "codec" or (part == "transforms" and not name.startswith(HYPER))


class _Run:
    """Network, optimiser and running average of one run, and the files in its folder."""

    def __init__(
        self, model: Any, folder: Path, schedule: Schedule, loss: Loss, part: Part, *, float32: bool
    ) -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        precision: Any = "bf16" if bf16_pays(device) and not float32 else "no"
        self.accelerator = Accelerator(mixed_precision=precision, cpu=device == "cpu")
        self.folder, self.schedule, self.loss, self.part = folder, schedule, loss, part
        if isinstance(loss, torch.nn.Module):
            loss.to(device)
        self.model = model.to(self.accelerator.device, memory_format=torch.channels_last).train()
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(_trains(part, name))
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        rule = torch.optim.Adam(self.trained, schedule.learning_rate, betas=(0.9, 0.99), fused=True)
        self.average = Average(self.model, schedule.average)
        self.step = self._resume(rule)
        network = torch.compile(self.model) if device == "cuda" else self.model
        self.network, self.rule = self.accelerator.prepare(network, rule)

    def _resume(self, rule: torch.optim.Optimizer) -> int:
        """Load the checkpoint, if there is one, and return the step to continue from."""
        self.folder.mkdir(parents=True, exist_ok=True)
        checkpoint = self.folder / "checkpoint.pt"
        if not checkpoint.exists():
            if self.accelerator.is_main_process:
                text = json.dumps(asdict(self.schedule), indent=1)
                (self.folder / "schedule.json").write_text(text + "\n")
            return 0
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.state = {k: v.to(self.accelerator.device) for k, v in state["average"].items()}
        rule.load_state_dict(state["optimiser"])
        return int(state["step"])

    def update(self, batch: Batch) -> Parts:
        """Take one step. Returns the parts of the loss and the norm of the gradient."""
        rank = self.accelerator.process_index
        for group in self.rule.param_groups:
            group["lr"] = self.schedule.learning_rate * self.schedule.factor(self.step)
        if isinstance(self.model, Codec) and self.step % TRACK_EVERY == 0:
            self._track(batch)
        torch.manual_seed((self.schedule.seed * 1_000_003 + self.step) * 1_009 + rank)
        noise = self.step < self.schedule.rounded_from * self.schedule.steps
        with self.accelerator.autocast():
            coded = self.network(
                batch.image, batch.quality, batch.levels, noise=noise, adapted=self.part == "adapter"
            )
        parts = self.loss(coded, batch)
        self.rule.zero_grad()
        self.accelerator.backward(parts["loss"])
        norm = self.accelerator.clip_grad_norm_(self.trained, 1.0)
        self.rule.step()
        self.step += 1
        self.average.update(self.model, self.step)
        return {**parts, "norm": norm}

    @torch.no_grad()
    def _track(self, batch: Batch) -> None:
        """Update the step sizes of the activations in the trained part."""
        adapted = self.part == "adapter"
        tracked = self.model.adapter if adapted else self.model
        set_tracking(tracked, True)
        seen = (t[:TRACKED] for t in (batch.image, batch.quality, batch.levels))
        with self.accelerator.autocast():
            self.model(*seen, adapted=adapted)
        set_tracking(tracked, False)

    def save(self) -> None:
        """Write the checkpoint."""
        if self.accelerator.is_main_process:
            save_checkpoint(
                self.folder / "checkpoint.pt",
                step=self.step,
                model=self.model.state_dict(),
                average=self.average.state,
                optimiser=self.rule.state_dict(),
            )

    def log(self, row: dict[str, float]) -> None:
        """Append a row to the log."""
        if self.accelerator.is_main_process:
            numbers = {key: round(value, 5) for key, value in row.items()}
            with (self.folder / "log.jsonl").open("a") as file:
                print(json.dumps({"step": self.step, **numbers}), file=file)

    def agree(self, over: bool) -> bool:
        """Whether any process wants to stop; processes must agree, or one would wait for gradients forever."""
        if self.accelerator.num_processes == 1:
            return over
        if self.step % AGREE_EVERY:
            return False
        wish = torch.tensor(float(over), device=self.accelerator.device)
        return bool(self.accelerator.reduce(wish, "max") > 0)


def train(
    model: Any,
    batches: PackBatches | TileBatches,
    folder: Path,
    schedule: Schedule,
    *,
    loss: Loss = rate_distortion,
    part: Part = "codec",
    float32: bool = False,
    minutes: float | None = None,
    log_every: int = 100,
    save_minutes: float = 5.0,
) -> None:
    """Train until ``schedule.steps`` or for ``minutes``, continuing from ``folder/checkpoint.pt`` if it exists.

    ``model`` has the interface of `Codec`. ``part`` "codec" trains all parameters except ``adapter``, "transforms" all
    but these and `HYPER`, "adapter" only ``adapter``. ``float32`` keeps `model` from bf16, whose rounding errors
    in plain areas it would learn to cancel. The host synchronises with a GPU once in ``log_every`` steps. A row of the
    log has the mean of each part of the loss over the steps since the last row that have it, and "mpx", megapixels per
    second.

    Writes ``checkpoint.pt`` (weights, average, optimiser, step), ``log.jsonl`` and ``schedule.json``.
    """
    run = _Run(model, folder, schedule, loss, part, float32=float32)
    stops: list[bool] = []
    before = signal.signal(signal.SIGTERM, lambda *_: stops.append(True))
    started = saved = row_began = time.monotonic()
    parts: dict[str, list[Tensor]] = {}
    pixels = 0
    accelerator = run.accelerator
    bar = tqdm(initial=run.step, total=schedule.steps, disable=not accelerator.is_main_process, mininterval=5)
    for batch in batches.stream(run.step, accelerator.process_index, accelerator.num_processes):
        rate = schedule.factor(run.step)
        for key, value in run.update(batch).items():
            parts.setdefault(key, []).append(value.detach())
        pixels += batch.image[:, 0].numel() * accelerator.num_processes
        if run.step % log_every == 0:
            means = {key: float(torch.stack(own).mean()) for key, own in parts.items()}  # waits for a GPU
            now = time.monotonic()
            run.log(
                {**means, "rate": rate, "seconds": now - started, "mpx": pixels / 1e6 / (now - row_began)}
            )
            bar.set_postfix(loss=f"{means['loss']:.4f}")
            parts, pixels, row_began = {}, 0, now
        bar.update()
        now = time.monotonic()
        if now - saved > 60 * save_minutes:
            run.save()
            saved = now
        if run.agree(bool(stops) or (minutes is not None and now - started > 60 * minutes)):
            break
    run.save()
    signal.signal(signal.SIGTERM, before)
    accelerator.end_training()
