"""The table of models against transformers' own processors: sizes and visual tokens.

Functions of processors that need torchvision are taken from their source, which needs torch alone.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import itertools
import math
from collections import defaultdict
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cotam.image import models

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

SIZES = [
    (64, 48),
    (320, 240),
    (448, 448),
    (640, 480),
    (768, 1024),
    (1000, 700),
    (1280, 720),
    (1920, 1080),
    (1170, 2532),
    (4032, 3024),
]
Counted = tuple[tuple[int, int], int]


def module(family: str, name: str) -> Any:
    return importlib.import_module(f"transformers.models.{family}.{name}_{family}")


@cache
def from_source(family: str, kind: str = "image_processing") -> SimpleNamespace:
    """Functions and methods of a module that imports torchvision, compiled without its imports."""
    found = importlib.util.find_spec(f"transformers.models.{family}")
    assert found
    assert found.submodule_search_locations
    path = Path(found.submodule_search_locations[0]) / f"{kind}_{family}.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for function in functions:
        function.decorator_list = []
    future = ast.parse("from __future__ import annotations").body
    names: dict[str, Any] = {
        "math": math,
        "itertools": itertools,
        "np": np,
        "MultiModalData": SimpleNamespace,
        "torch": torch,
        "defaultdict": defaultdict,
        "lru_cache": lru_cache,
        # Only shapes matter here.
        "tvF": SimpleNamespace(
            resize=lambda image, size: image.new_zeros((*image.shape[:-2], *size)),
            pad=lambda image, sides, fill: torch.nn.functional.pad(
                image, (sides[0], sides[2], sides[1], sides[3])
            ),
        ),
    }
    exec(compile(ast.Module(body=[*future, *functions], type_ignores=[]), str(path), "exec"), names)
    return SimpleNamespace(**names)


def counted(processor: Any, width: int, height: int, **attributes: Any) -> int:
    """Tokens by `_get_num_multimodal_tokens`, without a tokenizer."""
    fake = SimpleNamespace(_merge_kwargs=lambda **_: {"images_kwargs": {}}, **attributes)
    for helper in ("_get_number_of_features", "_get_unpadded_features"):
        if hasattr(processor, helper):
            setattr(fake, helper, getattr(processor, helper).__get__(fake))
    found = processor._get_num_multimodal_tokens(fake, image_sizes=[(height, width)])
    return int(found.num_image_tokens[0])


def smart(family: str, factor: int, low: int, high: int) -> Callable[[int, int], Counted]:
    def see(width: int, height: int) -> Counted:
        name = f"image_processing_pil_{family}" if family != "minimax_m3_vl" else ""
        resize = (
            importlib.import_module(f"transformers.models.{family}.{name}").smart_resize
            if name
            else from_source(family).smart_resize
        )
        extra = {"num_frames": 2} if family == "glm4v" else {}
        down, across = resize(
            height=height, width=width, factor=factor, min_pixels=low, max_pixels=high, **extra
        )
        return (across, down), down // factor * (across // factor)

    return see


def hunyuan(width: int, height: int) -> Counted:
    pil = importlib.import_module("transformers.models.hunyuan_vl.image_processing_pil_hunyuan_vl")
    processor = pil.HunYuanVLImageProcessorPil()
    rows, columns = processor.get_number_of_image_patches(height, width)
    kind = module("hunyuan_vl", "processing").HunYuanVLProcessor
    tokens = counted(kind, width, height, image_processor=processor, cat_extra_token=True)
    return (columns * processor.patch_size, rows * processor.patch_size), tokens


def got(width: int, height: int) -> Counted:
    pil = importlib.import_module("transformers.models.got_ocr2.image_processing_pil_got_ocr2")
    size = {"height": 448, "width": 448}
    processor = pil.GotOcr2ImageProcessorPil(size=size, crop_to_patches=True)
    columns, rows = pil.get_optimal_tiled_canvas((height, width), (448, 448), 1, 12)
    kind = module("internvl", "processing").InternVLProcessor
    return (columns * 448, rows * 448), counted(
        kind, width, height, image_processor=processor, image_seq_length=256
    )


def llava_next(width: int, height: int) -> Counted:
    pil = importlib.import_module("transformers.models.llava_next.image_processing_pil_llava_next")
    processor = pil.LlavaNextImageProcessorPil(size={"shortest_edge": 336})
    kind = module("llava_next", "processing").LlavaNextProcessor
    tokens = counted(
        kind,
        width,
        height,
        image_processor=processor,
        patch_size=14,
        num_additional_image_tokens=1,
        vision_feature_select_strategy="default",
    )
    return canvas_size(processor, width, height), tokens


def llava_onevision(width: int, height: int) -> Counted:
    pil = importlib.import_module("transformers.models.llava_onevision.image_processing_pil_llava_onevision")
    processor = pil.LlavaOnevisionImageProcessorPil()
    kind = module("llava_onevision", "processing").LlavaOnevisionProcessor
    tokens = counted(
        kind,
        width,
        height,
        image_processor=SimpleNamespace(
            size={"height": 384, "width": 384}, image_grid_pinpoints=processor.image_grid_pinpoints
        ),
        num_image_tokens=729,
        vision_aspect_ratio="anyres_max_9",
        vision_feature_select_strategy="full",
    )
    return canvas_size(processor, width, height), tokens


def canvas_size(processor: Any, width: int, height: int) -> tuple[int, int]:
    utils = importlib.import_module("transformers.image_processing_utils")
    best = utils.select_best_resolution((height, width), processor.image_grid_pinpoints)
    blank = np.zeros((3, height, width), np.uint8)
    down, across = utils.get_patch_output_size(blank, best, input_data_format="channels_first")
    return across, down


def gemma4(budget: int) -> Callable[[int, int], Counted]:
    def see(width: int, height: int) -> Counted:
        pil = importlib.import_module("transformers.models.gemma4.image_processing_pil_gemma4")
        down, across = pil.get_aspect_ratio_preserving_size(height, width, 16, budget * 9, 3)
        processor = pil.Gemma4ImageProcessorPil(max_soft_tokens=budget)
        kind = module("gemma4", "processing").Gemma4Processor
        return (across, down), counted(kind, width, height, image_processor=processor)

    return see


def gemma3(width: int, height: int) -> Counted:
    kind = module("gemma3", "processing").Gemma3Processor
    return (896, 896), counted(kind, width, height, image_seq_length=256)


def llama4(width: int, height: int) -> Counted:
    functions = from_source("llama4")
    tile = SimpleNamespace(height=336, width=336)
    canvases = torch.tensor(functions.find_supported_resolutions(16, tile))
    canvas = functions.get_best_fit((height, width), canvases).tolist()
    target = [min(max(side, 336), most) for side, most in zip((height, width), canvas, strict=True)]
    down, across = functions.get_max_res_without_distortion((height, width), target)
    kind = module("llama4", "processing").Llama4Processor
    text = kind._prompt_split_image(None, (canvas[0] // 336, canvas[1] // 336), 144)
    return (across, down), text.count("<|patch|>")


def pixtral(longest: int, patch: int, merge: int) -> Callable[[int, int], Counted]:
    def see(width: int, height: int) -> Counted:
        pil = importlib.import_module("transformers.models.pixtral.image_processing_pil_pixtral")
        blank = np.zeros((height, width, 3), np.uint8)
        down, across = pil.get_resize_output_image_size(
            blank, (longest, longest), (patch * merge, patch * merge)
        )
        kind = from_source("pixtral", "processing")
        kind._get_num_multimodal_tokens.__globals__["get_resize_output_image_size"] = (
            pil.get_resize_output_image_size
        )
        tokens = counted(
            kind,
            width,
            height,
            image_processor=SimpleNamespace(size={"longest_edge": longest}),
            patch_size=patch,
            spatial_merge_size=merge,
        )
        return (across, down), tokens

    return see


def glm5(width: int, height: int) -> Counted:
    pil = importlib.import_module("transformers.models.glm5_next.image_processing_pil_glm5_next")
    processor = pil.Glm5NextImageProcessorPil()
    resized = []
    processor.resize = pil.Glm5NextImageProcessorPil.resize.__get__(processor)
    blank = np.full((3, height, width), 1, np.uint8)
    limits = {"temporal_factor": 2, "min_image_tokens": 16, "max_image_tokens": 8000}
    padded = processor.resize(blank, resample=0, factor=28, **limits)
    resized = padded[0] > 0  # padding is black
    kind = module("glm5_next", "processing").Glm5NextProcessor
    size = int(resized.any(axis=0).sum()), int(resized.any(axis=1).sum())
    return size, counted(kind, width, height, image_processor=processor)


def minicpm(width: int, height: int) -> Counted:
    pil = importlib.import_module("transformers.models.minicpmv4_6.image_processing_pil_minicpmv4_6")
    processor = pil.MiniCPMV4_6ImageProcessorPil()
    grid = processor.get_sliced_grid((height, width), 9, 448)
    whole = processor.find_best_resize((height, width), 448, 14, "16x", allow_upscale=grid is None)
    if grid is None:
        return whole[::-1], whole[0] * whole[1] // 56**2
    slices = processor.get_refine_size((height, width), grid, 448, 14, "16x", allow_upscale=True)
    each = (slices[0] // grid[0] // 14) * (slices[1] // grid[1] // 14) // 16
    return slices[::-1], whole[0] // 14 * (whole[1] // 14) // 16 + each * grid[0] * grid[1]


def smolvlm(longest: int, tile: int, each: int) -> Callable[[int, int], Counted]:
    def see(width: int, height: int) -> Counted:
        pil = importlib.import_module("transformers.models.smolvlm.image_processing_pil_smolvlm")
        processor = pil.SmolVLMImageProcessorPil()
        blank = np.zeros((3, height, width), np.uint8)
        first = processor.resize(blank, SimpleNamespace(longest_edge=longest), resample=0)
        second = processor.resize_for_vision_encoder(first, tile, resample=0)
        frames, _, _ = processor.split_images(second, {"longest_edge": tile}, resample=0)
        return (second.shape[2], second.shape[1]), each * len(frames)

    return see


def phi4(width: int, height: int) -> Counted:
    functions = from_source("phi4_multimodal")
    self = SimpleNamespace(find_closest_aspect_ratio=lambda *a: functions.find_closest_aspect_ratio(None, *a))
    image = torch.ones((1, height, width), dtype=torch.uint8)
    sizes = []
    functions.tvF.resize = lambda image, size: sizes.append(tuple(size)) or image.new_zeros((1, *size))
    _, mask = functions.dynamic_preprocess(self, image, 448, 14, 32, max_num=36)
    kept = mask[0::2, 0::2]
    return sizes[0][::-1], int(257 + kept.sum() + kept[:, 0].sum() + 16)


def deepseek(width: int, height: int) -> Counted:
    pil = importlib.import_module("transformers.models.deepseek_ocr2.image_processing_pil_deepseek_ocr2")
    processor = pil.DeepseekOcr2ImageProcessorPil()
    kind = module("deepseek_ocr2", "processing").DeepseekOcr2Processor
    fake = SimpleNamespace(image_processor=processor, patch_size=16, downsample_ratio=4, image_token="x")
    size, crops = (round(width * 1024 / max(width, height)), round(height * 1024 / max(width, height))), 0
    if max(width, height) > 768:
        columns, rows = pil.get_optimal_tiled_canvas((height, width), (768, 768), 2, 6)
        size, crops = (columns * 768, rows * 768), columns * rows
    text = kind.replace_image_token(fake, {"num_local_patches": [crops]}, 0)
    return size, len(text)


def molmo2(width: int, height: int) -> Counted:
    source = module("molmo2", "image_processing")
    functions = from_source("molmo2")
    _, _, down, across = source.compute_crop_geometry(height, width, 8, [4, 4], 378, 14)
    self = SimpleNamespace(
        max_crops=8,
        overlap_margins=[4, 4],
        patch_size=14,
        pooling_size=[2, 2],
        size={"height": 378, "width": 378},
    )
    grid, _ = functions.get_image_grid_and_crops(self, height, width)
    kind = module("molmo2", "processing").Molmo2Processor
    fake = SimpleNamespace(
        image_use_col_tokens=True, use_single_crop_col_tokens=None, use_single_crop_start_token=True
    )
    text = kind.replace_image_token(fake, {"image_grids": [grid]}, 0)
    return (across, down), text.count("<")


def kimi(patches: int) -> Callable[[int, int], Counted]:
    def see(width: int, height: int) -> Counted:
        (down, across), (padded_down, padded_across) = from_source("kimi_k25").navit_resize(
            height, width, 14, 2, patches, 512
        )
        return (across, down), padded_down // 28 * (padded_across // 28)

    return see


ROWS: dict[str, Callable[[int, int], Counted]] = {
    "qwen2.5-vl": smart("qwen2_vl", 28, 56 * 56, 12_845_056),
    "qwen3-vl": smart("qwen2_vl", 32, 65_536, 16_777_216),
    "internvl": got,
    "llava-next": llava_next,
    "llava-onevision": llava_onevision,
    "gemma-3": gemma3,
    **{f"gemma-4:{budget}": gemma4(budget) for budget in (70, 140, 280, 560, 1120)},
    "llama-4": llama4,
    "pixtral": pixtral(1024, 16, 1),
    "mistral-3": pixtral(1540, 14, 2),
    "glm-4.1v": smart("glm4v", 28, 112 * 112, 14 * 14 * 2 * 2 * 2 * 6144),
    "glm-5": glm5,
    "minicpm-v": minicpm,
    "smolvlm2": smolvlm(1536, 384, 81),
    "smolvlm2-small": smolvlm(2048, 512, 64),
    "phi-4": phi4,
    "deepseek-ocr-2": deepseek,
    "molmo-2": molmo2,
    "kimi-vl": kimi(4096),
    "kimi-k2.5": kimi(16384),
    "paddleocr-vl": smart("paddleocr_vl", 28, 147_384, 2_822_400),
    "dots.ocr": smart("qwen2_vl", 28, 3136, 11_289_600),
    "hunyuan-vl": hunyuan,
    "minimax-m3": smart("minimax_m3_vl", 28, 4 * 28 * 28, 451_584),
}


@cache
def theirs(name: str, width: int, height: int) -> Counted:
    """What the processor of a row makes of an image, which several tests ask for."""
    return ROWS[name](width, height)


def test_every_open_family_is_here() -> None:
    own = {model.name for model in models.all_models() if not model.hosted}
    assert own - {name.partition(":")[0] for name in ROWS} == {"llava-1.5"}


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", ROWS)
def test_size_and_tokens(name: str, size: tuple[int, int]) -> None:
    assert models.get(name).see(*size) == theirs(name, *size)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", ROWS)
def test_the_size_that_is_sent_gives_the_same(name: str, size: tuple[int, int]) -> None:
    sent = models.get(name).size_for(*size)
    assert sent[0] <= size[0]
    assert sent[1] <= size[1]
    assert theirs(name, *sent) == theirs(name, *size)


def test_llava_takes_the_middle() -> None:
    pil = importlib.import_module("transformers.models.llava.image_processing_pil_llava")
    processor = pil.LlavaImageProcessorPil(
        size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}
    )
    for size in SIZES[1:4]:
        seen = models.get("llava-1.5").see(*size)
        found = processor(np.zeros((size[1], size[0], 3), np.uint8), do_center_crop=False)["pixel_values"][0]
        # Images below 336 pixels are enlarged there, which need not be sent.
        assert seen.tokens == 576
        if min(size) >= 336:
            assert abs(found.shape[1] - seen.size[1]) <= 1
            assert abs(found.shape[2] - seen.size[0]) <= 1
