"""Load vision encoders saved by transformers (config.json, model.safetensors) as guides.

Only the tensors in use are read; the vision tower may be part of a larger model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from cotam.errors import InputError
from cotam_lab.nets.guide import ACTIVATIONS, REDUCTIONS, AttentionGuide, Reduction, Shape

CONFIG, PREPROCESSOR, WEIGHTS = "config.json", "preprocessor_config.json", "model.safetensors"


@dataclass(frozen=True)
class Family:
    """Tensor names and defaults of one architecture.

    ``names`` maps the first part of our parameter names, after ``layers.N.`` in a layer, to the stored names.
    ``defaults`` are those of transformers for missing keys of config.json.
    """

    model_types: tuple[str, ...]
    layer: str
    names: Mapping[str, str]
    defaults: Mapping[str, Any]
    mean: Sequence[float]
    std: Sequence[float]
    has_cls: bool = True
    has_patch_bias: bool = True
    has_enter_norm: bool = False
    has_layer_scale: bool = False
    antialias: bool = False


_CLIP_NAMES = {
    "patch": "embeddings.patch_embedding",
    "cls": "embeddings.class_embedding",
    "positions": "embeddings.position_embedding.weight",
    "enter": "pre_layrnorm",
    "norm1": "layer_norm1",
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "out": "self_attn.out_proj",
    "norm2": "layer_norm2",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
    "head.norm": "post_layernorm",
    "head.probe": "head.probe",
    "head.weight": "head.attention.in_proj_weight",
    "head.bias": "head.attention.in_proj_bias",
}
_DINO_NAMES = {
    "patch": "embeddings.patch_embeddings.projection",
    "cls": "embeddings.cls_token",
    "registers": "embeddings.register_tokens",
    "positions": "embeddings.position_embeddings",
    "norm1": "norm1",
    "q": "attention.attention.query",
    "k": "attention.attention.key",
    "v": "attention.attention.value",
    "out": "attention.output.dense",
    "scale1": "layer_scale1.lambda1",
    "norm2": "norm2",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
    "scale2": "layer_scale2.lambda1",
}
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_SIZES = {"num_hidden_layers": 12, "num_attention_heads": 12}

FAMILIES = (
    Family(
        model_types=("clip", "clip_vision_model"),
        layer="encoder.layers.",
        names=_CLIP_NAMES,
        defaults=_SIZES | {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5},
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
        has_patch_bias=False,
        has_enter_norm=True,
    ),
    Family(
        model_types=("siglip", "siglip_vision_model"),
        layer="encoder.layers.",
        names=_CLIP_NAMES,
        defaults=_SIZES | {"hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6},
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        has_cls=False,
    ),
    Family(
        model_types=("dinov2",),
        layer="encoder.layer.",
        names=_DINO_NAMES,
        defaults=_SIZES | {"hidden_act": "gelu", "layer_norm_eps": 1e-6},
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        has_layer_scale=True,
    ),
    Family(
        model_types=("dinov2_with_registers",),
        layer="encoder.layer.",
        names=_DINO_NAMES,
        defaults=_SIZES | {"hidden_act": "gelu", "layer_norm_eps": 1e-6, "num_register_tokens": 4},
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        has_layer_scale=True,
        antialias=True,
    ),
)


class _Tensors:
    """The tensors of an open file, by our parameter names."""

    def __init__(self, file: Any, path: Path, family: Family) -> None:
        self._file, self._path, self._family = file, path, family
        self._names = set(file.keys())
        patch = self.stored("patch.weight")
        found = [name for name in self._names if name == patch or name.endswith(f".{patch}")]
        if not found:
            raise InputError(f"{path} has no tensor {patch}, so it is not the model of {CONFIG}")
        self._prefix = min(found, key=len).removesuffix(patch)

    def stored(self, name: str) -> str:
        """Return the stored name of one of our parameters."""
        names, parts, layer = self._family.names, name.split("."), ""
        if parts[0] == "layers":
            layer, parts = f"{self._family.layer}{parts[1]}.", parts[2:]
        if parts[0] == "head":
            parts = [".".join(parts[:2]), *parts[2:]]
        return ".".join([layer + names[parts[0]], *parts[1:]])

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._file.get_slice(self._at(name)).get_shape())

    def read(self, name: str, like: torch.Tensor) -> torch.Tensor:
        tensor = self._file.get_tensor(self._at(name)).to(torch.float32)
        if tensor.numel() != like.numel():
            wanted, has = (" x ".join(map(str, t.shape)) for t in (like, tensor))
            raise InputError(f"{self._path}: {self._at(name)} is {has}, {CONFIG} says {wanted}")
        return tensor.reshape(like.shape)

    def _at(self, name: str) -> str:
        stored = self._prefix + self.stored(name)
        if stored not in self._names:
            raise InputError(f"{self._path} has no tensor {stored}, which these layers need")
        return stored


def load(folder: Path, layers: Sequence[int] = (1, 2, 3), reduction: Reduction = "mean") -> AttentionGuide:
    """Load the guide in a folder as float32.

    Raises
    ------
    InputError
        If a file is missing or damaged, the architecture is not in `FAMILIES`, a tensor is missing, or
        ``layers`` or ``reduction`` are not valid.
    """
    if reduction not in REDUCTIONS:
        raise InputError(f"reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}")
    family, config = _config(folder / CONFIG)
    depth, path = int(config["num_hidden_layers"]), folder / WEIGHTS
    last = depth if family.has_cls else depth + 1
    if not layers or not all(1 <= number <= last for number in layers):
        raise InputError(
            f"layers of {folder} must be 1 to {last}, got {', '.join(map(str, layers)) or 'none'}"
        )
    try:
        with safe_open(path, framework="pt") as file:
            tensors = _Tensors(file, path, family)
            shape, scaling = _shape(family, config, tensors), _scaling(folder, family)
            guide = AttentionGuide(shape, layers, reduction, *scaling)
            state = {name: tensors.read(name, p) for name, p in guide.named_parameters()}
    except SafetensorError as error:
        raise InputError(
            f"{path} is damaged or not a safetensors file ({error}): download it again"
        ) from error
    guide.load_state_dict(state, assign=True)
    return guide.eval().requires_grad_(False)


def _shape(family: Family, config: Mapping[str, Any], tensors: _Tensors) -> Shape:
    """Return the shape of the network, with sizes of the tensors, since config.json may lack them."""
    width, _, patch, _ = tensors.shape("patch.weight")
    positions = tensors.shape("positions")[-2] - family.has_cls
    heads = int(config["num_attention_heads"])
    if width % heads:
        raise InputError(f"{CONFIG} has {heads} heads, which do not divide {width} channels")
    return Shape(
        width=width,
        hidden=tensors.shape("layers.0.fc1.weight")[0],
        heads=heads,
        depth=int(config["num_hidden_layers"]),
        patch=patch,
        grid=round(positions**0.5),
        registers=int(config.get("num_register_tokens", 0)),
        activation=config["hidden_act"],
        epsilon=float(config["layer_norm_eps"]),
        has_cls=family.has_cls,
        has_patch_bias=family.has_patch_bias,
        has_enter_norm=family.has_enter_norm,
        has_layer_scale=family.has_layer_scale,
        antialias=family.antialias,
    )


def _config(path: Path) -> tuple[Family, Mapping[str, Any]]:
    whole = _json(path)
    config = whole.get("vision_config", whole)
    model_type = config.get("model_type") or whole.get("model_type")
    for family in FAMILIES:
        if model_type in family.model_types:
            break
    else:
        known = ", ".join(name for family in FAMILIES for name in family.model_types)
        raise InputError(f"{path}: model_type must be one of {known}, got {model_type!r}")
    config = {**family.defaults, **config}
    if config["hidden_act"] not in ACTIVATIONS or config.get("use_swiglu_ffn"):
        act = "SwiGLU" if config.get("use_swiglu_ffn") else config["hidden_act"]
        raise InputError(f"{path}: the activation must be one of {', '.join(ACTIVATIONS)}, got {act}")
    return family, config


def _scaling(folder: Path, family: Family) -> tuple[Sequence[float], Sequence[float]]:
    path = folder / PREPROCESSOR
    config = _json(path) if path.is_file() else {}
    return config.get("image_mean", family.mean), config.get("image_std", family.std)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} is not a JSON object")
    return found
