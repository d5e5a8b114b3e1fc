"""Train the reference model: first the connector on names and captions, then also LoRA.

Items follow from (seed, step), so a resumed run continues exactly. One GPU or a CPU.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from cotam_lab.evaluate.questions import METRICS
from cotam_lab.reference.model import (
    END,
    IMAGE_TOKEN,
    MEAN,
    STD,
    Settings,
    add_low_rank,
    put_trained,
    save_trained,
    trained,
)
from cotam_lab.reference.quiz import Item, Material, draw
from cotam_lab.train.checkpoints import save_checkpoint

__all__ = ["REHEARSAL", "Batch", "Batches", "Schedule", "losses", "train"]

FIRST = {"class": 0.5, "caption": 0.4, "kind": 0.1}
SECOND = {
    "large text": 0.13,
    "text": 0.1,
    "small text": 0.1,
    "counting": 0.13,
    "more": 0.05,
    "colour": 0.06,
    "shape": 0.05,
    "position": 0.1,
    "corner": 0.04,
    "larger": 0.04,
    "class": 0.06,
    "kind": 0.04,
    "animal": 0.04,
    "caption": 0.06,
}
"""Task → share of the items of each stage."""

SAVE_MINUTES = 3.0

_IGNORED = -100


@dataclass(frozen=True)
class Schedule:
    """Lengths and learning rates of the training.

    Attributes
    ----------
    connector_steps : of the first stage
    steps : of both
    batch : items a step
    learning_rate : of the connector in the first stage
    second_rate : of the connector in the second
    low_rank_rate : of the low-rank changes
    warmup : share of each stage in which rates rise; then they fall linearly to 0
    bare : share of the items without an instruction after the question
    """

    connector_steps: int = 800
    steps: int = 4_000
    batch: int = 128
    learning_rate: float = 1e-3
    second_rate: float = 3e-4
    low_rank_rate: float = 5e-4
    warmup: float = 0.05
    bare: float = 0.4
    seed: int = 0

    def factor(self, step: int) -> float:
        """Learning rate of a step, relative to the largest of its stage."""
        first = step < self.connector_steps
        begin, end = (0, self.connector_steps) if first else (self.connector_steps, self.steps)
        done = (step - begin + 0.5) / (end - begin)
        return min(done / self.warmup, (1 - done) / (1 - self.warmup))


REHEARSAL = Schedule(connector_steps=2, steps=4, batch=2)
"""A few steps, to test the set-up."""


@dataclass
class Batch:
    """Items of a step: images uint8 (B, side, side, 3), ids, mask and labels int64 (B, T), and tasks.

    Arrays, not tensors: workers send them through pipes and need no shared memory.
    """

    images: np.ndarray
    ids: np.ndarray
    mask: np.ndarray
    labels: np.ndarray
    tasks: list[str]


class Batches(Dataset[Batch]):
    """Data set of the batches of all steps, reproducible."""

    def __init__(self, material: Material, processor: Any, settings: Settings, schedule: Schedule) -> None:
        self.material, self.processor = material, processor
        self.settings, self.schedule = settings, schedule

    def __len__(self) -> int:
        return self.schedule.steps

    def __getitem__(self, step: int) -> Batch:
        shares = FIRST if step < self.schedule.connector_steps else SECOND
        names, bounds = list(shares), np.cumsum(list(shares.values()))
        images, rows, tasks = [], [], []
        for number in range(self.schedule.batch):
            seed = (self.schedule.seed, step, number)
            rng = np.random.default_rng([*seed, 1])
            task = names[int(np.searchsorted(bounds, rng.random() * bounds[-1], side="right"))]
            item = draw(task, [*seed, 0], self.material)
            images.append(_fitted(item.pixels, self.settings.side))
            rows.append(self.encoded(item, bare=rng.random() < self.schedule.bare))
            tasks.append(task)
        # Not pad_token_id, which some versions of transformers do not set for a GGUF file.
        filler = self.processor.tokenizer.convert_tokens_to_ids(END)
        return _padded(images, rows, tasks, filler)

    def encoded(self, item: Item, *, bare: bool) -> tuple[list[int], list[int]]:
        """Return the ids of prompt and answer, as `cotam_lab.evaluate.local` asks, and of the answer."""
        own = "" if bare else METRICS[item.metric][0]
        prompt = item.question + (f"\n{own}" if own else "")
        turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}]
        text = self.processor.apply_chat_template(turn, add_generation_prompt=True)
        cells = (self.settings.side // self.processor.patch_size) ** 2
        text = text.replace(IMAGE_TOKEN, IMAGE_TOKEN * cells, 1)
        answer = self._ids(item.answer + END)
        return self._ids(text) + answer, answer

    def _ids(self, text: str) -> list[int]:
        return self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]


def losses(model: Any, batch: Batch) -> Tensor:
    """Compute the mean negative log-likelihood a token of each item's answer, in nats: (B,).

    Logits are computed for answers only: those of whole prompts would not fit in memory.
    """
    device = model.lm_head.weight.device
    images = torch.from_numpy(batch.images).to(device).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values, device=device)[None, :, None, None] for values in (MEAN, STD))
    ids, mask, labels = (torch.from_numpy(a).to(device) for a in (batch.ids, batch.mask, batch.labels))
    labels = labels[:, 1:]
    seen = model.model(
        input_ids=ids, attention_mask=mask, pixel_values=(images - mean) / std, use_cache=False
    ).last_hidden_state[:, :-1]
    where = labels != _IGNORED
    each = nn.functional.cross_entropy(model.lm_head(seen[where]).float(), labels[where], reduction="none")
    rows = where.nonzero()[:, 0]
    sums = torch.zeros(len(labels), device=device).index_add(0, rows, each)
    return sums / where.sum(1)


def train(
    model: Any,
    processor: Any,
    material: Material,
    run: Path,
    schedule: Schedule = Schedule(),
    settings: Settings = Settings(),
    *,
    minutes: float | None = None,
    workers: int = 0,
    log_every: int = 50,
) -> Path | None:
    """Train until ``schedule.steps`` or for ``minutes``; continue from ``run/checkpoint.pt`` if it exists.

    Parameters
    ----------
    model, processor : from `cotam_lab.reference.model.assemble` with the same settings
    run : gets ``checkpoint.pt``, ``log.jsonl``, ``schedule.json``, at the end ``reference.safetensors``
    workers : processes that draw images; 0 draws them in this one

    Returns
    -------
    Path or None
        The trained file, after all steps.
    """
    run.mkdir(parents=True, exist_ok=True)
    state = _State(model, settings, schedule, run)
    asked_to_stop: list[bool] = []
    before = signal.signal(signal.SIGTERM, lambda *_: asked_to_stop.append(True))
    started = saved_at = time.monotonic()
    sums = _Sums(run / "log.jsonl", log_every, started)
    bar = tqdm(initial=state.step, total=schedule.steps, mininterval=5, disable=None)
    for batch in _stream(Batches(material, processor, settings, schedule), state.step, workers):
        each = state.train_on(batch)
        bar.update()
        sums.add(state.step, batch.tasks, each)
        now = time.monotonic()
        if asked_to_stop or (minutes is not None and now - started > 60 * minutes):
            break
        if now - saved_at > 60 * SAVE_MINUTES:
            state.save()
            saved_at = now
    state.save()
    signal.signal(signal.SIGTERM, before)
    if state.step < schedule.steps:
        return None
    save_trained(model, settings, run / "reference.safetensors", steps=state.step)
    return run / "reference.safetensors"


class _State:
    """Model, optimiser and step of a run, restored from its checkpoint if it has one."""

    def __init__(self, model: Any, settings: Settings, schedule: Schedule, run: Path) -> None:
        self.model, self.schedule, self.step = model, schedule, 0
        self._file = run / "checkpoint.pt"
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        add_low_rank(model, settings)
        model.to(self._device).requires_grad_(False).eval()
        self._own = trained(model)
        connector = [value for name, value in self._own.items() if name.startswith("connector")]
        self._low_rank = [value for name, value in self._own.items() if not name.startswith("connector")]
        for value in connector:
            value.requires_grad_(True)
        groups = [{"params": connector}, {"params": self._low_rank}]
        self._rule = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.01)
        if self._file.exists():
            state = torch.load(self._file, map_location="cpu", weights_only=True)
            put_trained(model, state["trained"], str(self._file))
            self._rule.load_state_dict(state["optimiser"])
            self.step = state["step"]
        else:
            text = json.dumps(asdict(schedule) | asdict(settings), indent=1) + "\n"
            (run / "schedule.json").write_text(text)

    def train_on(self, batch: Batch) -> Tensor:
        """Do a step; return the loss of each item."""
        schedule, rule = self.schedule, self._rule
        second = self.step >= schedule.connector_steps
        for value in self._low_rank:
            value.requires_grad_(second)
        factor = schedule.factor(self.step)
        rule.param_groups[0]["lr"] = factor * (schedule.second_rate if second else schedule.learning_rate)
        rule.param_groups[1]["lr"] = factor * schedule.low_rank_rate
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
            each = losses(self.model, batch)
        rule.zero_grad()
        each.mean().backward()
        nn.utils.clip_grad_norm_([value for value in self._own.values() if value.grad is not None], 1.0)
        rule.step()
        self.step += 1
        return each.detach()

    def save(self) -> None:
        """Write the checkpoint."""
        state = {name: value.detach() for name, value in self._own.items()}
        save_checkpoint(self._file, step=self.step, trained=state, optimiser=self._rule.state_dict())


@dataclass
class _Sums:
    """Mean loss of each task since the last line of the log; synchronises with the GPU only for a line."""

    file: Path
    every: int
    started: float
    held: list[tuple[list[str], Tensor]] = field(default_factory=list)

    def add(self, step: int, tasks: list[str], each: Tensor) -> None:
        self.held.append((tasks, each))
        if step % self.every:
            return
        found: dict[str, list[float]] = {}
        for names, values in self.held:
            for name, value in zip(names, values.tolist(), strict=True):
                found.setdefault(name, []).append(value)
        self.held.clear()
        means = {name: round(sum(values) / len(values), 4) for name, values in sorted(found.items())}
        row = {"step": step, "seconds": round(time.monotonic() - self.started, 1), "loss": means}
        with self.file.open("a") as file:
            print(json.dumps(row), file=file)


def _stream(batches: Batches, first: int, workers: int) -> Iterator[Batch]:
    steps = range(first, len(batches))
    if not workers:
        yield from (batches[step] for step in steps)
        return
    options: dict[str, Any] = {"num_workers": workers, "prefetch_factor": 2, "worker_init_fn": _alone}
    # Forked, so that all share the photos; they do not use the GPU.
    yield from DataLoader(batches, None, sampler=steps, multiprocessing_context="fork", **options)


def _alone(_: int) -> None:
    """Set up a worker: one thread, default handling of SIGTERM."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _fitted(pixels: np.ndarray, side: int) -> np.ndarray:
    if pixels.shape[:2] == (side, side):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC))


def _padded(
    images: Sequence[np.ndarray], rows: Sequence[tuple[list[int], list[int]]], tasks: list[str], filler: int
) -> Batch:
    """Pad rows to one length, a multiple of 16."""
    length = -(-max(len(ids) for ids, _ in rows) // 16) * 16
    ids = np.full((len(rows), length), filler)
    mask, labels = np.zeros_like(ids), np.full_like(ids, _IGNORED)
    for number, (row, answer) in enumerate(rows):
        ids[number, : len(row)] = row
        mask[number, : len(row)] = 1
        labels[number, len(row) - len(answer) : len(row)] = answer
    return Batch(np.stack(images), ids, mask, labels, tasks)
