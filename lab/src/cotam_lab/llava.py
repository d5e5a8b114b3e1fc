"""LLaVA models of transformers that read ``.cotam`` bytes.

>>> attached = attach(model, "adapter.safetensors")  # doctest: +SKIP
>>> inputs = attached.inputs(data, "USER: <image>\\nWhat is this? ASSISTANT:")  # doctest: +SKIP
>>> model.generate(**inputs)  # doctest: +SKIP

The tokens of an image are appended to its colours as further channels of ``pixel_values``; a hook of the
vision tower removes them and adds them to the patch embeddings. So they follow the image through batches,
beams, casts and threads, and images without such channels are not affected.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from transformers import AutoProcessor

from cotam.codec.planes import Latents
from cotam.codec.shared import codec_of
from cotam.errors import InputError
from cotam.format.header import check_size, read_file
from cotam_lab.nets.adapter import TokenAdapter, View, add_tokens, embeddings_of

COLOURS = 3


def attach(
    model: Any, adapter: TokenAdapter | str | Path | None = None, *, processor: Any = None
) -> Attached:
    """Make a LLaVA model read ``.cotam`` bytes; `Attached.detach` undoes it.

    Parameters
    ----------
    model : LlavaForConditionalGeneration with a CLIP, SigLIP or DINOv2 vision tower
    adapter : token adapter trained for this tower, or its file; only its width is checked. Without one, the
        model sees decoded images alone.
    processor : of the model; by default that of the folder or hub name it was loaded from

    Raises InputError if the model is of another family, the adapter for another width, or there is no
    processor.
    """
    kind = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
    if kind != "llava":
        raise InputError(f"attach takes LlavaForConditionalGeneration, got {kind}")
    tower = model.model.vision_tower
    if not isinstance(adapter, TokenAdapter | None):
        adapter = TokenAdapter.load(Path(adapter))
    if adapter is not None and adapter.width != tower.config.hidden_size:
        raise InputError(
            f"the adapter is for an encoder of width {adapter.width} ({adapter.encoder}), "
            f"the vision tower has {tower.config.hidden_size}"
        )
    return Attached(model, adapter, processor or _processor_of(model), embeddings_of(tower))


class Attached:
    """A model that reads ``.cotam`` bytes.

    `inputs` and the model may be called from several threads; do not call `detach` while the model runs.
    """

    def __init__(self, model: Any, adapter: TokenAdapter | None, processor: Any, embeddings: Any) -> None:
        self.model, self.processor = model, processor
        self.adapter = adapter if adapter is None else adapter.to(model.device).eval()
        self._tower = model.model.vision_tower
        self._patch = int(self._tower.config.patch_size)
        self._images = processor.image_processor
        self._taken = threading.local()
        self._hooks = [
            embeddings.register_forward_pre_hook(self._take_tokens),
            embeddings.register_forward_hook(self._add_tokens),
        ]

    def detach(self) -> None:
        """Restore the model. Inputs made before no longer fit it."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def inputs(self, data: bytes | Sequence[bytes], prompt: str | Sequence[str]) -> dict[str, Tensor]:
        """Make the inputs of ``model.generate(**…)`` and ``model(**…)``, on the model's device.

        Parameters
        ----------
        data : whole ``.cotam`` files, in the order in which prompts name them
        prompt : one, or one for each sequence of the batch, with ``<image>`` for each image. Shorter ones
            are padded on the left.

        Raises
        ------
        FormatError, LimitError, UnknownWeightsError
            as `cotam.decode`
        InputError
            if prompts name more or fewer images, a file's weight set is not the adapter's, the processor
            cannot batch the images, or `detach` was called
        """
        if not self._hooks:
            raise InputError("the model was detached: call attach again")
        files = [data] if isinstance(data, bytes | bytearray | memoryview) else list(data)
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        named = sum(text.count(self.processor.image_token) for text in prompts)
        if named != len(files):
            raise InputError(
                f"the prompt has {named} times {self.processor.image_token}, there are {len(files)} images"
            )
        decoded = [self._decode(bytes(file)) for file in files]
        found = self._preprocess([image for image, _ in decoded], prompts)
        pixels = found["pixel_values"].to(self._tower.dtype)
        if self.adapter is not None:
            pixels, seen = pixels.to(self.model.device), (pixels.shape[2], pixels.shape[3])
            tokens = [self._tokens(latents, self._view(image.size, seen)) for image, latents in decoded]
            channels = [as_channels(one, self._patch, seen) for one in tokens]
            pixels = torch.cat([pixels, torch.stack(channels).to(pixels)], 1)
        return {
            name: value.to(self.model.device) for name, value in (found | {"pixel_values": pixels}).items()
        }

    def _decode(self, data: bytes) -> tuple[Image.Image, Latents]:
        file = read_file(data)
        check_size(file.width, file.height)
        found = codec_of(file.header.weights)
        if self.adapter is not None and not self.adapter.reads(found.weights.digest):
            raise InputError(
                f"the file was made with weight set {found.weights.name} "
                f"({found.weights.digest.hex()[:8]}), the adapter is for {self.adapter.weights[:8]}: "
                'encode with the profile that it was trained for, such as profile="mllm"'
            )
        latents = found.decode_latents(file)
        return Image.fromarray(found.synthesise(latents)), latents

    # -- prompts and images

    def _preprocess(self, images: list[Image.Image], prompts: list[str]) -> dict[str, Any]:
        options = {"return_tensors": "pt", "padding": len(prompts) > 1, "padding_side": "left"}
        try:
            return dict(self.processor(images=images, text=prompts, **options))
        except ValueError as error:
            reason = str(error).strip().splitlines()[0]
            sizes = ", ".join(f"{p.width}×{p.height}" for p in images)
            raise InputError(f"the model's processor cannot batch images of {sizes}: {reason}") from error

    def _view(self, size: tuple[int, int], seen: tuple[int, int]) -> View:
        """Locate the tower's patches in an image of this width and height."""
        view = view_of(self._images, (size[1], size[0]), self._patch)
        if view.grid != (seen[0] // self._patch, seen[1] // self._patch):
            raise InputError(f"{type(self._images).__name__} crops or pads in an unknown way")
        return view

    # -- tokens

    def _tokens(self, latents: Latents, view: View) -> Tensor:
        """Tokens (patches, width) of one image."""
        assert self.adapter is not None
        device = self.model.device
        with torch.no_grad():
            values = torch.from_numpy(latents.values)[None].to(device)
            gain = torch.from_numpy(latents.log2_gain)[None, None].to(device)
            return self.adapter(values, gain, view)[0]

    def _take_tokens(self, _module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        self._taken.tokens = None
        pixels, *rest = inputs
        if self.adapter is None or pixels.shape[1] <= COLOURS:
            return None
        self._taken.tokens = from_channels(pixels[:, COLOURS:], self._patch, self.adapter.width)
        return (pixels[:, :COLOURS], *rest)

    def _add_tokens(self, _module: Any, _inputs: Any, first: Tensor) -> Tensor | None:
        tokens, self._taken.tokens = self._taken.tokens, None
        return None if tokens is None else add_tokens(first, tokens)


def as_channels(tokens: Tensor, patch: int, size: tuple[int, int]) -> Tensor:
    """Spread tokens (rows · columns, C) over their patches: (⌈C / patch²⌉, height, width), zero-padded."""
    rows, columns = size[0] // patch, size[1] // patch
    tokens = F.pad(tokens, (0, -tokens.shape[1] % patch**2))
    found = tokens.unflatten(1, (-1, patch, patch)).unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4)
    found = found.flatten(3).flatten(1, 2)
    return F.pad(found, (0, size[1] - found.shape[2], 0, size[0] - found.shape[1]))


def from_channels(channels: Tensor, patch: int, width: int) -> Tensor:
    """Invert `as_channels` for a batch: (B, k, height, width) → (B, patches, ``width``)."""
    rows, columns = channels.shape[2] // patch, channels.shape[3] // patch
    found = channels[:, :, : rows * patch, : columns * patch]
    found = found.unflatten(3, (columns, patch)).unflatten(2, (rows, patch)).permute(0, 2, 4, 1, 3, 5)
    return found.flatten(3).flatten(1, 2)[:, :, :width]


def view_of(images: Any, size: tuple[int, int], patch: int) -> View:
    """Locate an encoder's patches in an image after an image processor of transformers.

    Supported steps, in order: padding to a square, resizing (to a height and width, or the shorter side to a
    length), and a centre crop.

    Parameters
    ----------
    images : the processor
    size : height and width of the image

    Raises InputError if the processor does anything else.
    """
    frame, start = size, (0, 0)
    if getattr(images, "do_pad", None):
        if not type(images).__name__.startswith("LlavaImageProcessor"):
            raise InputError(f"{type(images).__name__} pads in an unknown way")
        side = max(size)
        frame, start = (side, side), ((side - size[0]) // 2, (side - size[1]) // 2)
    resized = _resized_size(images, frame)
    scale = resized[0] / frame[0], resized[1] / frame[1]
    cropped, corner = resized, (0, 0)
    if getattr(images, "do_center_crop", None):
        cropped = int(images.crop_size["height"]), int(images.crop_size["width"])
        corner = (resized[0] - cropped[0]) // 2, (resized[1] - cropped[1]) // 2
    return View.of(
        size,
        patch,
        resized=(size[0] * scale[0], size[1] * scale[1]),
        seen=cropped,
        offset=(corner[0] - start[0] * scale[0], corner[1] - start[1] * scale[1]),
    )


def _resized_size(images: Any, frame: tuple[int, int]) -> tuple[int, int]:
    if not images.do_resize:
        return frame
    size = dict(images.size)
    if set(size) == {"height", "width"}:
        return int(size["height"]), int(size["width"])
    if set(size) != {"shortest_edge"}:
        raise InputError(f"{type(images).__name__} resizes to {size}, which is not supported")
    short = int(size["shortest_edge"])
    long = int(short * max(frame) / min(frame))
    return (long, short) if frame[1] <= frame[0] else (short, long)


def _processor_of(model: Any) -> Any:
    name = getattr(model.config, "_name_or_path", "")
    try:
        if name:
            return AutoProcessor.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise InputError(f"{name} has no processor: pass processor= to attach") from error
    raise InputError("the model has no folder or hub name: pass processor= to attach")
