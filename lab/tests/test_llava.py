"""Tiny seeded LLaVA models through the real classes, saved and loaded, read bytes of the shipped codec."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tiny_llava
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from synthetic import picture
from transformers import (
    CLIPVisionConfig,
    Dinov2Config,
    LlavaForConditionalGeneration,
    SiglipVisionConfig,
)
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.llava.processing_llava import LlavaProcessor
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

import cotam
from cotam.codec import weights
from cotam.errors import InputError
from cotam_lab.llava import as_channels, attach, from_channels, view_of
from cotam_lab.nets.adapter import TokenAdapter, added

SIDE, PATCH = 56, 14
SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "patch_size": PATCH,
    "image_size": SIDE,
}
TOWERS = {"clip": CLIPVisionConfig, "dinov2": Dinov2Config, "siglip": SiglipVisionConfig}
CROP = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
PROCESSORS = {
    "clip": CLIPImageProcessorPil(**CROP),
    "pad": LlavaImageProcessorPil(**CROP, do_pad=True),
    "dinov2": BitImageProcessorPil(size={"shortest_edge": 64}, crop_size={"height": SIDE, "width": SIDE}),
    "small": CLIPImageProcessorPil(size={"shortest_edge": 42}, crop_size={"height": SIDE, "width": SIDE}),
    "siglip": SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE}),
}
FILES = [
    cotam.encode(picture(*size, seed=seed), quality=30) for seed, size in enumerate([(96, 150), (80, 64)])
]
SET = weights.by_hash(cotam.format.header.read_header(FILES[0]).weights).digest.hex()


@pytest.fixture(scope="module", params=TOWERS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    name, out = request.param, tmp_path_factory.mktemp(request.param)
    strategy = "full" if name == "siglip" else "default"
    tiny_llava.write(out, TOWERS[name](**SMALL), PROCESSORS[name], strategy)
    return out


@pytest.fixture
def model(folder: Path) -> LlavaForConditionalGeneration:
    return LlavaForConditionalGeneration.from_pretrained(folder).eval()


def adapter(*, zero: bool = False) -> TokenAdapter:
    torch.manual_seed(1)
    made = TokenAdapter(256, 32, encoder="tiny", weights=SET)
    if not zero:
        torch.nn.init.normal_(made.leave.weight, std=0.2)
    return made


def logits(model: LlavaForConditionalGeneration, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return model(**inputs).logits


def of_images(attached, files: list[bytes], prompts: list[str]) -> dict[str, torch.Tensor]:
    """What the model's own processor gives for decoded images."""
    decoded = [cotam.decode(data) for data in files]
    return dict(
        attached.processor(
            images=decoded, text=prompts, return_tensors="pt", padding=True, padding_side="left"
        )
    )


def test_generation_runs_from_bytes(model, tmp_path):
    adapter().save(tmp_path / "adapter.safetensors")
    attached = attach(model, tmp_path / "adapter.safetensors")
    inputs = attached.inputs(FILES, "<image> and <image>: what?")
    before = inputs["input_ids"].shape[1]
    for options in ({}, {"num_beams": 2}, {"do_sample": True, "num_return_sequences": 2}):
        found = model.generate(**inputs, max_new_tokens=3, min_new_tokens=3, **options)
        assert found.shape[1] == before + 3


@pytest.mark.parametrize("adapter", [None, adapter(zero=True)], ids=["none", "zero"])
def test_an_adapter_of_zeros_changes_nothing(model, adapter):
    attached = attach(model, adapter)
    prompts = ["<image>what is it?", "<image>"]
    found = logits(model, attached.inputs(FILES, prompts))
    assert torch.equal(found, logits(model, of_images(attached, FILES, prompts)))


def test_tokens_reach_the_patch_embeddings(model):
    attached = attach(model, adapter())
    inputs = attached.inputs(FILES[0], "<image>what?")
    plain = of_images(attached, FILES[:1], ["<image>what?"])
    without = logits(model, plain)  # a picture without tokens passes an attached model as ever
    found = logits(model, inputs)
    assert (found - without).abs().max() > 1e-3
    latents = cotam.codec.shared.codec().decode_latents(cotam.format.header.read_file(FILES[0]))
    view = view_of(attached.processor.image_processor, (96, 150), PATCH)
    with torch.no_grad():
        tokens = attached.adapter(
            torch.from_numpy(latents.values)[None], torch.from_numpy(latents.log2_gain)[None, None], view
        )
    attached.detach()
    assert torch.equal(logits(model, plain), without)
    with added(model.model.vision_tower, tokens):
        torch.testing.assert_close(logits(model, plain), found)


def test_detach_restores_the_model(model):
    plain = of_images(attach(model), FILES[:1], ["<image>what?"])
    fresh = LlavaForConditionalGeneration.from_pretrained(model.config._name_or_path).eval()
    attached = attach(model, adapter())
    logits(model, attached.inputs(FILES[0], "<image>"))
    attached.detach()
    assert torch.equal(logits(model, plain), logits(fresh, plain))
    with pytest.raises(InputError, match="was detached"):
        attached.inputs(FILES[0], "<image>")


