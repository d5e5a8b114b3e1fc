"""Image parts in requests: found, replaced, and everything else left alone."""

from __future__ import annotations

import base64
import copy
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotam.errors import InputError
from cotam.gateway.json_body import Where, find_string, format_place, parse_json, to_json
from cotam.gateway.media import Media, data_url, read_data_url
from cotam.gateway.parts import check_clear, parts, replace_media
from cotam.gateway.refusal import RefusedError

CHAT: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "no list"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "data:image/png;base64,AAAA"},
                {"type": "image_url", "image_url": {"url": "data:a", "detail": "low"}},
                {"type": "image_url", "image_url": "data:b"},
                {"type": "video_url", "video_url": {"url": "data:c"}},
                {"type": "image_url", "image_url": {"url": None}},
                {"type": "image_url"},
                "text",
            ],
        },
        {"role": "tool", "content": [{"type": "image_url", "image_url": {"url": "https://d"}}]},
    ],
    "temperature": 0.10,
}
RESPONSES: dict[str, Any] = {
    "input": [
        {"role": "user", "content": [{"type": "input_image", "image_url": "data:a", "detail": "auto"}]},
        {"role": "user", "content": [{"type": "input_image", "file_id": "file-1", "image_url": None}]},
        {"type": "function_call_output", "output": [{"type": "input_image", "image_url": "data:b"}]},
        {"type": "function_call_output", "output": "data:text"},
        {"type": "computer_call_output", "output": {"type": "computer_screenshot", "image_url": "data:c"}},
    ]
}


def all_but_media(body: Any) -> str:
    """The body with its media left out, to compare what is around them."""
    body = copy.deepcopy(body)
    for part in parts(body):
        holder = body
        for key in (*part.place, *part.key[:-1]):
            holder = holder[key]
        holder[part.key[-1]] = None
    return json.dumps(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def written(body: Any) -> Any:
    """What an upstream reads."""
    return json.loads(b"".join(to_json(body)))


def replaced(body: Any, changes: Any) -> Any:
    """What an upstream reads of a copy of the body with other media."""
    body = copy.deepcopy(body)
    replace_media(body, changes)
    return written(body)


def media(number: int) -> Media:
    return Media("image/png", bytes([number]))


def url(number: int) -> str:
    return data_url(media(number))


def test_parts_of_chat_completions() -> None:
    found = parts(CHAT)
    assert [part.text for part in found] == ["data:a", "data:b", "data:c", "https://d"]
    assert [part.kind for part in found] == ["image", "image", "video", "image"]
    assert [part.name for part in found] == [
        "messages[1].content[1].image_url",
        "messages[1].content[2].image_url",
        "messages[1].content[3].video_url",
        "messages[2].content[0].image_url",
    ]


def test_parts_of_responses() -> None:
    assert [part.text for part in parts(RESPONSES)] == ["data:a", "data:b", "data:c"]
    assert parts(RESPONSES)[2].name == "input[4].output.image_url"


@pytest.mark.parametrize(
    "body", [None, [], "text", {}, {"messages": 3}, {"messages": [3, [], {"content": 1}]}]
)
def test_what_has_no_parts(body: Any) -> None:
    assert parts(body) == []


@pytest.mark.parametrize("body", [CHAT, RESPONSES])
def test_replaced_changes_media_alone(body: Any) -> None:
    found = parts(body)
    news = {part: Media("image/png", bytes([number])) for number, part in enumerate(found)}
    changed = replaced(body, news)
    assert [part.media for part in parts(changed)] == list(news.values())
    assert parts(changed)[0].name == found[0].name
    assert all_but_media(changed) == all_but_media(body)
    assert list(changed) == list(body)  # the order of keys too


def test_frames_come_in_the_place_of_a_part() -> None:
    first, _, video, last = parts(CHAT)
    two = [("<0.0 seconds>", media(0)), ("", media(1))]
    news = {
        first: two,
        video: two,
        last: media(9),
    }
    changed = replaced(CHAT, news)
    content = changed["messages"][1]["content"]
    text = {"type": "text", "text": "<0.0 seconds>"}
    plain = [{"type": "image_url", "image_url": {"url": url(n)}} for n in (0, 1)]
    low = [{"type": "image_url", "image_url": {"url": url(n), "detail": "low"}} for n in (0, 1)]
    old = CHAT["messages"][1]["content"]
    assert content == [old[0], text, *low, old[2], text, *plain, *old[4:]]
    assert changed["messages"][2]["content"][0]["image_url"]["url"] == url(9)


def test_frames_in_responses() -> None:
    found = parts(RESPONSES)
    assert [part.is_one_of_several for part in found] == [True, True, False]  # a screenshot is alone
    news = {part: [("<1.5 seconds>", media(7))] for part in found[:2]}
    changed = replaced(RESPONSES, news)["input"]
    expected = [
        {"type": "input_text", "text": "<1.5 seconds>"},
        {"type": "input_image", "image_url": url(7), "detail": "auto"},
    ]
    assert changed[0] == {"role": "user", "content": expected}
    assert changed[2] == {"type": "function_call_output", "output": expected}
    video = {"input": [{"content": [{"type": "input_video", "video_url": "data:v"}]}]}
    (part,) = parts(video)
    assert part.kind == "video"
    made = replaced(video, {part: [("<1.5 seconds>", media(7))]})
    assert made == {"input": [{"content": expected}]}


@given(json_values)
def test_any_json_survives(value: Any) -> None:
    body = json.dumps(value).encode()
    assert written(parse_json(body)[0]) == value
    parts(value)


def test_json_of_odd_text() -> None:
    assert written({"text": "\ud800 ü"}) == {"text": "\ud800 ü"}
    assert b"".join(to_json({"ü": "ü", "n": 1.5})) == '{"ü":"ü","n":1.5}'.encode()


@pytest.mark.parametrize(
    "number",
    ["0.12345678901234567890123", "1.50", "1E5", "-0", "-0.0", "1e400", "-1e999999999", "9" * 5000, "1e-400"],
)
def test_numbers_are_written_as_they_were(number: str) -> None:
    body = f'{{"a":[{number},{{"b":{number}}}],"c":7,"d":0.1,"e":"{number}"}}'.encode()
    assert b"".join(to_json(parse_json(body)[0])) == body


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 200_000])
def test_what_is_no_json(body: bytes) -> None:
    with pytest.raises(InputError, match="the body is not JSON"):
        parse_json(body)


