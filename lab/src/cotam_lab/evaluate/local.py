"""A model of transformers: LLaVA, Qwen2.5-VL, InternVL, whatever ``AutoModelForImageTextToText`` runs.

Knows transformers and torch: nothing of questions, codecs or scores. The one model that lies in no folder is
that of `cotam_lab.reference.model`.
"""

from __future__ import annotations

import copy
import hashlib
import importlib
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from cotam.errors import CotamError, InputError, MissingExtraError
from cotam.image.read import Pixels
from cotam_lab.evaluate.backends import Coded, Reply, StoppedError

__all__ = ["DTYPES", "REFERENCE", "Local"]

REFERENCE = "reference"
TRAINED = Path(__file__).parent.parent / "weights" / "reference.safetensors"
"""A name for the model of `cotam_lab.reference.model`, and the file that it stands for."""

DTYPES = ("auto", "bfloat16", "float16", "float32")


class Local:
    """A model by its name on the hub, or its folder.

    Parameters
    ----------
    name : str
        `REFERENCE`, or a file .safetensors that its training wrote, is our own small model.
    dtype : str
        One of `DTYPES`; ``auto`` is what the weights were saved in.
    device : str, optional
        As torch names it; the first GPU if there is one, else the processor, if not given.
    """

    def __init__(self, name: str, *, dtype: str = "auto", device: str | None = None) -> None:
        self.name = name
        own = name == REFERENCE or name.endswith(".safetensors")
        self._trained = (TRAINED if name == REFERENCE else Path(name)) if own else None
        if self._trained is not None and self._trained.is_file():
            # Another training is another model, whose rows are its own.
            digest = hashlib.sha256(self._trained.read_bytes()).hexdigest()
            self.name = f"{REFERENCE}-{digest[:8]}"
        self._dtype, self._device = dtype, device
        self._model: Any = None
        self._processor: Any = None
        self._attached: dict[Path, Any] = {}

    def prepare(self) -> None:
        """Load model and processor, once.

        Raises
        ------
        StoppedError
            If there is no such model, or it does not look at pictures.
        InputError
            If the reference model is not trained, or its parts are not installed.
        MissingExtraError
        """
        if self._model is not None:
            return
        try:
            import torch

            transformers: Any = importlib.import_module("transformers")
        except ImportError as error:
            raise MissingExtraError("eval", error.name or "transformers") from error
        device = self._device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            if self._trained is not None:
                model = self._reference(self._trained)
            else:
                self._processor = _processor(self.name)
                model = transformers.AutoModelForImageTextToText.from_pretrained(self.name, dtype=self._dtype)
            self._model = model.to(device).eval()
        except CotamError:
            raise
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise StoppedError(f"{self.name} cannot be loaded: {reason[:400]}") from error
        if not getattr(self._processor, "chat_template", None):
            raise StoppedError(
                f"{self.name} has no chat template, so there is no way to put a question to it"
            )

    def _reference(self, file: Path) -> Any:
        import torch

        from cotam_lab.reference.model import load

        model, self._processor = load(file)
        return model if self._dtype == "auto" else model.to(getattr(torch, self._dtype))

    def ask(
        self, pictures: Sequence[Pixels], prompt: str, max_tokens: int, coded: Coded | None = None
    ) -> Reply:
        """The most likely answer, token by token."""
        import torch

        inputs = self._inputs(pictures, prompt, coded)
        length = inputs["input_ids"].shape[1]
        # What a model's own settings say of sampling is taken back, and would be warned of.
        plain: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        with torch.inference_mode():
            tokens = self._model.generate(**inputs, **plain, max_new_tokens=max_tokens)[0, length:]
        text = self._processor.tokenizer.decode(tokens, skip_special_tokens=True)
        return Reply(text.strip(), length, len(tokens))

    def losses(
        self, pictures: Sequence[Pixels], prompt: str, choices: Sequence[str], coded: Coded | None = None
    ) -> tuple[list[float], int]:
        """The mean loss of each choice's tokens, which follow the prompt as an answer would.

        One pass takes in the pictures and the prompt, and each choice goes on from what it left in the cache.
        """
        import torch

        inputs = self._inputs(pictures, prompt, coded)
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
                    # A copy: what a choice leaves in the cache is not for the next one.
                    cache = {kept: copy.deepcopy(begun[kept])}
                    more = self._model(input_ids=tokens[None, :-1], **cache)
                    logits = torch.cat([logits, more.logits[0]])
                found.append(float(torch.nn.functional.cross_entropy(logits.float(), tokens)))
        return found, length

    def close(self) -> None:
        """Free the model."""
        self._model = self._processor = None
        self._attached = {}

    def _inputs(self, pictures: Sequence[Pixels], prompt: str, coded: Coded | None) -> dict[str, Any]:
        shown = [{"type": "image", "image": Image.fromarray(pixels)} for pixels in pictures]
        messages = [{"role": "user", "content": [*shown, {"type": "text", "text": prompt}]}]
        if coded is not None:
            text = self._processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            return dict(self._reader(coded.adapter).inputs(coded.files, text))
        inputs = self._processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        return dict(inputs.to(self._model.device, dtype=self._model.dtype))

    def _reader(self, adapter: Path) -> Any:
        """The model as what reads files with a token adapter; of pictures alone it says what it did."""
        if adapter not in self._attached:
            from cotam_lab.llava import attach

            try:
                self._attached[adapter] = attach(self._model, adapter, processor=self._processor)
            except InputError as error:
                raise StoppedError(f"{adapter}: {error}") from error
        return self._attached[adapter]


def _cache_name(model: Any) -> str:
    """What this version of transformers calls keys and values of what a model has read."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"


def _processor(name: str) -> Any:
    """The processor of a model; without torchvision, which only films need, one that takes pictures alone."""
    transformers: Any = importlib.import_module("transformers")
    if transformers.utils.is_torchvision_available():
        return transformers.AutoProcessor.from_pretrained(name)
    known: Any = importlib.import_module("transformers.models.auto.processing_auto").PROCESSOR_MAPPING
    kind = _without_films(known[type(transformers.AutoConfig.from_pretrained(name))])
    settings, _ = kind.get_processor_dict(name)
    loaders = {"tokenizer": transformers.AutoTokenizer, "image_processor": transformers.AutoImageProcessor}
    parts = [
        loaders[part].from_pretrained(name) if part in loaders else None for part in kind.get_attributes()
    ]
    processor = kind.from_args_and_dict(parts, settings)
    processor.chat_template = processor.chat_template or processor.tokenizer.chat_template
    return processor


def _without_films(kind: Any) -> Any:
    """A processor's class that may lack its part for films, which is not there without torchvision."""

    def check(self: Any, name: str, argument: Any) -> Any:
        return (
            None if name == "video_processor" else kind.check_argument_for_proper_class(self, name, argument)
        )

    return type(kind.__name__, (kind,), {"check_argument_for_proper_class": check})
