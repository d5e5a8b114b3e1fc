"""Find and replace the images, videos, sounds and files in the JSON of a request.

The table `_TABLE` has the positions of parts in bodies of the APIs of OpenAI, Anthropic and Gemini, and of
results of MCP in them, regardless of the path of the request; `_media_of` reads the media of a part.
Everything else is left unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import getitem
from typing import Any

from cotam.gateway.json_body import Base64, Where, format_place
from cotam.gateway.media import Media, decode_base64, head_of, is_data_url, read_data_url
from cotam.gateway.refusal import RefusedError

__all__ = ["Frames", "Part", "check_clear", "models_of", "parts", "replace_media"]

MAX_DEPTH = 24
"""Keys and indices above a part. No API nests parts as deep."""

_KINDS = {
    "image_url": "image",
    "video_url": "video",
    "audio_url": "audio",
    "file_url": "file",
    "document_url": "file",  # Mistral
    "image": "image",  # in inputs of embeddings: vLLM, SGLang
    "video": "video",
}
"""Keys of OpenAI's parts → kind. The ``type`` beside them is ignored, since vLLM does not need it."""

_INLINE = {"inline_data", "inlineData"}
_LINKED = {"file_data", "fileData"}
_MIME_TYPES = ("mime_type", "mimeType")
_URIS = ("file_uri", "fileUri")
"""Gemini's keys, which its own client mixes: ``{"inlineData": {"mime_type": …}}``."""

_MEDIA = {"source": "source"} | dict.fromkeys((*_KINDS, *_LINKED), "media")
_TABLE: dict[str, dict[str, str]] = {
    "request": {
        "messages": "turn",  # OpenAI's chat completions, Anthropic's messages; vLLM's embeddings and pooling
        "input": "turn",  # OpenAI's responses
        "items": "turn",  # OpenAI's conversations
        "contents": "turn",  # Gemini
        "content": "turn",  # Gemini's embedContent; a message alone
        "system": "turn",
        "systemInstruction": "turn",
        "system_instruction": "turn",
        "prompt": "prompt",  # OpenAI's stored prompts
        "data_1": "turn",  # vLLM's score and rerank
        "data_2": "turn",
        "queries": "turn",
        "query": "turn",
        "documents": "turn",
        "inputs": "turn",
        "images": "turn",  # OpenAI's image edits
        "image": "turn",
        "mask": "turn",
        "input_reference": "turn",  # OpenAI's videos
        "document": "turn",  # Mistral's OCR
        # Requests within a request: batches, counters of tokens, lines of a batch file.
        "requests": "request",
        "params": "request",
        "body": "request",
        "request": "request",
        "generateContentRequest": "request",
        "generate_content_request": "request",
        "thread": "request",  # OpenAI's assistants
        "batch": "request",  # Gemini
        "inputConfig": "request",
        "input_config": "request",
    },
    "prompt": {"variables": "variables"},
    "variables": {"*": "part"},
    "turn": {
        "content": "part",
        "output": "part",  # of a tool or a computer, in OpenAI's responses
        "result": "result",  # of a tool, in Gemini's interactions
        "parts": "part",  # Gemini
        **_MEDIA,
    },
    "part": {
        "content": "part",  # Anthropic's tool_result
        "result": "result",
        "functionResponse": "turn",  # Gemini
        "function_response": "turn",
        **_MEDIA,
    },
    "result": {"content": "result"},  # MCP; a result may be any object, of which only typed images are read
    "source": {"content": "part", "url": "address"},  # Anthropic; content is that of a document made of parts
    "media": dict.fromkeys(("url", *_URIS), "address"),
    "address": {},
}
"""Level → key of an object at this level, "*" for any → level of its value: an object or a list of objects;
"media" may also be a string, "address" is one. Lists may be nested, as in the documents of SGLang's rerank.

Turns are also searched as parts, since APIs allow a part in place of a turn. The arguments of tool calls
(``input`` of ``tool_use``, ``args`` of ``functionCall``) are not listed, since no server opens them.
"""