@given(st.binary(max_size=200))
def test_data_urls_there_and_back(data: bytes) -> None:
    assert read_data_url(data_url(Media("image/vnd.cotam", data))) == Media("image/vnd.cotam", data)


def test_data_urls_as_clients_write_them() -> None:
    text = base64.encodebytes(bytes(100)).decode()  # lines of 76
    assert read_data_url(f"data:Image/PNG;base64,{text}") == Media("image/png", bytes(100))
    assert read_data_url("DATA:image/png;name=a.png;BASE64,AAAA") == Media("image/png", bytes(3))
    assert read_data_url("data:image/png; base64,AAAA") == Media("image/png", bytes(3))
    assert read_data_url("data:image/png ; base64 ,AAAA") == Media("image/png", bytes(3))
    assert read_data_url("data:image/png;base64,%2B%2f8%3D") == Media("image/png", b"\xfb\xff")
    assert read_data_url("\n data:image/png;base64,AAAA\n") == Media("image/png", bytes(3))
    assert read_data_url("data:;base64,") == Media("", b"")
    for other in (
        "https://example.com/a,b;base64,",
        "data:image/svg+xml,<svg/>",
        "data:image/png;base64",
        "AAAA",
    ):
        assert read_data_url(other) is None
    for broken in ("data:image/png;base64,AAAAA", "data:image/png;base64,AA*A", "data:image/png;base64,Aé=="):
        with pytest.raises(InputError, match="not base64"):
            read_data_url(broken)


@pytest.mark.parametrize("kind", [{}, {"image_url": 1}, ["image_url"], 3, None])
def test_a_part_is_known_by_its_key_whatever_its_type(kind: object) -> None:
    """vLLM goes by the key where there is no type. Types that are objects were found by fuzzing."""
    for part in ({"type": kind, "image_url": "data:,"}, {"image_url": {"url": "data:,"}}):
        (found,) = parts({"messages": [{"content": [part]}]})
        assert (found.text, found.kind) == ("data:,", "image")


def test_frames_in_the_place_of_a_part_without_a_type() -> None:
    body = {"messages": [{"content": [{"video_url": "data:v"}]}]}
    (part,) = parts(body)
    made = replaced(body, {part: [("<1.5 seconds>", media(7))]})
    text = {"type": "text", "text": "<1.5 seconds>"}
    assert made["messages"][0]["content"] == [text, {"type": "image_url", "image_url": {"url": url(7)}}]


@pytest.mark.parametrize("config", ["generationConfig", "generation_config"])
def test_the_resolution_of_a_part_comes_before_that_of_the_request(config: str) -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    linked = {"file_data": {"file_uri": "https://a"}}
    own = image | {"mediaResolution": {"level": "MEDIA_RESOLUTION_HIGH"}}
    body = {
        "contents": [{"parts": [image, own, linked]}],
        config: {"mediaResolution": "MEDIA_RESOLUTION_LOW"},
    }
    assert [part.detail for part in parts(body)] == [
        "MEDIA_RESOLUTION_LOW",
        "MEDIA_RESOLUTION_HIGH",
        "MEDIA_RESOLUTION_LOW",
    ]
    assert parts({**body, config: "low"})[0].detail is None


