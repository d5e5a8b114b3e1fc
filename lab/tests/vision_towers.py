"""Tiny vision encoders of every family, seeded, and saved as transformers saves the real ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import PreTrainedModel

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "image_size": 32,
    "patch_size": 8,
}
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "vocab_size": 20,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
FAMILIES = (
    "clip",
    "clip in a whole model",
    "openclip",
    "siglip",
    "siglip in a whole model",
    "dinov2",
    "dinov2 with registers",
)
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 24, 3), np.uint8)


def _made(family: str) -> PreTrainedModel:
    tower = SIZES | {"intermediate_size": 48}
    match family:
        case "clip":
            return transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**tower))
        case "clip in a whole model":
            config = transformers.CLIPConfig(vision_config=tower, text_config=TEXT, projection_dim=8)
            return transformers.CLIPModel(config)
        case "openclip":
            config = transformers.CLIPVisionConfig(**tower, hidden_act="gelu")
            return transformers.CLIPVisionModelWithProjection(config)
        case "siglip":
            return transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**tower))
        case "siglip in a whole model":
            return transformers.SiglipModel(
                transformers.SiglipConfig(vision_config=tower, text_config=TEXT | {"pad_token_id": 2})
            )
        case "dinov2":
            return transformers.Dinov2Model(transformers.Dinov2Config(**SIZES))
        case "dinov2 with registers":
            return transformers.Dinov2WithRegistersModel(transformers.Dinov2WithRegistersConfig(**SIZES))
    raise ValueError(family)


def save(family: str, folder: Path, seed: int = 0) -> Path:
    """Parameters are drawn wide, so that no attention is flat and no parameter is without effect."""
    torch.manual_seed(seed)
    model = _made(family)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name and name.endswith("weight"):
                parameter.uniform_(0.5, 1.5)
            elif parameter.ndim == 2 and "position" not in name:
                parameter.normal_(0, 1.5 * parameter.shape[1] ** -0.5)
            else:
                parameter.normal_(0, 0.7)
    model.save_pretrained(folder)
    return folder


def reference(folder: Path) -> PreTrainedModel:
    """The vision tower of a folder as transformers loads it, with attention that it can give."""
    kind = json.loads((folder / "config.json").read_text())["architectures"][0]
    model = getattr(transformers, kind).from_pretrained(folder, attn_implementation="eager").eval()
    return getattr(model, "vision_model", model)
