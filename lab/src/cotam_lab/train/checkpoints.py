"""Write checkpoints of training, and load weights from them."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from cotam.codec import weights
from cotam.codec.still import Codec as RuntimeCodec
from cotam.errors import InputError
from cotam.runtime import OnnxRunner
from cotam_lab.nets.codec import Codec

__all__ = ["Average", "averaged_weights", "exported", "load_codec", "save_checkpoint"]


class Average:
    """Running average of the weights, with a warm-up that forgets early ones."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move the average towards the weights after ``step`` steps."""
        decay = min(self.decay, (step + 1) / (step + 10))
        live = model.state_dict()
        torch._foreach_lerp_([self.state[k] for k in self.state], [live[k] for k in self.state], 1 - decay)


def save_checkpoint(path: Path, **state: object) -> None:
    """Write a checkpoint atomically."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def averaged_weights(path: Path) -> dict[str, Tensor]:
    """Return the averaged weights of a checkpoint, or the weights in a .safetensors file of ``export``."""
    if path.suffix == ".safetensors":
        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)["average"]


def exported(weight_set: str) -> RuntimeCodec:
    """Return the runtime codec of a weight set, given by name or folder, on one thread."""
    folder = Path(weight_set)
    found = weights.load(folder.name, folder) if folder.is_dir() else weights.load(weight_set)
    return RuntimeCodec(found, OnnxRunner(found.folder, threads=1))


def load_codec(path: Path) -> Codec:
    """Return a codec with the averaged weights of a file, see `averaged_weights`.

    Raises InputError if they are not those of a codec.
    """
    codec = Codec()
    missing, unexpected = codec.load_state_dict(averaged_weights(path), strict=False)
    if missing or unexpected:
        raise InputError(f"{path} has no weights for this codec: {', '.join([*missing, *unexpected][:3])} …")
    return codec