def test_a_batch_is_its_parts(model):
    """Several images in one prompt, shorter prompts padded: each sequence ends as it does alone."""
    attached = attach(model, adapter())
    prompts, parts = ["<image>then<image>?", "<image>what?"], [FILES, FILES[1:]]
    both = logits(model, attached.inputs([*FILES, FILES[1]], prompts))
    for row, (prompt, files) in enumerate(zip(prompts, parts, strict=True)):
        alone = logits(model, attached.inputs(files, prompt))
        torch.testing.assert_close(both[row, -1], alone[0, -1], atol=1e-4, rtol=1e-3)


def test_threads_get_their_own_tokens(model):
    attached = attach(model, adapter())

    def one(file: bytes) -> torch.Tensor:
        return logits(model, attached.inputs(file, "<image>what?"))[0, -1]

    expected = [one(file) for file in FILES]
    assert not torch.allclose(expected[0], expected[1])
    with ThreadPoolExecutor(4) as pool:
        for number, found in enumerate(pool.map(one, FILES * 6)):
            torch.testing.assert_close(found, expected[number % 2])


@pytest.mark.parametrize("folder", ["dinov2"], indirect=True)
def test_grids_that_are_no_square(model):
    """A processor that does not crop: DINOv2 takes any grid, but a batch has one."""
    uncropped = BitImageProcessorPil(size={"shortest_edge": SIDE}, do_center_crop=False)
    processor = LlavaProcessor(
        uncropped,
        tiny_llava.tokenizer(["<image>"], image_token="<image>"),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    attached = attach(model, adapter(), processor=processor)
    inputs = attached.inputs(FILES[0], "<image>what?")
    assert inputs["pixel_values"].shape == (1, 4, SIDE, 87)
    assert torch.isfinite(logits(model, inputs)).all()
    with pytest.raises(InputError, match="cannot batch images of 150×96, 64×80") as found:
        attached.inputs(FILES, "<image><image>")
    assert "\n" not in str(found.value)


def test_what_does_not_fit_is_refused(model):
    with pytest.raises(InputError, match="takes LlavaForConditionalGeneration"):
        attach(model.model.language_model)
    with pytest.raises(InputError, match="width 48"):
        attach(model, TokenAdapter(256, 48))
    attached = attach(model, adapter())
    with pytest.raises(InputError, match="1 times <image>, there are 2 images"):
        attached.inputs(FILES, "<image>")
    other = adapter()
    other.weights = "00" * 32
    with pytest.raises(InputError, match="the adapter is for 00000000"):
        attach(model, other).inputs(FILES[0], "<image>")
    with pytest.raises(cotam.errors.NotCotamError):
        attached.inputs(b"no picture at all", "<image>")
    model.config._name_or_path = ""
    with pytest.raises(InputError, match="pass processor="):
        attach(model)


@settings(max_examples=40)
@given(st.sampled_from(sorted(PROCESSORS)), st.integers(60, 400), st.integers(60, 400))
def test_views_agree_with_the_processors(name, height, width):
    """Ramps along both axes show where each patch lies."""
    images = PROCESSORS[name]
    y, x = np.mgrid[0:height, 0:width]
    ramps = np.stack([(y + 0.5) / height, (x + 0.5) / width, np.zeros((height, width))], 2) * 255
    seen = images(images=[Image.fromarray(np.rint(ramps).astype(np.uint8))], return_tensors="pt")
    mean, std = (torch.tensor(v)[:, None, None] for v in (images.image_mean, images.image_std))
    pixels = seen["pixel_values"][0] * std + mean
    patches = pixels.unfold(1, PATCH, PATCH).unfold(2, PATCH, PATCH).mean((3, 4))
    view = view_of(images, (height, width), PATCH)
    assert view.grid == tuple(patches.shape[1:])
    for axis, length in ((0, height), (1, width)):
        place = view.origin[axis] + (torch.arange(view.grid[axis]) + 0.5) * view.patch[axis]
        expected = (
            (place / length)[:, None].expand(view.grid) if axis == 0 else (place / length).expand(view.grid)
        )
        whole = torch.ones(view.grid, dtype=torch.bool)
        for other, size in ((0, height), (1, width)):
            start = view.origin[other] + torch.arange(view.grid[other]) * view.patch[other]
            inner = (start >= 0) & (start + view.patch[other] <= size)
            whole &= inner[:, None] if other == 0 else inner
        difference = (patches[axis] - expected)[whole].abs()
        assert difference.numel() == 0 or difference.max() < 0.015


def test_an_unknown_processor_is_refused():
    padding = CLIPImageProcessorPil(**CROP, do_pad=True)
    with pytest.raises(InputError, match="pads in an unknown way"):
        view_of(padding, (100, 100), PATCH)
    longest = CLIPImageProcessorPil(size={"longest_edge": 60, "shortest_edge": 40})
    with pytest.raises(InputError, match="resizes to"):
        view_of(longest, (100, 100), PATCH)


@settings(max_examples=30)
@given(st.integers(14, 60), st.integers(14, 60), st.integers(1, 500))
def test_tokens_travel_as_channels(height, width, size):
    tokens = torch.randn((height // PATCH) * (width // PATCH), size)
    channels = as_channels(tokens, PATCH, (height, width))
    assert channels.shape == (-(-size // PATCH**2), height, width)
    assert torch.equal(from_channels(channels[None], PATCH, size)[0], tokens)