def test_sounds_and_files_have_addresses_too() -> None:
    content = [
        {"type": "audio_url", "audio_url": {"url": "https://a"}},
        {"type": "input_file", "file_url": "https://b"},
        {"type": "text", "text": "?", "image_url": "https://c", "video_url": "https://d"},
    ]
    document = {"type": "document_url", "document_url": "https://e"}
    found = parts({"input": [{"role": "user", "content": content}], "document": document})
    assert [(part.kind, part.text) for part in found] == [
        ("audio", "https://a"),
        ("file", "https://b"),
        ("image", "https://c"),
        ("video", "https://d"),
        ("file", "https://e"),
    ]


def test_every_address_of_a_part_is_found() -> None:
    """Servers differ in which of two they take."""
    gemini = {"fileData": {"file_uri": "https://a", "fileUri": "https://b"}}
    source = {"type": "url", "media_type": "image/png", "data": "AAAA", "url": "https://c"}
    found = parts({"contents": [{"parts": [gemini]}], "messages": [{"content": [{"source": source}]}]})
    assert [part.address for part in found] == ["https://a", "https://b", None, "https://c"]


@pytest.mark.parametrize(
    ("body", "where", "name"),
    [
        ({"Messages": [{"content": []}]}, ("Messages",), "messages"),
        ({"meſſages": [{"content": []}]}, ("meſſages",), "messages"),  # as Go folds it
        (
            {"messages": [{"content": [{"type": "image_url", "Image_URL": "x"}]}]},
            ("messages", 0, "content", 0, "Image_URL"),
            "image_url",
        ),
        (
            {"messages": [{"content": [{"image_url": {"url": "data:,", "URL": "x"}}]}]},
            ("messages", 0, "content", 0, "image_url", "URL"),
            "url",
        ),
        (
            {"contents": [{"parts": [{"fileData": {"FileUri": "x"}}]}]},
            ("contents", 0, "parts", 0, "fileData", "FileUri"),
            "fileUri",
        ),
        (
            {"messages": [{"content": [{"type": "image", "source": {"Url": "x"}}]}]},
            ("messages", 0, "content", 0, "source", "Url"),
            "url",
        ),
    ],
)
def test_keys_in_other_case_are_found(body: Any, where: Where, name: str) -> None:
    with pytest.raises(RefusedError, match=f"write this key as '{name}'") as found:
        check_clear(body)
    assert found.value.param == format_place(where)


@pytest.mark.parametrize(
    "body",
    [
        *(CHAT, RESPONSES),
        {"documents": [{"Title": "a", "Content": "b", "URL": "c"}]},
        {"messages": [{"role": "user", "tool_calls": [{"Content": [], "Image_URL": "x"}]}], "Metadata": {}},
        {"prompt": {"variables": {"Content": {"type": "input_text", "text": "x"}}}},
        {"contents": [{"parts": [{"fileData": {"fileUri": "x", "mimeType": "y"}}]}]},
    ],
)
def test_other_keys_may_be_written_as_one_likes(body: Any) -> None:
    check_clear(body)


def test_inputs_of_embeddings_and_documents_to_rank() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:b"}}
    clip = {"type": "video_url", "video_url": {"url": "data:c"}}
    body = {
        "input": [{"text": "t", "image": "data:a"}, {"image": {"a": 1}}],
        "documents": [["t", image], [clip]],
    }
    found = parts(body)
    names = ["input[0].image", "documents[0][1].image_url", "documents[1][0].video_url"]
    assert [part.name for part in found] == names
    assert [part.is_one_of_several for part in found] == [False, True, True]
    changed = replaced(body, {found[0]: media(1), found[2]: [("", media(2)), ("", media(3))]})
    assert changed["input"][0] == {"text": "t", "image": url(1)}
    frames = [{"type": "image_url", "image_url": {"url": url(number)}} for number in (2, 3)]
    assert changed["documents"] == [["t", image], frames]


def test_parts_that_are_nested_too_deep_are_not_passed_over() -> None:
    content: list[Any] = [{"type": "image_url", "image_url": {"url": "https://a"}}]
    for _ in range(10):
        content = [{"type": "tool_result", "content": content}]
    body = {"messages": [{"role": "user", "content": content}]}
    check_clear(body)
    assert [part.address for part in parts(body)] == ["https://a"]
    lists: list[Any] = []
    for _ in range(900):
        lists = [lists]
    for deep in ({"messages": [{"content": [{"content": content}]}]}, {"documents": lists}):
        with pytest.raises(RefusedError, match="nested more than 24"):
            check_clear(deep)


def test_strings_are_found_in_deep_json_in_little_memory() -> None:
    value: Any = ["a"] * 100_000 + ["b"]
    for _ in range(500):
        value = [value]
    tracemalloc.start()
    try:
        assert find_string(value, lambda text: text == "b") == (*[0] * 500, 100_000)
        assert find_string({"a": ["", {"b": 1}], "c": {"d": "e"}}, lambda text: text == "e") == ("c", "d")
        assert find_string("e", lambda text: text == "e") == ()
        assert find_string([value], lambda text: text == "c") is None
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