_FOLDED = {level: {key.casefold(): key for key in table} for level, table in _TABLE.items()}


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a request that carries an image, a video, a sound or a file."""

    place: Where  # position of the part in the body
    key: tuple[str, ...]  # path from the part to the string with the media or their address
    kind: str  # image, video, audio or file, by the request
    text: str  # that string: a data URL, an address, or bare base64
    # media type of bare base64 in the request; None for a data URL or an address
    media_type: str | None = None
    # OpenAI's ``detail``, or Gemini's ``media_resolution`` of this part or of the request
    detail: str | None = None
    exact: bool = False  # must not be shrunk: `oversized_image: error` of Anthropic's API

    @property
    def name(self) -> str:
        """Name in error messages: ``messages[0].content[1].image_url``."""
        return format_place((*self.place, self.key[0]))

    @property
    def address(self) -> str | None:
        """The address that a server would fetch; None where the media is in the request itself."""
        return None if self.media_type is not None or is_data_url(self.text) else self.text

    @cached_property
    def media(self) -> Media | None:
        """Type and bytes of the media; None where the part has an address, or a data URL without base64.

        Raises InputError for text that is not base64.
        """
        if self.media_type is not None:
            return Media(self.media_type.partition(";")[0].strip().lower(), decode_base64(self.text))
        return read_data_url(self.text)

    def head(self) -> tuple[str, str]:
        """Return the media type, and the first characters of the base64 text, without decoding it."""
        if self.media_type is not None:
            return self.media_type.strip().lower(), self.text[:200].lstrip()
        return head_of(self.text)

    @property
    def is_visual(self) -> bool:
        """Whether the part is an image or video, by the request."""
        return self.kind in ("image", "video")

    @property
    def shows_images(self) -> bool:
        """Whether a server reads an image or video here, regardless of the media type."""
        return self.is_visual or self.key[0] in _INLINE

    @property
    def is_one_of_several(self) -> bool:
        """Whether the part stands in a list, so that several can take its place."""
        return isinstance(self.place[-1], int) and self.key[0] not in ("image", "video")


Frames = Sequence[tuple[str, Media]]
"""Images that take the place of one part: a text, which may be empty, and the image that follows it."""


def parts(body: Any) -> list[Part]:
    """Return all parts of a request that carry media, in order; none for other JSON."""
    config = body.get("generationConfig", body.get("generation_config")) if isinstance(body, dict) else None
    detail = _resolution(config) if isinstance(config, dict) else None
    readers = {"turn": _media_of, "part": _media_of, "result": _typed}
    return [
        part
        for where, level, value in _objects(body)
        if level in readers and len(where) <= MAX_DEPTH
        for part in readers[level](value, where, detail)
    ]


def models_of(body: Any) -> dict[Where, str]:
    """Return place → model of the request in a body, and of requests within it, such as those of a batch."""
    found = ((where, value.get("model")) for where, level, value in _objects(body) if level == "request")
    return {where: model for where, model in found if isinstance(model, str)}


def check_clear(body: Any) -> None:
    """Raise RefusedError for a body in which a server may find addresses that `parts` does not.

    Servers written in Go read ``Image_URL`` as ``image_url``. No API nests parts more than `MAX_DEPTH` deep.
    """
    for where, level, value in _objects(body):
        if len(where) > MAX_DEPTH and level not in ("media", "address"):
            place = format_place(where)
            raise RefusedError(f"{place}: nested more than {MAX_DEPTH} keys and indices deep", param=place)
        for key, child in value.items():
            name = _FOLDED[level].get(key.casefold(), key)
            if name == key or key in _TABLE[level] or _TABLE[level][name] == "result":
                continue  # results have no addresses
            may_be_text = _TABLE[level][name] in ("media", "address")
            if isinstance(child, dict | list) or (may_be_text and isinstance(child, str)):
                place = format_place((*where, key))
                raise RefusedError(
                    f"{place}: write this key as {name!r}. Some model servers ignore case, and would open an "
                    "address that is not checked here",
                    param=place,
                )


def _objects(
    value: Any, level: str = "request", where: Where = ()
) -> Iterator[tuple[Where, str, dict[str, Any]]]:
    """Yield the objects that `_TABLE` leads to, with place and level; below `MAX_DEPTH` the first alone."""
    if isinstance(value, dict):
        yield where, level, value
        if len(where) <= MAX_DEPTH:
            table = _TABLE[level]
            for key, child in value.items():
                if below := table.get(key, table.get("*")):
                    yield from _objects(child, below, (*where, key))
    elif isinstance(value, list):
        if len(where) > MAX_DEPTH:
            yield where, level, {}  # in place of what is in it
        else:
            for number, item in enumerate(value):
                yield from _objects(item, level, (*where, number))


def _media_of(part: dict[str, Any], where: Where, detail: str | None) -> Iterator[Part]:
    """Yield the parts in one object, in the form of any API; ``detail`` is that of a request to Gemini."""
    for key, value in part.items():
        if key in _KINDS:
            yield from _openai(part, key, where)
        elif key == "data":
            yield from _typed(part, where, detail)
        elif key == "source" and isinstance(value, dict):
            yield from _anthropic(part, value, where)
        elif isinstance(value, dict) and key in _INLINE:
            data, media_type = value.get("data"), _media_type(value)
            if isinstance(data, str):
                cut = {"videoMetadata", "video_metadata"} & part.keys()  # the server shows a part of it
                kind = "file" if cut else _kind(media_type)
                yield Part(where, (key, "data"), kind, data, media_type, _resolution(part) or detail)
        elif isinstance(value, dict) and key in _LINKED:
            kind = _kind(_media_type(value))
            for uri in _URIS:
                if isinstance(value.get(uri), str):
                    yield Part(where, (key, uri), kind, value[uri], detail=_resolution(part) or detail)


def _openai(part: dict[str, Any], key: str, where: Where) -> Iterator[Part]:
    value = part[key]
    holder, url, path = (
        (value, value.get("url"), (key, "url")) if isinstance(value, dict) else (part, value, (key,))
    )
    if isinstance(url, str):
        detail = holder.get("detail", part.get("detail"))
        kind = "file" if where == ("mask",) else _KINDS[key]  # as an image it would lose its transparency
        yield Part(where, path, kind, url, detail=detail if isinstance(detail, str) else None)


def _anthropic(part: dict[str, Any], source: dict[str, Any], where: Where) -> Iterator[Part]:
    kind = _kind(str(part.get("type")))
    asked = part.get("transformations")
    exact = isinstance(asked, dict) and asked.get("oversized_image") == "error"
    data, url, media_type = source.get("data"), source.get("url"), source.get("media_type")
    if isinstance(data, str) and source.get("type") != "text":
        media_type = media_type if isinstance(media_type, str) else ""
        yield Part(where, ("source", "data"), kind, data, media_type, exact=exact)
    if isinstance(url, str):  # also beside data: which of them a server reads depends on the type
        yield Part(where, ("source", "url"), kind, url)


def _typed(part: dict[str, Any], where: Where, detail: str | None) -> Iterator[Part]:
    """Yield the image in a part of Gemini's interactions or of MCP, which has type, data and media type."""
    data, media_type, own = part.get("data"), _media_type(part), part.get("resolution")
    if part.get("type") == "image" and isinstance(data, str) and _kind(media_type) == "image":
        yield Part(where, ("data",), "image", data, media_type, own if isinstance(own, str) else detail)


