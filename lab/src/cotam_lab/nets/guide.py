"""The first layers of a vision transformer, and their attention as an importance map.

    pixels ─ normalise ─ patches + positions ─┬─ layer 1 ─┬─ layer 2 ─┬─ attention of layer 3
                                              a₁          a₂          a₃ ─ reduce ─ importance

aᵢ is the attention of the [CLS] token to the patches, averaged over heads. The last layer in use has only queries
and keys, and later layers are left out.

SigLIP has no [CLS] token. Its aᵢ is the attention that each patch receives, averaged over all tokens as queries,
which exists in every layer, whereas the probe of the pooling head was trained on the last layer only. The head is
selected as the layer after the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Reduction = Literal["mean", "max", "rollout"]
REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)
FLOOR = 1e-4  # relative to the mean: a softmax may give 0, but importance is positive

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
}


@dataclass(frozen=True)
class Shape:
    """Sizes and variants of a vision transformer.

    Attributes
    ----------
    width, hidden, heads, depth : sizes of the whole network, even if few layers are used
    patch : side of a patch in pixels
    grid : patches along a side of the training images
    registers : number of register tokens
    activation : name in `ACTIVATIONS`
    epsilon : epsilon of all layer norms
    has_cls : False for SigLIP, where ``layers`` may have depth + 1, the pooling head
    has_patch_bias, has_enter_norm, has_layer_scale : whether the family has these parameters
    antialias : whether positions are resized with antialiasing for images of other sizes
    """

    width: int
    hidden: int
    heads: int
    depth: int
    patch: int
    grid: int
    registers: int
    activation: str
    epsilon: float
    has_cls: bool
    has_patch_bias: bool
    has_enter_norm: bool
    has_layer_scale: bool
    antialias: bool


class Layer(nn.Module):
    """A pre-norm transformer layer; only its attention weights if ``whole`` is False."""

    def __init__(self, shape: Shape, whole: bool) -> None:
        super().__init__()
        width = shape.width
        self.heads, self.whole, self.act = shape.heads, whole, ACTIVATIONS[shape.activation]
        self.norm1 = nn.LayerNorm(width, shape.epsilon)
        self.q, self.k = nn.Linear(width, width), nn.Linear(width, width)
        if not whole:
            return
        self.v, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, shape.epsilon)
        self.fc1, self.fc2 = nn.Linear(width, shape.hidden), nn.Linear(shape.hidden, width)
        if shape.has_layer_scale:
            self.scale1, self.scale2 = nn.Parameter(torch.ones(width)), nn.Parameter(torch.ones(width))

    def attention(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """Normalised (B, Q, C) and (B, N, C) → weights (B, heads, Q, N), each row of sum 1."""
        return _attention(self.q(queries), self.k(tokens), self.heads)

    def forward(self, x: Tensor, normed: Tensor, attention: Tensor) -> Tensor:
        """The layer's output (B, N, C), given its first norm and its attention weights."""
        added = self.out((attention @ _split(self.v(normed), self.heads)).transpose(1, 2).flatten(2))
        x = x + (self.scale1 * added if hasattr(self, "scale1") else added)
        added = self.fc2(self.act(self.fc1(self.norm2(x))))
        return x + (self.scale2 * added if hasattr(self, "scale2") else added)


