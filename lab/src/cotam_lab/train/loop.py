"""The training loop of codec and token adapter: resumable to the step, one or many processes, CPU or GPU.

Knows batches and the network: nothing of files of pictures (``data``), of what is minimised (``losses``) or
of export (``export``). Crops, levels, qualities and noise of a step follow from (seed, step, rank), so a
resumed run goes on as if it had never stopped.
"""

from __future__ import annotations

import copy
import json
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from cotam.errors import InputError
from cotam_lab.nets.codec import INTEGER_QUALITY, Codec, Shape
from cotam_lab.nets.entropy import QUALITIES
from cotam_lab.nets.integers import set_tracking
from cotam_lab.train.data import Crops, random_levels
from cotam_lab.train.losses import Batch, Loss, rate_distortion
from cotam_lab.train.precision import bf16_pays

Part = Literal["codec", "adapter"]

TRACK_EVERY = 32
"""Every so many steps the steps of integer activations follow what they see."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

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
        """Learning rate of a step relative to the full one."""
        left = (self.steps - step) / max(1.0, self.steps * self.decay)
        return min(1.0, (step + 1) / self.warmup, left)


class Average:
    """Running average of the weights, warmed up so that early weights are forgotten."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        decay = min(self.decay, (step + 1) / (step + 10))
        live = model.state_dict()
        torch._foreach_lerp_([self.state[k] for k in self.state], [live[k] for k in self.state], 1 - decay)


def save_checkpoint(path: Path, **state: object) -> None:
    """Write beside the target and rename: a kill leaves the last whole checkpoint."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def averaged_weights(path: Path) -> dict[str, torch.Tensor]:
    """The running average of the weights of a checkpoint, or of what `export` wrote."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)["average"]


def shape_of(state: Mapping[str, Tensor]) -> Shape:
    """Which generation weights are of."""
    return Shape(
        integers=any(name.endswith("space_steps.steps") for name in state),
        causal=any(name.startswith("hyper_context.") for name in state),
    )


def load_codec(path: Path, shape: Shape | None = None) -> Codec:
    """A codec with the averaged weights of a file, see `averaged_weights`.

    With ``shape``, weights of the first generation start one of the second: what they lack is as before training.
    """
    state = averaged_weights(path)
    codec = Codec(shape or shape_of(state))
    missing, unexpected = codec.load_state_dict(state, strict=False)
    if unexpected or (missing and codec.shape == shape_of(state)):
        raise InputError(f"{path} has no weights for this codec: {', '.join([*missing, *unexpected][:3])} …")
    return codec


Evaluate = Callable[[Any, int], dict[str, float]]
"""The network with averaged weights, and the step → what to log."""