def _media_type_key(value: dict[str, Any]) -> str:
    """Return the spelling of the key that an object of Gemini's API or MCP uses, by default the first."""
    return next((name for name in _MIME_TYPES if name in value), _MIME_TYPES[0])


def _media_type(value: dict[str, Any]) -> str:
    found = value.get(_media_type_key(value))
    return found if isinstance(found, str) else ""


def _kind(media_type: str) -> str:
    kind = media_type.partition("/")[0].strip().lower()
    return kind if kind in ("image", "video", "audio") else "file"


def _resolution(part: dict[str, Any]) -> str | None:
    """Return Gemini's ``media_resolution`` of an object, given as a name or as ``{"level": name}``."""
    given = part.get("media_resolution", part.get("mediaResolution"))
    given = given.get("level") if isinstance(given, dict) else given
    return given if isinstance(given, str) else None


def replace_media(body: Any, changes: Mapping[Part, Media | Frames]) -> None:
    """Put other media in the place of some parts of a body; ``changes`` are in the order of `parts`."""
    for part, new in reversed(list(changes.items())):  # frames change the indices of later parts
        if isinstance(new, Media):
            holder = reduce(getitem, (*part.place, *part.key[:-1]), body)
            holder |= _media_keys(part, holder, new)
        else:
            content, number = reduce(getitem, part.place[:-1], body), int(part.place[-1])
            content[number : number + 1] = _frame_parts(content[number], part, new)


def _media_keys(part: Part, holder: dict[str, Any], new: Media) -> dict[str, str | Base64]:
    """Return the keys, with values, that carry media in a part or in the object in it."""
    if part.key[0] in _INLINE or part.key == ("data",):
        return {_media_type_key(holder): new.media_type, "data": Base64("", new.data)}
    if part.key == ("source", "data"):
        return {"media_type": new.media_type, "data": Base64("", new.data)}
    return {part.key[-1]: _data_url(new)}


def _data_url(media: Media) -> Base64:
    return Base64(f"data:{media.media_type};base64,", media.data)


def _frame_parts(old: dict[str, Any], part: Part, new: Frames) -> Iterator[dict[str, Any]]:
    """Yield texts and images in the form of the part that they replace.

    Other keys of the part are kept on each image: ``cache_control`` only on the last one, since it ends a
    prefix of the prompt; ``uuid``, a name in the cache of vLLM, with the number of the frame.
    """
    for number, (text, media) in enumerate(new):
        kept = {name: value for name, value in old.items() if name not in (part.key[0], "type")}
        if number < len(new) - 1:
            kept.pop("cache_control", None)
        if isinstance(kept.get("uuid"), str):
            kept["uuid"] = f"{kept['uuid']}-{number}"
        texts, image = _text_and_image(old, part, media, kept)
        if text:
            yield texts | {"text": text}
        yield image | kept


def _text_and_image(
    old: dict[str, Any], part: Part, media: Media, kept: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return an empty text and an image in the form of a part; ``kept`` are further keys of the image."""
    key = part.key[0]
    if key in _INLINE:
        return {}, {key: _media_keys(part, old[key], media)}
    if key == "data":
        kept.pop(_media_type_key(kept), None)
        return {"type": "text"}, {"type": "image"} | _media_keys(part, old, media)
    if key == "source":
        source = {"type": "base64", "media_type": media.media_type, "data": Base64("", media.data)}
        return {"type": "text"}, {"type": "image", "source": source}
    if "messages" in part.place or isinstance(old[key], dict):
        asked = old[key] if isinstance(old[key], dict) else {}
        detail = asked.get("detail", kept.pop("detail", None))
        shown = {"url": _data_url(media)} | ({"detail": detail} if detail else {})
        return {"type": "text"}, {"type": "image_url", "image_url": shown}
    kept.setdefault("detail", "auto")
    return {"type": "input_text"}, {"type": "input_image", "image_url": _data_url(media)}
