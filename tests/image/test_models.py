"""The table of models: names, sizes, tokens and limits, against the sources of each row."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cotam.errors import InputError
from cotam.image import models
from cotam.image.models import Patches

ROWS = models.all_models()
LEVELS = [(model.name, level) for model in ROWS for level in model.details]
VECTORS = json.loads((Path(__file__).parent / "models_vectors.json").read_text(encoding="utf-8"))
SIDES = st.integers(1, 12_000)

# (width, height, detail): (size seen, tokens), from the documents named in the rows.
DOCUMENTED = {
    # Examples of OpenAI's guide, and tokens that its API billed (community.openai.com/t/1262691).
    "gpt-4o": {
        (1024, 1024, "high"): ((768, 768), 765),
        (2048, 4096, "high"): ((768, 1536), 1105),
        (4096, 8192, "low"): ((256, 512), 85),
        (128, 64, "high"): ((128, 64), 255),
    },
    "gpt-4o-mini": {(128, 64, "high"): ((128, 64), 8500), (128, 64, "low"): ((128, 64), 2833)},
    "gpt-5": {(1024, 1024, "high"): ((768, 768), 630), (9, 9, "low"): ((9, 9), 70)},
    "o3": {(128, 64, "high"): ((128, 64), 225), (128, 64, "low"): ((128, 64), 75)},
    "gpt-4.1-mini": {(128, 64, None): ((128, 64), 13), (4096, 2048, None): ((2048, 1024), 3318)},
    "gpt-4.1-nano": {(128, 64, None): ((128, 64), 20)},
    "o4-mini": {(128, 64, None): ((128, 64), 14)},
    "gpt-5-mini": {(1024, 1024, None): ((1024, 1024), 1229)},
    "gpt-5-nano": {(1024, 1024, None): ((1024, 1024), 1536)},
    "gpt-5.2": {(1024, 1024, "low"): ((1024, 1024), 1229), (9000, 900, None): ((2048, 204), 538)},
    "gpt-5.4": {
        (2048, 2048, "high"): ((1600, 1600), 3000),
        (2048, 2048, None): ((1600, 1600), 3000),
        (2048, 2048, "low"): ((2048, 2048), 4916),
        (4096, 512, "original"): ((4096, 512), 2458),
    },
    "gpt-5.5": {
        (640, 480, "low"): ((512, 384), 231),
        (640, 480, "high"): ((640, 480), 360),
        (3200, 3200, None): ((3200, 3200), 12000),
        (12_000, 640, None): ((6000, 320), 2256),
    },
    "gpt-5.6": {
        (4096, 512, "high"): ((2048, 256), 615),
        (4800, 6400, None): ((4800, 6400), 36_000),
        (6000, 3000, "auto"): ((6000, 3000), 21_207),
    },
    "gpt-6": {
        (1024, 1024, "high"): ((1024, 1024), 1229),
        (2048, 2048, "high"): ((1600, 1600), 3000),
        (4096, 512, "high"): ((4096, 512), 2458),
        (4800, 6400, None): ((4800, 6400), 36_000),
    },
    # Examples of Anthropic's pages on vision and coordinates.
    "claude": {
        (200, 200, None): ((200, 200), 64),
        (1000, 1000, None): ((1000, 1000), 1296),
        (1092, 1092, None): ((1092, 1092), 1521),
        (1920, 1080, None): ((1920, 1080), 2691),
        (3840, 2160, None): ((2576, 1449), 4784),
    },
    "claude-4.6": {
        (200, 200, None): ((200, 200), 64),
        (1075, 1520, None): ((924, 1307), 1551),
        (3840, 2160, None): ((1456, 819), 1560),
    },
    "gemini-2.5": {
        (384, 384, None): ((384, 384), 258),
        (960, 540, None): ((960, 540), 6 * 258),
        (1920, 1080, None): ((1920, 1080), 6 * 258),
    },
    "gemini-3": {
        (1920, 1080, "low"): ((1056, 576), 264),
        (1920, 1080, "medium"): ((1488, 816), 527),
        (1920, 1080, "MEDIA_RESOLUTION_HIGH"): ((2112, 1200), 1100),
        (1024, 1024, "ultra_high"): ((2256, 2256), 2209),
    },
    "grok": {(640, 480, None): ((640, 480), None), (8000, 6000, None): ((8000, 6000), None)},
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_sizes_and_tokens(name: str) -> None:
    for (width, height, detail), expected in DOCUMENTED[name].items():
        assert models.get(name).see(width, height, detail) == expected


def test_nova_is_about_what_its_guide_says() -> None:
    for side, tokens in ((900, 1300), (1300, 2600)):
        assert models.get("nova").tokens(side, side) == pytest.approx(tokens, rel=0.05)


def test_vectors_for_other_languages() -> None:
    """Sizes and tokens of every row; lab/tests compares those of open models with transformers."""
    assert [(row["name"], row["detail"]) for row in VECTORS] == LEVELS
    for row in VECTORS:
        model = models.get(row["name"])
        for case in row["cases"]:
            seen = model.see(*case["image"], row["detail"])
            assert [*seen.size] == case["sees"], (row["name"], case)
            assert seen.tokens == case["tokens"], (row["name"], case)
            assert [*model.size_for(*case["image"], row["detail"])] == case["sent"], (row["name"], case)


@given(width=SIDES, height=SIDES, row=st.sampled_from(LEVELS))
@settings(max_examples=600)
@example(width=1, height=12_000, row=("minicpm-v", "auto"))
@example(width=12_000, height=1, row=("claude", "auto"))
def test_sizes_never_grow_and_show_the_same(width: int, height: int, row: tuple[str, str]) -> None:
    model, level = models.get(row[0]), row[1]
    size = model.size_for(width, height, level)
    assert 1 <= size[0] <= width
    assert 1 <= size[1] <= height
    seen = model.see(width, height, level)
    assert min(seen.size) >= 1
    if model.name != "gemini-3":  # where the box that is documented is sent, not what is probably seen
        again = model.see(*size, level)
        assert again.tokens == seen.tokens
        assert all(math.isclose(a, b, rel_tol=0.011) for a, b in zip(again.size, seen.size, strict=True))


@pytest.mark.parametrize(("name", "size"), [("qwen3-vl", (1280, 720)), ("qwen2.5-vl", (1440, 900))])
def test_an_image_is_not_resampled_for_a_few_pixels(name: str, size: tuple[int, int]) -> None:
    model = models.get(name)
    assert all(seen < side for seen, side in zip(model.see(*size).size, size, strict=True) if seen != side)
    assert model.see(*size).size != size
    assert model.size_for(*size) == size


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("Qwen/Qwen3-VL-8B-Instruct", "qwen3-vl"),
        ("qwen3-vl:8b", "qwen3-vl"),
        ("qwen3.5", "qwen3-vl"),
        ("qwen2.5vl:7b", "qwen2.5-vl"),
        ("OpenGVLab/InternVL3_5-8B", "internvl"),
        ("google/gemma-4-27b-it", "gemma-4"),
        ("gemma3:27b", "gemma-3"),
        ("meta.llama4-scout-17b-instruct-v1:0", "llama-4"),
        ("mistralai/Mistral-Small-3.1-24B-Instruct-2503", "mistral-3"),
        ("openbmb/MiniCPM-V-4_6", "minicpm-v"),
        ("rednote-hilab/dots.ocr", "dots.ocr"),
        ("zai-org/GLM-4.5V", "glm-4.1v"),
        ("claude-opus-4-7", "claude"),
        ("anthropic/claude-opus-4.7", "claude"),
        ("claude-sonnet-5-20260901", "claude"),
        ("claude-opus-4-20250514", "claude-4.6"),
        ("claude-opus-4-1-20250805", "claude-4.6"),
        ("claude-sonnet-4-6", "claude-4.6"),
        ("claude-3-5-sonnet-20241022", "claude-4.6"),
        ("claude-haiku-4-5@20251001", "claude-4.6"),
        ("gpt-5.4-mini", "gpt-5.4"),
        ("gpt-5-2025-08-07", "gpt-5"),
        ("gpt-5-mini-2025-08-07", "gpt-5-mini"),
        ("gpt-4.1-mini-2025-04-14", "gpt-4.1-mini"),
        ("ft:gpt-4o-2024-08-06:us::x", "gpt-4o"),
        ("openai/gpt-5.6-sol", "gpt-5.6"),
        ("gemini-3-pro", "gemini-3"),
        ("models/gemini-2.5-flash", "gemini-2.5"),
        ("amazon.nova-pro-v1:0", "nova"),
    ],
)
def test_names_of_real_models(name: str, row: str) -> None:
    assert models.get(name).name == row


@pytest.mark.parametrize(
    "name", ["", "gpt-7", "o3-mini", "gemma-3n-e4b", "amazon.nova-2-lite-v1:0", "x" * 5000]
)
def test_unknown_names(name: str) -> None:
    assert models.find(name) is None


def test_every_name_is_its_own_row_and_has_sources() -> None:
    for model in ROWS:
        assert model.sources
        assert all(source.source for source in model.sources)
        for name in (model.name, *model.aliases):
            assert models.get(name).name == model.name


def test_an_unknown_name_lists_the_nearest() -> None:
    with pytest.raises(InputError, match=r"model 'gpt4o' is unknown: did you mean gpt-4o"):
        models.get("gpt4o")
    with pytest.raises(InputError, match=r"model 'zzz' is unknown: cotam models lists all names"):
        models.get("zzz")


def test_level_of_detail_in_the_name() -> None:
    assert models.get("gpt-4o:low").size_for(4000, 3000) == (512, 384)
    assert models.get("gemma-4:1120").tokens(4032, 3024) == 1064
    assert models.get("gpt-4o:low").size_for(4000, 3000, "high") == (1024, 768)
    assert models.get("gpt-4o").size_for(4000, 3000, "original") == (1024, 768)  # it has no such level


def test_limits() -> None:
    claude = models.get("claude").limits
    assert claude.file_bytes == 7_500_000
    assert [claude.side_for(images) for images in (1, 20, 21)] == [8000, 8000, 2000]
    assert models.get("us.anthropic.claude-opus-4-7-v1:0").limits.file_bytes == 3_750_000
    assert models.get("claude-opus-4-7@20260401").limits.file_bytes == 3_750_000
    assert models.get("gpt-6").limits.patches == Patches(32, 30_000)
    assert models.get("grok").limits.file_bytes == 20 * 1024 * 1024
    assert models.get("grok").formats == ("jpeg", "png")
    assert models.get("qwen3-vl").formats is None


def test_many_images_limit_the_sides() -> None:
    assert models.get("claude").size_for(3840, 2160, images=20) == (2576, 1449)
    assert models.get("claude").size_for(3840, 2160, images=21) == (2000, 1125)
    assert models.get("gpt-6").size_for(3840, 2160, images=21) == (3840, 2160)


def test_what_an_api_would_reject_is_shrunk() -> None:
    width, height = models.get("gpt-6").size_for(12_000, 9000)
    assert 29_000 < math.ceil(width / 32) * math.ceil(height / 32) <= 30_000


def test_hint_for_large_images() -> None:
    assert "--for MODEL" in str(models.oversize_hint(4032, 3024))
    assert models.oversize_hint(1920, 1080) is None


def test_servers() -> None:
    formats = {server.name: server.formats for server in models.servers()}
    assert formats["vllm"] is None
    assert "webp" not in (formats["llama.cpp"] or ())