class PoolingHead(nn.Module):
    """The attention of SigLIP's pooling head: tokens of the last layer → weights (B, N)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.norm = nn.LayerNorm(shape.width, shape.epsilon)
        self.probe = nn.Parameter(torch.zeros(1, 1, shape.width))
        self.weight = nn.Parameter(torch.zeros(3 * shape.width, shape.width))
        self.bias = nn.Parameter(torch.zeros(3 * shape.width))

    def forward(self, x: Tensor) -> Tensor:
        (wq, wk, _), (bq, bk, _) = self.weight.chunk(3), self.bias.chunk(3)
        queries, keys = F.linear(self.probe, wq, bq), F.linear(self.norm(x), wk, bk)
        return _attention(queries, keys, self.heads)[:, :, 0].mean(1)


def _cubic(given: int, wanted: int) -> Tensor:
    """Return the matrix (wanted, given) of torch's antialiased bicubic resizing, from which ONNX's differs."""
    scale = given / wanted
    centres = (torch.arange(wanted) + 0.5) * scale
    x = ((torch.arange(given) + 0.5) - centres[:, None]).abs() / torch.sym_max(scale, 1.0)
    near, far = (1.5 * x - 2.5) * x * x + 1, ((2.5 - 0.5 * x) * x - 4) * x + 2  # Keys' kernel, a = -1/2
    weights = torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
    return weights / weights.sum(1, keepdim=True)


def _split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def _attention(queries: Tensor, keys: Tensor, heads: int) -> Tensor:
    queries, keys = _split(queries, heads), _split(keys, heads)
    return torch.softmax(queries @ keys.transpose(2, 3) * queries.shape[-1] ** -0.5, -1)


class AttentionGuide(nn.Module):
    """Pixels uint8 (B, H, W, 3) → importance float32 (B, H/patch, W/patch), positive, mean 1.

    Parameters
    ----------
    shape : sizes of the network
    layers : layers whose attention is used, 1 … ``shape.depth``, or one more without [CLS]
    reduction : over layers: "mean" as in the paper, "max", or "rollout" (arXiv 2005.00928): attention through
        all layers up to the last of ``layers``, averaged with the identity in each
    mean, std : mean and standard deviation for the normalisation of pixels in 0 … 1
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        shape: Shape,
        layers: Sequence[int],
        reduction: Reduction,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.shape, self.wanted, self.reduction = shape, frozenset(layers), reduction
        last = max(layers)
        self.patch = nn.Conv2d(3, shape.width, shape.patch, shape.patch, bias=shape.has_patch_bias)
        self.positions = nn.Parameter(torch.zeros(shape.grid**2 + shape.has_cls, shape.width))
        if shape.has_cls:
            self.cls = nn.Parameter(torch.zeros(shape.width))
        if shape.registers:
            self.registers = nn.Parameter(torch.zeros(shape.registers, shape.width))
        if shape.has_enter_norm:
            self.enter = nn.LayerNorm(shape.width, shape.epsilon)
        depth = min(last, shape.depth)
        self.layers = nn.ModuleList(Layer(shape, number < last) for number in range(1, depth + 1))
        self.head = PoolingHead(shape) if last > shape.depth else None
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).reshape(3, 1, 1), persistent=False)

    @property
    def side(self) -> int:
        """Side of the training images in pixels."""
        return self.shape.patch * self.shape.grid

    def tokens(self, pixels: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Normalised pixels (B, 3, H, W) → tokens for the first layer (B, N, C), and the grid of patches."""
        patches = self.patch(pixels)
        grid = patches.shape[2], patches.shape[3]
        size = self.shape.grid
        own = self.positions[-(size**2) :].T.unflatten(1, (size, size))
        if self.shape.antialias:
            positions = _cubic(size, grid[0]) @ own @ _cubic(size, grid[1]).T
        else:
            positions = F.interpolate(own[None], size=grid, mode="bicubic", align_corners=False)
        x = (patches + positions).flatten(2).transpose(1, 2)
        front = [(self.cls + self.positions[0])[None]] if self.shape.has_cls else []
        if self.shape.registers:
            front.append(self.registers)
        if front:
            x = torch.cat([torch.cat(front).expand(x.shape[0], -1, -1), x], 1)
        return (self.enter(x) if self.shape.has_enter_norm else x), grid

    def rows(self, x: Tensor) -> list[Tensor]:
        """Tokens → attention (B, N) of each layer in use, in order; with rollout a single one."""
        rows: list[Tensor] = []
        maps: list[Tensor] = []
        for number, layer in enumerate(self.layers, 1):
            assert isinstance(layer, Layer)
            normed = layer.norm1(x)
            only_cls = self.shape.has_cls and not layer.whole
            attention = layer.attention(normed[:, :1] if only_cls else normed, normed)
            row = attention[:, :, 0].mean(1) if self.shape.has_cls else attention.mean((1, 2))
            if number in self.wanted:
                rows.append(row)
            if layer.whole:
                if self.reduction == "rollout":
                    maps.append(attention.mean(1))
                x = layer(x, normed, attention)
        if self.head is not None:
            rows.append(self.head(x))
        if self.reduction == "rollout":
            rows = [self._rolled_out(rows[-1], maps)]
        return rows

    def _rolled_out(self, row: Tensor, maps: Sequence[Tensor]) -> Tensor:
        if self.head is None:  # the probe of the head is not a token, so it has no identity part
            start = torch.full_like(row, 1 / row.shape[1])
            if self.shape.has_cls:
                start = torch.cat([torch.ones_like(row[:, :1]), torch.zeros_like(row[:, 1:])], 1)
            row = (row + start) / 2
        for attention in reversed(maps):
            row = (row + (row[:, None] @ attention)[:, 0]) / 2
        return row

    def forward(self, pixels: Tensor) -> Tensor:
        x = pixels.permute(0, 3, 1, 2).to(torch.float32) / 255
        x, grid = self.tokens((x - self.mean) / self.std)
        rows = torch.stack(self.rows(x))
        reduced = rows.amax(0) if self.reduction == "max" else rows.mean(0)
        patches = reduced[:, self.shape.has_cls + self.shape.registers :]
        patches = torch.maximum(patches, FLOOR * patches.mean(1, keepdim=True))
        return (patches / patches.mean(1, keepdim=True)).unflatten(1, grid)
