"""Real classes of the three families, tiny: images reach the model, and likelihoods are the model's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from synthetic import picture

from cotam_lab.evaluate.backends import StoppedError
from cotam_lab.evaluate.local import Local

FAMILIES = ("llava", "qwen", "internvl")
PHOTOS = [picture(80, 100, seed) for seed in (1, 2, 3)]


@pytest.fixture(scope="module")
def loaded(models: dict[str, Path]) -> dict[str, Local]:
    found = {name: Local(str(folder), device="cpu") for name, folder in models.items()}
    for one in found.values():
        one.prepare()
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_depend_on_the_images_and_are_always_the_same(loaded: dict[str, Local], family: str) -> None:
    model = loaded[family]
    replies = [model.ask([photo], "What is it?", 12) for photo in PHOTOS]
    assert replies == [model.ask([photo], "What is it?", 12) for photo in PHOTOS]
    assert len({reply.text for reply in replies}) > 1
    assert all(
        reply.completion_tokens is not None and 1 <= reply.completion_tokens <= 12 for reply in replies
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_every_image_takes_tokens(loaded: dict[str, Local], family: str) -> None:
    counts = [loaded[family].ask(PHOTOS[:number], "Which?", 1).prompt_tokens for number in (1, 2, 3)]
    assert None not in counts
    assert counts[1] - counts[0] == counts[2] - counts[1] >= 4  # type: ignore[operator]


@pytest.mark.parametrize("family", FAMILIES)
def test_losses_are_those_of_the_text_as_a_whole(loaded: dict[str, Local], family: str) -> None:
    """Beside the model on prompt and answer in one text, as training would have them."""
    model, choices = loaded[family], ["a dog", "B", "two large houses"]
    losses, length = model.losses([PHOTOS[0]], "What is it?", choices)
    processor, network = model._processor, model._model
    turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}]
    start = processor.apply_chat_template(turn, add_generation_prompt=True)
    for choice, loss in zip(choices, losses, strict=True):
        inputs = processor(images=[Image.fromarray(PHOTOS[0])], text=[start + choice], return_tensors="pt")
        with torch.inference_mode():
            logits = network(**inputs).logits[0, length - 1 : -1].log_softmax(-1)
        ids = inputs["input_ids"][0, length:]
        assert len(ids) == len(choice)  # a token for each character
        assert loss == pytest.approx(-logits[torch.arange(len(ids)), ids].mean().item(), rel=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_images_and_prompt_are_processed_once(loaded: dict[str, Local], family: str) -> None:
    """For all choices together; each then costs a pass over its own tokens, but for the last one's."""
    model, seen = loaded[family], []
    hook = model._model.register_forward_pre_hook(
        lambda _, __, inputs: seen.append(inputs["input_ids"].shape[1]), with_kwargs=True
    )
    try:
        losses, length = model.losses(PHOTOS[:1], "Which?", ["a dog", "B", "no", "a dog"])
    finally:
        hook.remove()
    assert seen == [length, 4, 1, 4]
    assert losses[0] == losses[3]


def test_what_is_no_model_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoppedError, match="cannot be loaded") as caught:
        Local(str(tmp_path)).prepare()
    assert "\n" not in str(caught.value)


def test_a_model_without_a_template_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    for file in models["llava"].iterdir():
        if file.name != "chat_template.jinja":
            (tmp_path / file.name).symlink_to(file)
    with pytest.raises(StoppedError, match="no chat template"):
        Local(str(tmp_path)).prepare()
