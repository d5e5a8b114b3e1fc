"""The guide of arXiv 2509.24258: [CLS] attention in the first layers of CLIP, SigLIP or DINOv2.

The network is `cotam_lab.nets.guide`. Torch and the client of the hub are imported when a guide is made.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cotam.errors import InputError
from cotam.guide.onnx import size_seen
from cotam_lab.errors import MissingPackageError

if TYPE_CHECKING:
    from cotam_lab.nets.guide import AttentionGuide, Reduction

__all__ = ["REVISIONS", "ClipGuide"]

REVISIONS = {
    "openai/clip-vit-base-patch16": "57c216476eefef5ab752ec549e440a49ae4ae5f3",
    "openai/clip-vit-large-patch14": "32bd64288804d66eefd0ccbe215aa642df71cc41",
    "openai/clip-vit-large-patch14-336": "ce19dc912ca5cd21c8a653c79e251e808ccabcd1",
    "laion/CLIP-ViT-B-32-laion2B-s34B-b79K": "1a25a446712ba5ee05982a381eed697ef9b435cf",
    "google/siglip-base-patch16-224": "7fd15f0689c79d79e38b1c2e2e2370a7bf2761ed",
    "facebook/dinov2-small": "ed25f3a31f01632728cabb09d1542f84ab7b0056",
}
"""Pinned commits of hub names; others are taken from their branch main."""

PICKLED = frozenset({"openai/clip-vit-base-patch16", "openai/clip-vit-large-patch14-336"})
"""Names without a safetensors file at their pinned commit."""

FILES = ("config.json", "preprocessor_config.json", "model.safetensors")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


class ClipGuide:
    """A guide (`cotam.guide.base.Guide`) that runs the first layers of a vision encoder in torch.

    Attributes
    ----------
    name : model, commit if known, layers and reduction
    side : long side of the input of the encoder, in pixels
    multiple : patch size, of which both sides of the input are multiples
    """

    def __init__(
        self,
        name_or_folder: str,
        *,
        revision: str | None = None,
        layers: Sequence[int] = (1, 2, 3),
        reduction: Reduction = "mean",
    ) -> None:
        """Find or download the model, and load the layers in use.

        Parameters
        ----------
        name_or_folder : a folder with config.json and model.safetensors, or a model on the hub, such as
            "facebook/dinov2-small"
        revision : commit or branch on the hub; None is the one in `REVISIONS`, else main
        layers, reduction : see `cotam_lab.nets.guide.AttentionGuide`

        Raises
        ------
        InputError
            If the model is not found, cannot be downloaded, has another architecture, is damaged, or does not
            have these layers.
        MissingPackageError
            If torch, safetensors or huggingface-hub is not installed.
        """
        revision = revision or REVISIONS.get(name_or_folder)
        is_folder = name_or_folder != "" and Path(name_or_folder).is_dir()
        try:
            from cotam_lab.guides.checkpoints import load  # before a download of hundreds of MB

            folder = Path(name_or_folder) if is_folder else _fetched(name_or_folder, revision)
        except ModuleNotFoundError as error:
            raise MissingPackageError(error.name or "torch") from error
        _check_files(folder, None if is_folder else name_or_folder, revision)
        self._network: AttentionGuide = load(folder, layers, reduction)
        self.side, self.multiple = self._network.side, self._network.shape.patch
        model = folder.resolve().name if is_folder else name_or_folder
        commit = "" if is_folder or not revision else f"@{revision[:7]}"
        self.name = f"{model}{commit}, {reduction} of layers {', '.join(map(str, sorted(set(layers))))}"

    def size_for(self, height: int, width: int) -> tuple[int, int]:
        """Return the size (h, w) to which an image of this size is resized."""
        return size_seen(height, width, self.side, self.multiple, enlarge=True)

    def importance(self, pixels: np.ndarray) -> np.ndarray:
        """Return importance, float32 (gh, gw), positive and of mean 1, of pixels uint8 (H, W, 3).

        There is one value per patch of the encoder, on a grid over the whole image.
        """
        import torch

        from cotam.guide.resize import resized

        seen = resized(pixels, self.size_for(*pixels.shape[:2]))
        with torch.inference_mode():
            return self._network(torch.from_numpy(seen.copy())[None])[0].numpy()

    def onnx(self, *, small: bool = False) -> bytes:
        """Export the guide as ONNX (docs/guide.md); ``small`` stores weights as int8.

        Raises
        ------
        MissingPackageError
            If onnx or onnxscript is not installed.
        """
        import torch

        try:
            from cotam_lab.nets.export import stored_small, to_onnx
        except ModuleNotFoundError as error:
            raise MissingPackageError(error.name or "onnx") from error
        # Distinct sides: the exporter would merge equal ones into one dimension.
        example = torch.zeros(1, 2 * self.multiple, 3 * self.multiple, 3, dtype=torch.uint8)
        model = to_onnx(self._network, {"pixels": example}, channels_last=True, outputs=["importance"])
        if small:
            model = stored_small(model)
        metadata = {
            "cotam.guide": "1",
            "cotam.guide.kind": "vit",
            "cotam.guide.side": str(self.side),
            "cotam.guide.multiple": str(self.multiple),
            "cotam.guide.name": self.name,
        }
        for key, value in metadata.items():
            model.metadata_props.add(key=key, value=value)
        return model.SerializeToString(deterministic=True)


def _fetched(name: str, revision: str | None) -> Path:
    """Download a model into the hub's cache, unless its commit is there."""
    if not _HUB_NAME.fullmatch(name):
        raise InputError(f"{name!r} is neither a folder nor a hub name such as facebook/dinov2-small")
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_OFFLINE
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    def folder(local: bool) -> Path:
        patterns = list(FILES)
        return Path(
            snapshot_download(name, revision=revision, allow_patterns=patterns, local_files_only=local)
        )

    if revision and _COMMIT.fullmatch(revision):
        try:
            cached = folder(local=True)
        except LocalEntryNotFoundError:
            pass
        else:
            if (cached / FILES[-1]).is_file():
                return cached
    try:
        return folder(local=False)
    except (OSError, HFValidationError) as error:
        # Errors of the hub are OSErrors; their first line is the reason, the rest is advice.
        reason = "HF_HUB_OFFLINE is set" if HF_HUB_OFFLINE else str(error).strip().split("\n")[0].rstrip(".")
        raise InputError(
            f"{name} is not on this machine and cannot be downloaded ({reason}); with a network, "
            f"{_command(name, revision)}"
        ) from error


def _command(name: str, revision: str | None) -> str:
    """Return the command that downloads the model."""
    if name not in PICKLED:
        return f"run: hf download {name} {' '.join(FILES)}" + (f" --revision {revision}" if revision else "")
    pinned = f", revision={revision!r}" if revision else ""
    folder = name.partition("/")[2]
    code = f"from transformers import AutoModel as A; A.from_pretrained({name!r}{pinned})"
    return f'run: python -c "{code}.save_pretrained({folder!r})" and give the folder {folder}'


def _check_files(folder: Path, name: str | None, revision: str | None) -> None:
    for file in (FILES[0], FILES[-1]):
        if not (folder / file).is_file():
            if name is None:
                raise InputError(f"{folder} has no {file}: give a folder saved by transformers")
            raise InputError(f"{name} has no {file} at {revision or 'main'}; {_command(name, revision)}")
