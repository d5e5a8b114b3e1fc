"""Models behind the OpenAI API: vLLM, SGLang, llama.cpp, ``transformers serve``, hosted ones.

Images are sent as PNG, so that no further loss is added.
"""

from __future__ import annotations

import base64
import io
import os
import random
import time
from collections.abc import Sequence
from typing import Any

import httpx2
from PIL import Image

from cotam.errors import InputError
from cotam.image.read import Pixels
from cotam_lab.evaluate.backends import Coded, Reply, StoppedError

__all__ = ["Endpoint"]

_LONGEST_WAIT = 60.0
_WORTH_A_RETRY = {408, 409, 429}
_POINTLESS = {401, 403, 404}


class Endpoint:
    """An OpenAI-compatible server.

    Parameters
    ----------
    address : with its version path, such as ``http://localhost:8000/v1``
    model : the server's name for it; by default the first of its list
    key_variable : environment variable with the key; without it none is sent
    retries : after 429, 5xx and broken connections; waits double, or are those of Retry-After
    first_wait : seconds before the first retry
    """

    def __init__(
        self,
        address: str,
        model: str | None = None,
        *,
        key_variable: str = "OPENAI_API_KEY",
        retries: int = 6,
        first_wait: float = 1,
    ) -> None:
        key = os.environ.get(key_variable)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._address, self._key_variable = address.rstrip("/"), key_variable
        self._client = httpx2.Client(headers=headers, timeout=300)
        self._retries, self._first_wait = retries, first_wait
        self.name = model or ""

    def prepare(self) -> None:
        """Request the list of models.

        Raises StoppedError if the server does not answer or refuses, or lists no model and none was given.
        """
        try:
            answer = self._client.get(f"{self._address}/models")
        except httpx2.InvalidURL as error:
            raise StoppedError(f"{self._address} is not a URL: {error}") from error
        except httpx2.HTTPError as error:
            raise StoppedError(f"{self._address} does not answer: {_reason(error)}") from error
        if answer.status_code in (401, 403):
            raise StoppedError(self._refused(answer))
        if self.name:  # not every server lists models
            return
        try:
            self.name = str(answer.json()["data"][0]["id"])
        except (ValueError, LookupError, TypeError) as error:
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
        shown = [{"type": "image_url", "image_url": {"url": _png(pixels)}} for pixels in images]
        body = {
            "model": self.name,
            "messages": [{"role": "user", "content": [*shown, {"type": "text", "text": prompt}]}],
            "max_tokens": max_tokens,
            "temperature": 0,
        }
        answer = self._posted(body)
        try:
            value = answer.json()
            text = value["choices"][0]["message"]["content"] or ""
        except (ValueError, LookupError, TypeError) as error:
            raise InputError(f"{self._address}: no answer in {answer.text[:200]!r}") from error
        usage = value.get("usage") or {}
        return Reply(text.strip(), usage.get("prompt_tokens"), usage.get("completion_tokens"))

    def losses(
        self, images: Sequence[Pixels], prompt: str, choices: Sequence[str], coded: Coded | None = None
    ) -> tuple[list[float], int]:
        """Refuse: the API does not return likelihoods of given answers."""
        raise StoppedError("an endpoint gives no likelihoods: ask for letters")

    def close(self) -> None:
        """Close connections."""
        self._client.close()

    def _posted(self, body: dict[str, Any]) -> httpx2.Response:
        wait = self._first_wait
        for left in range(self._retries, -1, -1):
            try:
                answer = self._client.post(f"{self._address}/chat/completions", json=body)
            except httpx2.HTTPError as error:
                reason, asked = _reason(error), None
            else:
                if answer.is_success:
                    return answer
                reason, asked = self._refused(answer), _seconds(answer.headers.get("retry-after"))
                if answer.status_code in _POINTLESS:
                    raise StoppedError(reason)
                if answer.status_code < 500 and answer.status_code not in _WORTH_A_RETRY:
                    raise InputError(reason)
            if left:
                own = wait * random.uniform(0.5, 1.5)  # spread retries of many clients
                time.sleep(min(own if asked is None else asked, _LONGEST_WAIT))
                wait *= 2
        raise InputError(f"{reason}, {1 + self._retries} times")

    def _refused(self, answer: httpx2.Response) -> str:
        text = " ".join(answer.text.split())[:200]
        hint = f" (its key is taken from {self._key_variable})" if answer.status_code in (401, 403) else ""
        return f"{self._address} answers {answer.status_code}{hint}: {text}"


def _png(pixels: Pixels) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _seconds(text: str | None) -> float | None:
    """Parse Retry-After; None where it is missing or a date."""
    return float(text) if text and text.isdecimal() else None
