"""Models of transformers: LLaVA, Qwen2.5-VL, InternVL, whatever ``AutoModelForImageTextToText`` runs."""

from __future__ import annotations

import copy
import hashlib
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from transformers.utils.import_utils import is_torchvision_available

from cotam.errors import CotamError, InputError
from cotam.image.read import Pixels
from cotam_lab.evaluate.backends import Coded, Reply, StoppedError
from cotam_lab.llava import attach
from cotam_lab.reference.model import load

__all__ = ["Local"]


class Local:
    """A local model.

    Parameters
    ----------
    name : hub name or folder; a file .safetensors is our own model (`cotam_lab.reference.model`)
    device : as in torch; by default the first GPU, else the CPU
    """

    def __init__(self, name: str, *, device: str | None = None) -> None:
        self.name = name
        self._trained = Path(name) if name.endswith(".safetensors") else None
        if self._trained is not None and self._trained.is_file():
            # Another training is another model, with rows of its own.
            digest = hashlib.sha256(self._trained.read_bytes()).hexdigest()
            self.name = f"reference-{digest[:8]}"
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._model: Any = None
        self._processor: Any = None
        self._attached: dict[Path, Any] = {}

    def prepare(self) -> None:
        """Load model and processor once.

        Raises
        ------
        StoppedError
            If there is no such model, or it takes no images.
        InputError
            If the reference model is not trained, or its parts are not installed.
        """
        if self._model is not None:
            return
        try:
            if self._trained is not None:
                model, self._processor = load(self._trained)
            else:
                self._processor = _processor(self.name)
                model = transformers.AutoModelForImageTextToText.from_pretrained(self.name, dtype="auto")
            self._model = model.to(self._device).eval()
        except CotamError:
            raise
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise StoppedError(f"{self.name} cannot be loaded: {reason[:400]}") from error
        if not getattr(self._processor, "chat_template", None):
            raise StoppedError(f"{self.name} has no chat template, which questions need: choose a chat model")

    def ask(
        self, images: Sequence[Pixels], prompt: str, max_tokens: int, coded: Coded | None = None
    ) -> Reply:
        """Decode greedily."""
        inputs = self._inputs(images, prompt, coded)
        length = inputs["input_ids"].shape[1]
        # Unset the model's own sampling options, which would cause warnings.
        plain: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        with torch.inference_mode():
            tokens = self._model.generate(**inputs, **plain, max_new_tokens=max_tokens)[0, length:]
        text = self._processor.tokenizer.decode(tokens, skip_special_tokens=True)
        return Reply(text.strip(), length, len(tokens))

    def losses(
        self, images: Sequence[Pixels], prompt: str, choices: Sequence[str], coded: Coded | None = None
    ) -> tuple[list[float], int]:
        """Compute the mean loss of each choice's tokens as an answer to the prompt.

        Images and prompt are processed once; each choice continues from their cache.
        """
        inputs = self._inputs(images, prompt, coded)
        length = inputs["input_ids"].shape[1]
        found = []
        with torch.inference_mode():
            begun = self._model(**inputs, use_cache=True)
            kept = _cache_name(self._model)
            for choice in choices:
                ids = self._processor.tokenizer(choice, add_special_tokens=False)["input_ids"]
                tokens = torch.tensor(ids, device=self._model.device)
                logits = begun.logits[0, -1:]
                if len(ids) > 1:
                    # A copy, as each choice extends the cache.
                    cache = {kept: copy.deepcopy(begun[kept])}
                    more = self._model(input_ids=tokens[None, :-1], **cache)
                    logits = torch.cat([logits, more.logits[0]])
                found.append(float(torch.nn.functional.cross_entropy(logits.float(), tokens)))
        return found, length

    def close(self) -> None:
        """Release the model."""
        self._model = self._processor = None
        self._attached = {}

    def _inputs(self, images: Sequence[Pixels], prompt: str, coded: Coded | None) -> dict[str, Any]:
        shown = [{"type": "image", "image": Image.fromarray(pixels)} for pixels in images]
        messages = [{"role": "user", "content": [*shown, {"type": "text", "text": prompt}]}]
        if coded is not None:
            text = self._processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            return dict(self._reader(coded.adapter).inputs(coded.files, text))
        inputs = self._processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        return dict(inputs.to(self._model.device, dtype=self._model.dtype))

    def _reader(self, adapter: Path) -> Any:
        """Attach a token adapter; without files, answers do not change."""
        if adapter not in self._attached:
            try:
                self._attached[adapter] = attach(self._model, adapter, processor=self._processor)
            except InputError as error:
                raise StoppedError(f"{adapter}: {error}") from error
        return self._attached[adapter]


def _cache_name(model: Any) -> str:
    """Name of the key-value cache in this version of transformers."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"


def _processor(name: str) -> Any:
    """Load a model's processor; without torchvision, one that takes images but no videos."""
    if is_torchvision_available():
        return transformers.AutoProcessor.from_pretrained(name)
    kind = _without_video(PROCESSOR_MAPPING[type(transformers.AutoConfig.from_pretrained(name))])
    settings, _ = kind.get_processor_dict(name)
    loaders: dict[str, Any] = {
        "tokenizer": transformers.AutoTokenizer,
        "image_processor": transformers.AutoImageProcessor,
    }
    parts = [
        loaders[part].from_pretrained(name) if part in loaders else None for part in kind.get_attributes()
    ]
    processor = kind.from_args_and_dict(parts, settings)
    processor.chat_template = processor.chat_template or processor.tokenizer.chat_template
    return processor


def _without_video(kind: Any) -> Any:
    """Subclass a processor so that its video processor, which needs torchvision, may be missing."""

    def check(self: Any, name: str, argument: Any) -> Any:
        return (
            None if name == "video_processor" else kind.check_argument_for_proper_class(self, name, argument)
        )

    return type(kind.__name__, (kind,), {"check_argument_for_proper_class": check})