def train(
    model: nn.Module,
    crops: Crops,
    run: Path,
    schedule: Schedule,
    *,
    loss: Loss = rate_distortion,
    part: Part = "codec",
    minutes: float | None = None,
    evaluate: Evaluate | None = None,
    evaluate_every: int = 10_000,
    log_every: int = 100,
    save_minutes: float = 5.0,
) -> None:
    """Train until ``schedule.steps``, or for ``minutes``; goes on from ``run/checkpoint.pt`` if there is one.

    ``model`` is called as `Codec` is. ``part`` "codec" trains all but what is named ``adapter``, "adapter"
    trains that alone.

    Writes ``checkpoint.pt`` (weights, average, optimiser, step), ``log.jsonl`` and ``schedule.json``.
    """
    cuda = torch.cuda.is_available()
    precision: Any = "bf16" if bf16_pays("cuda" if cuda else "cpu") else "no"
    accelerator = Accelerator(mixed_precision=precision, cpu=not cuda)
    rank, ranks = accelerator.process_index, accelerator.num_processes
    run.mkdir(parents=True, exist_ok=True)
    model = model.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.train()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("adapter.") == (part == "adapter"))
    trained = [p for p in model.parameters() if p.requires_grad]
    rule = torch.optim.Adam(trained, schedule.learning_rate, betas=(0.9, 0.99), fused=True)
    average = Average(model, schedule.average)
    checkpoint, first = run / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        average.state = {k: v.to(accelerator.device) for k, v in state["average"].items()}
        first = state["step"]
        if "optimiser" in state:
            rule.load_state_dict(state["optimiser"])
    elif accelerator.is_main_process:
        (run / "schedule.json").write_text(json.dumps(asdict(schedule), indent=1) + "\n")
    if isinstance(loss, nn.Module):
        loss.to(accelerator.device)
    network = torch.compile(model) if cuda else model
    network, rule = accelerator.prepare(network, rule)

    def save(step: int) -> None:
        if accelerator.is_main_process:
            save_checkpoint(
                checkpoint,
                step=step,
                model=model.state_dict(),
                average=average.state,
                optimiser=rule.state_dict(),
            )

    def log(step: int, row: dict[str, float]) -> None:
        if accelerator.is_main_process:
            with (run / "log.jsonl").open("a") as file:
                print(json.dumps({"step": step, **{k: round(v, 5) for k, v in row.items()}}), file=file)

    integers = isinstance(model, Codec) and model.shape.integers
    options: dict[str, int] = {}
    asked_to_stop = []
    before = signal.signal(signal.SIGTERM, lambda *_: asked_to_stop.append(True))
    started = saved_at = time.monotonic()
    sums: dict[str, Tensor] = {}
    summed = 0
    share = schedule.batch // ranks
    bar = tqdm(initial=first, total=schedule.steps, disable=not accelerator.is_main_process, mininterval=5)
    step = first
    for pixels, text in crops.stream(first, schedule.steps, share, rank):
        factor = schedule.factor(step)
        for group in rule.param_groups:
            group["lr"] = schedule.learning_rate * factor
        rng = np.random.default_rng((schedule.seed, step, rank))
        torch.manual_seed(int(rng.integers(2**62)))
        drawn = np.sort(QUALITIES * rng.random(share) ** schedule.quality_power).astype(np.int64)
        quality = torch.from_numpy(drawn).to(accelerator.device)
        if integers:
            set_tracking(model, step % TRACK_EVERY == 0)
            options["rounded"] = int((drawn <= INTEGER_QUALITY).sum())
        cells = crops.size // 32
        levels = torch.from_numpy(random_levels(rng, share, cells, cells)).to(accelerator.device)
        picture = torch.from_numpy(pixels).to(accelerator.device).permute(0, 3, 1, 2).float() / 255
        with accelerator.autocast():
            noise = step < schedule.rounded_from * schedule.steps
            coded = network(picture, quality, levels, noise=noise, adapted=part == "adapter", **options)
        masks = torch.from_numpy(text).to(accelerator.device)
        parts = loss(coded, Batch(picture, quality, levels, masks, step / schedule.steps))
        rule.zero_grad()
        accelerator.backward(parts["loss"])
        norm = accelerator.clip_grad_norm_(trained, 1.0)
        rule.step()
        step += 1
        average.update(model, step)
        for key, value in {**parts, "norm": norm}.items():
            # Tensors, so that a GPU is not waited for.
            sums[key] = sums.get(key, 0) + value.detach().double()
        summed += 1
        if step % log_every == 0:  # of fewer steps where a run went on in between
            means = {key: float(value) / summed for key, value in sums.items()}
            log(step, {**means, "rate": factor, "seconds": time.monotonic() - started})
            bar.set_postfix(loss=f"{means['loss']:.4f}")
            sums.clear()
            summed = 0
        bar.update()
        now = time.monotonic()
        over = bool(asked_to_stop) or (minutes is not None and now - started > 60 * minutes)
        if ranks > 1:
            # All must agree to stop, or one waits for gradients that never come.
            over = step % 20 == 0 and bool(
                accelerator.reduce(torch.tensor(float(over), device=accelerator.device), "max") > 0
            )
        if now - saved_at > 60 * save_minutes:
            save(step)
            saved_at = now
        if evaluate and accelerator.is_main_process and step % evaluate_every == 0:
            averaged = copy.deepcopy(model)
            averaged.load_state_dict(average.state)
            log(step, evaluate(averaged.eval(), step))
        if over:
            break
    save(step)
    signal.signal(signal.SIGTERM, before)
    accelerator.end_training()
