"""Training of the reference model: prompts as they are put later, stages, resumption, and that it learns."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_reference
import torch
from click.testing import CliRunner
from PIL import Image
from synthetic import picture
from tiny_reference import SETTINGS

from cotam_lab.evaluate.local import Local
from cotam_lab.reference import model as models
from cotam_lab.reference import train as training
from cotam_lab.reference.model import add_low_rank, assemble, load_trained, trained
from cotam_lab.reference.quiz import Item, Material, draw
from cotam_lab.reference.train import Batches, Schedule, losses, train
from cotam_lab.train.__main__ import main

SCHEDULE = Schedule(connector_steps=2, steps=4, batch=2)


def run(material: Material, folder: Path, **options: float) -> Path | None:
    model, processor = assemble(*tiny_reference.parts(), SETTINGS)
    return train(model, processor, material, folder, SCHEDULE, SETTINGS, log_every=2, **options)  # type: ignore[arg-type]


def state(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoint.pt", weights_only=True)["trained"]


def test_questions_are_put_as_the_harness_puts_them(material: Material) -> None:
    """Loss of a batch, padded and with several items, is what `Local.losses` says of each."""
    model, processor = assemble(*tiny_reference.parts(), SETTINGS)
    batches = Batches(material, processor, SETTINGS, SCHEDULE)
    items = [draw(task, (0, 0), material) for task in ("text", "caption")]
    rows = [batches.encoded(item, bare=bare) for item, bare in zip(items, (False, True), strict=True)]
    side = (SETTINGS.side, SETTINGS.side)
    images = [
        np.asarray(Image.fromarray(item.pixels).resize(side, Image.Resampling.BICUBIC)) for item in items
    ]
    batch = training._padded(images, rows, ["text", "caption"], processor.tokenizer.pad_token_id)
    assert batch.ids.shape[1] % 16 == 0
    found = losses(model, batch)
    harness = Local("tiny", device="cpu")
    harness._model, harness._processor = model, processor
    prompts = [items[0].question + "\nAnswer the question using a single word or phrase.", items[1].question]
    for loss, item, prompt in zip(found, items, prompts, strict=True):
        (expected,), _ = harness.losses([item.pixels], prompt, [item.answer + "<|im_end|>"])
        assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_a_tokenizer_without_padding_gives_the_same_batch(material: Material) -> None:
    """transformers 5.17 reads SmolLM2's GGUF file so."""
    _, processor = assemble(*tiny_reference.parts(), SETTINGS)
    batches = Batches(material, processor, SETTINGS, SCHEDULE)
    expected = batches[3].ids
    processor.tokenizer.pad_token = None
    found = batches[3].ids
    assert found.dtype == np.int64
    assert np.array_equal(found, expected)


def test_batches_follow_from_their_step(material: Material) -> None:
    _, processor = assemble(*tiny_reference.parts(), SETTINGS)
    batches = Batches(material, processor, SETTINGS, SCHEDULE)
    one, again, other = batches[3], batches[3], batches[2]
    assert np.array_equal(one.images, again.images)
    assert np.array_equal(one.labels, again.labels)
    assert not np.array_equal(one.images, other.images)
    assert {task for step in (0, 1) for task in batches[step].tasks} <= set(training.FIRST)
    assert sum(training.FIRST.values()) == pytest.approx(1)
    assert sum(training.SECOND.values()) == pytest.approx(1)


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(material: Material, tmp_path: Path) -> None:
    whole = run(material, tmp_path / "whole")
    for expected in (1, 2, 3):
        assert run(material, tmp_path / "parts", minutes=0.0) is None
        checkpoint = torch.load(tmp_path / "parts/checkpoint.pt", weights_only=True)
        assert checkpoint["step"] == expected
    parts = run(material, tmp_path / "parts", workers=1)
    assert whole is not None
    assert parts is not None
    assert whole.read_bytes() == parts.read_bytes()
    for name, value in state(tmp_path / "whole").items():
        assert torch.equal(value, state(tmp_path / "parts")[name]), name
    rows = [json.loads(line) for line in (tmp_path / "whole/log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4]
    assert all(np.isfinite(list(row["loss"].values())).all() for row in rows)
    assert load_trained(whole)[0] == SETTINGS


def test_the_first_stage_leaves_the_language_model_alone(material: Material, tmp_path: Path) -> None:
    def moved(folder: Path, steps: int) -> dict[str, bool]:
        model, processor = assemble(*tiny_reference.parts(), SETTINGS)
        schedule = Schedule(connector_steps=2, steps=steps, batch=2)
        frozen = [value.clone() for value in model.model.vision_tower.parameters()]
        train(model, processor, material, folder, schedule, SETTINGS)
        assert all(map(torch.equal, frozen, model.model.vision_tower.parameters()))
        return {
            name: bool(value.abs().max() > 0)
            for name, value in state(folder).items()
            if name.endswith(".up.weight")
        }

    assert not any(moved(tmp_path / "first", 2).values())
    assert all(moved(tmp_path / "both", 4).values())


def test_it_learns_to_tell_pictures_apart(material: Material) -> None:
    """Two images, two answers: after some steps the image decides which."""
    model, processor = assemble(*tiny_reference.parts(), SETTINGS)
    add_low_rank(model, SETTINGS)
    own = list(trained(model).values())
    for value in own:
        value.requires_grad_(True)
    batches = Batches(material, processor, SETTINGS, SCHEDULE)
    items = [Item(picture(84, 84, seed), "colour", "?", text) for seed, text in ((1, "a"), (2, "b"))]
    rows = [batches.encoded(item, bare=True) for item in items]
    batch = training._padded([item.pixels for item in items], rows, ["colour"] * 2, 0)
    swapped = training._padded([item.pixels for item in items[::-1]], rows, ["colour"] * 2, 0)
    rule = torch.optim.Adam(own, 1e-2)
    for _ in range(80):
        rule.zero_grad()
        losses(model, batch).mean().backward()
        rule.step()
    with torch.no_grad():
        assert losses(model, batch).max() < 0.3 < losses(model, swapped).min()


def test_the_schedule_rises_and_falls_in_each_stage() -> None:
    schedule = Schedule(connector_steps=100, steps=300, warmup=0.1)
    factors = [schedule.factor(step) for step in range(300)]
    for part in (factors[:100], factors[100:]):
        assert max(part) == pytest.approx(1, abs=0.05)
        assert part[0] < 0.1
        assert 0 < part[-1] < 0.02


def test_the_commands(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "load_parts", tiny_reference.parts)
    monkeypatch.setattr(models, "Settings", lambda: SETTINGS)

    def called(*arguments: object) -> str:
        result = CliRunner().invoke(main, ["reference", *map(str, arguments)])
        assert result.exit_code == 0, result.output
        return result.output

    said = called("fit", data, "-o", tmp_path / "run", "--rehearse", "--workers", 0)
    assert "a rehearsal: untrained" in said
    assert f"cotam eval --model {tmp_path / 'run/reference.safetensors'}" in said
    result = CliRunner().invoke(main, ["reference", "fit", str(tmp_path), "-o", str(tmp_path / "x")])
    assert result.exit_code == 1
    assert "has no readable labels.jsonl" in result.output
