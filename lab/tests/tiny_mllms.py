"""Multimodal models of three families, each of a few thousand parameters from a seed, in folders.

Their answers mean nothing, but they depend on every picture, and are always the same. LLaVA is `tiny_llava`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tiny_llava
import torch
from transformers import (
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLVisionConfig,
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
)
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def llava(folder: Path) -> None:
    """LLaVA with a CLIP tower of 56 × 56 pixels."""
    tiny_llava.write(folder)


def qwen(folder: Path) -> None:
    """Qwen2.5-VL, whose tower takes pictures of any size."""
    marks = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    template = tiny_llava.TEMPLATE.replace("<image>", "".join((marks[0], marks[2], marks[1])))
    ids = _tokenizer(folder, marks, template)
    Qwen2VLImageProcessorPil(
        size={"shortest_edge": 56 * 56, "longest_edge": 112 * 112}, patch_size=14, merge_size=2
    ).save_pretrained(folder)
    _write_json(folder / "processor_config.json", {"processor_class": "Qwen2_5_VLProcessor"})
    special = {"bos_token_id": ids["<s>"], "eos_token_id": ids["</s>"], "pad_token_id": ids["<pad>"]}
    config = Qwen2_5_VLConfig(
        text_config=SMALL
        | special
        | {
            "vocab_size": len(ids),
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0},
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": 32,
            "fullatt_block_indexes": [1],
            "window_size": 56,
        },
        vision_start_token_id=ids[marks[0]],
        vision_end_token_id=ids[marks[1]],
        image_token_id=ids[marks[2]],
        video_token_id=ids[marks[3]],
        **special,
    )
    _save(Qwen2_5_VLForConditionalGeneration, config, folder)


def internvl(folder: Path) -> None:
    """InternVL with one tile of 56 × 56 pixels."""
    marks = ["<img>", "</img>", "<IMG_CONTEXT>", "<video>"]
    names = dict(
        zip(
            ("start_image_token", "end_image_token", "context_image_token", "video_token"), marks, strict=True
        )
    )
    template = tiny_llava.TEMPLATE.replace("<image>", marks[2])
    ids = _tokenizer(folder, marks, template, **names)
    GotOcr2ImageProcessorPil(
        size={"height": 56, "width": 56}, crop_to_patches=False, do_resize=True
    ).save_pretrained(folder)
    _write_json(
        folder / "processor_config.json", {"processor_class": "InternVLProcessor", "image_seq_length": 4}
    )
    special = {"bos_token_id": ids["<s>"], "eos_token_id": ids["</s>"], "pad_token_id": ids["<pad>"]}
    config = InternVLConfig(
        vision_config=InternVLVisionConfig(**SMALL, image_size=[56, 56], patch_size=[14, 14]),
        text_config=Qwen2Config(**SMALL, **special, vocab_size=len(ids), num_key_value_heads=2),
        image_token_id=ids[marks[2]],
        image_seq_length=4,
        **special,
    )
    _save(InternVLForConditionalGeneration, config, folder)


FAMILIES = {"llava": llava, "qwen": qwen, "internvl": internvl}


def _tokenizer(folder: Path, marks: list[str], template: str, **names: str) -> dict[str, int]:
    tokenizer = tiny_llava.tokenizer(marks, **names)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return dict(tokenizer.get_vocab())


def _save(kind: type[PreTrainedModel], config: Any, folder: Path) -> None:
    torch.manual_seed(0)
    tiny_llava.save_loud(kind(config), folder)


def _write_json(file: Path, value: dict[str, Any]) -> None:
    file.write_text(json.dumps(value), encoding="utf-8")
