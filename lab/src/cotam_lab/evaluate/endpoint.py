"""Models behind the OpenAI API: vLLM, SGLang, llama.cpp, ``transformers serve``, hosted ones.

Images are sent as PNG, so that no further loss is added.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from typing import Any

import openai
from PIL import Image

from cotam.errors import InputError
from cotam.image.read import Pixels
from cotam_lab.evaluate.backends import Coded, Reply, StoppedError

__all__ = ["Endpoint"]

KEY = "OPENAI_API_KEY"


class Endpoint:
    """An OpenAI-compatible server.

    Parameters
    ----------
    address : with its version path, such as ``http://localhost:8000/v1``
    model : the server's name for it; by default the first of its list
    retries : after 429, 5xx and broken connections; waits grow, or are those of Retry-After
    """

    def __init__(self, address: str, model: str | None = None, *, retries: int = 6) -> None:
        self._address = address.rstrip("/")
        key = os.environ.get(KEY) or "none"  # for servers that need none
        self._client = openai.OpenAI(base_url=address, api_key=key, timeout=300, max_retries=retries)
        self.name = model or ""

    def prepare(self) -> None:
        """Request the list of models.

        Raises StoppedError if the server does not answer or refuses, or lists no model and none was given.
        """
        try:
            models = self._client.with_options(max_retries=0).models.list()
        except (openai.APIConnectionError, openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise StoppedError(self._said(error)) from error
        except openai.OpenAIError:  # not every server lists models
            models = None
        if not self.name:
            try:
                self.name = models.data[0].id  # type: ignore[union-attr]
            except (AttributeError, LookupError, TypeError) as error:
                raise StoppedError(f"{self._address} lists no model: give its name with --model") from error

    def ask(
        self, images: Sequence[Pixels], prompt: str, max_tokens: int, coded: Coded | None = None
    ) -> Reply:
        """Send one turn and return the answer.

        Raises
        ------
        InputError
            If the server does not answer this question after all retries.
        StoppedError
            If it will answer none.
        """
        if coded is not None:
            raise StoppedError("a server takes images alone: a token adapter needs a local model")
        parts: list[Any] = [{"type": "image_url", "image_url": {"url": _png(pixels)}} for pixels in images]
        parts.append({"type": "text", "text": prompt})
        try:
            answer = self._client.chat.completions.create(
                model=self.name,
                messages=[{"role": "user", "content": parts}],
                max_tokens=max_tokens,
                temperature=0,
            )
            text = answer.choices[0].message.content or ""
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
            raise StoppedError(self._said(error)) from error
        except openai.OpenAIError as error:
            raise InputError(self._said(error)) from error
        except (AttributeError, LookupError, TypeError) as error:
            raise InputError(f"{self._address}: no answer in {str(answer)[:200]!r}") from error
        if answer.usage is None:
            return Reply(text.strip(), None, None)
        return Reply(text.strip(), answer.usage.prompt_tokens, answer.usage.completion_tokens)

    def losses(
        self, images: Sequence[Pixels], prompt: str, choices: Sequence[str], coded: Coded | None = None
    ) -> tuple[list[float], int]:
        """Refuse: the API does not return likelihoods of given answers."""
        raise StoppedError("an endpoint gives no likelihoods: ask for letters")

    def close(self) -> None:
        """Close connections."""
        self._client.close()

    def _said(self, error: openai.OpenAIError) -> str:
        if not isinstance(error, openai.APIStatusError):
            return f"{self._address} does not answer: {error} {error.__cause__ or ''}".rstrip()
        text = " ".join(error.response.text.split())[:200]
        hint = f" (its key is taken from {KEY})" if error.status_code in (401, 403) else ""
        return f"{self._address} answers {error.status_code}{hint}: {text}"


def _png(pixels: Pixels) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
