"""The token adapter: latents of a file → tokens, added to a vision encoder's patch embeddings.

The adapter of CoTAM (arXiv 2509.24258), with positions for any grid.

::

    latents (1/16), log2 gain ──▸ resampled to the patches ──▸ Linear ──▸ + depthwise 3×3 ──▸ LayerNorm
        ──▸ transformer block ──▸ Linear, initially zero ──▸ tokens ─┐
                                                                     ▾
    decoded image ────▸ the encoder's patch embeddings, positions ──▸ + ──▸ its layers
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cotam.errors import InputError
from cotam.files import write_whole

CELL = 16
"""Pixels per latent on each axis."""


@dataclass(frozen=True)
class View:
    """The positions of an encoder's patches in an image.

    Attributes
    ----------
    grid : rows and columns of patches
    origin : upper left corner of the first patch, in pixels of the image; negative if a processor pads
    patch : height and width of a patch, in pixels of the image
    image : height and width of the image
    """

    grid: tuple[int, int]
    origin: tuple[float, float]
    patch: tuple[float, float]
    image: tuple[int, int]

    @classmethod
    def of(
        cls,
        image: tuple[int, int],
        patch: int,
        *,
        resized: tuple[float, float],
        seen: tuple[int, int] | None = None,
        offset: tuple[float, float] = (0.0, 0.0),
    ) -> View:
        """Make the view of an encoder with patches of ``patch`` pixels, after a processor.

        Parameters
        ----------
        image : height and width
        resized : height and width after resizing
        seen : height and width of the encoder's input; by default ``resized``. Rows and columns that fill no
            patch are left out, as in encoders.
        offset : corner of the input in the resized image, negative for padding
        """
        seen = seen or (int(resized[0]), int(resized[1]))
        scale = image[0] / resized[0], image[1] / resized[1]
        return cls(
            grid=(seen[0] // patch, seen[1] // patch),
            origin=(offset[0] * scale[0], offset[1] * scale[1]),
            patch=(patch * scale[0], patch * scale[1]),
            image=image,
        )

    def resampling(self, axis: int) -> Tensor:
        """Return the weights of one axis, float32 (patches, latents), that resample latents to patches.

        Interpolation is linear; if a patch is larger than a latent, the kernel is two patches wide, as in
        antialiased resizing. Rows of patches whose centre is outside of the image are zero.
        """
        length = self.image[axis]
        middle = self.origin[axis] + (torch.arange(self.grid[axis]) + 0.5) * self.patch[axis]
        cells = torch.arange(-(-length // CELL)) + 0.5
        reach = max(1.0, self.patch[axis] / CELL)
        weight = (1 - (cells - middle[:, None] / CELL).abs() / reach).clamp(min=0)
        weight = weight / weight.sum(1, keepdim=True).clamp(min=1e-6)
        return weight * ((middle >= 0) & (middle < length))[:, None]


class TokenAdapter(nn.Module):
    """Dequantised latents → tokens for the patch embeddings of one encoder; zero before training.

    Parameters
    ----------
    latents : channels of the latents
    width : channels of the encoder's tokens
    ratio : hidden / input channels of the MLP: there are 1.44 M parameters with ratio 2 and width 384, and
        13.9 M with 4 and 1024
    encoder : name of the encoder that it is trained for
    weights : SHA-256, in hexadecimal, of the weight set whose latents it is trained for
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, latents: int, width: int, *, ratio: float = 2.0, encoder: str = "", weights: str = ""
    ) -> None:
        super().__init__()
        self.latents, self.width, self.ratio = latents, width, ratio
        self.encoder, self.weights = encoder, weights
        self.heads = max(1, width // 64)
        self.register_buffer("mean", torch.zeros(latents))
        self.register_buffer("std", torch.ones(latents))
        hidden = round(width * ratio)
        self.enter = nn.Linear(latents + 1, width)
        self.place = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = nn.LayerNorm(width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.mix, self.mixed = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.leave = nn.Linear(width, width)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    @torch.no_grad()
    def calibrate(self, latents: Tensor) -> None:
        """Set the normalisation of each channel from examples (B, M, h, w)."""
        self.mean.copy_(latents.mean((0, 2, 3)))
        self.std.copy_(latents.std((0, 2, 3)).clamp(min=1e-3))

    def forward(self, latents: Tensor, gain: Tensor, view: View) -> Tensor:
        """Return tokens (B, rows · columns, width) in the order of the encoder's patches.

        Parameters
        ----------
        latents : (B, M, h, w), dequantised
        gain : (B, 1, h, w), log2 of the gain
        view : the view of all images of the batch. Tokens of patches with their centre outside are zero.
        """
        latents = (latents - self.mean[:, None, None]) / self.std[:, None, None]
        rows, columns = (view.resampling(axis).to(latents) for axis in (0, 1))
        x = rows @ torch.cat([latents, gain.to(latents)], 1) @ columns.T
        x = self.enter(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = self.norm((x + self.place(x)).flatten(2).transpose(1, 2))
        x = x + self._attend(self.norms[0](x))
        x = x + self.narrow(F.gelu(self.widen(self.norms[1](x))))
        inside = rows.any(1)[:, None] & columns.any(1)[None]
        return self.leave(self.norms[2](x)) * inside.flatten()[:, None]

    def _attend(self, x: Tensor) -> Tensor:
        query, key, value = self.mix(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(query, key, value)
        return self.mixed(found.transpose(1, 2).flatten(2))

    def reads(self, digest: bytes) -> bool:
        """Whether it is for the weight set with this SHA-256; an adapter without a set is for any."""
        return self.weights in ("", digest.hex())

    def card(self) -> dict[str, Any]:
        """Return the arguments that make an adapter of the same shape, encoder and weight set."""
        return {key: getattr(self, key) for key in _CARD}

    def save(self, path: Path) -> None:
        """Write a safetensors file atomically; its metadata have `card` as JSON."""
        from safetensors.torch import save

        tensors = {key: value.contiguous() for key, value in self.state_dict().items()}
        write_whole(str(path), save(tensors, {"cotam_token_adapter": json.dumps(self.card())}))

    @classmethod
    def load(cls, path: Path) -> TokenAdapter:
        """Load an adapter in evaluation mode.

        Raises InputError if the file is not there or not one that `save` wrote.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                card = json.loads((file.metadata() or {})["cotam_token_adapter"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            adapter = cls(**card)
            adapter.load_state_dict(tensors)
        except FileNotFoundError as error:
            raise InputError(f"no token adapter at {path}") from error
        except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
            raise InputError(f"{path} is no token adapter: `cotam train tokens` writes them") from error
        return adapter.eval()


_CARD = ("latents", "width", "ratio", "encoder", "weights")


def embeddings_of(encoder: nn.Module) -> nn.Module:
    """Return the module of a CLIP, SigLIP or DINOv2 encoder of transformers that makes the first tokens."""
    for name, module in encoder.named_modules():
        if name.rpartition(".")[2] == "embeddings":
            return module
    raise InputError(f"{type(encoder).__name__} has no patch embeddings that an adapter could add to")


def add_tokens(first: Tensor, tokens: Tensor) -> Tensor:
    """Add ``tokens`` (B, patches, C) to the first tokens of an encoder (B, [CLS], registers and patches, C)."""
    before = first.shape[1] - tokens.shape[1]
    if before < 0 or tokens.shape[2] != first.shape[2]:
        raise InputError(
            f"tokens {tuple(tokens.shape)} do not fit the encoder's {tuple(first.shape)}: "
            "the adapter was trained for another encoder"
        )
    return first + F.pad(tokens.to(first), (0, 0, before, 0))


@contextmanager
def added(encoder: nn.Module, tokens: Tensor) -> Iterator[None]:
    """Within the block, add these tokens to all images that ``encoder`` encodes. Not thread-safe."""

    def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        return add_tokens(output, tokens)

    handle = embeddings_of(encoder).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
