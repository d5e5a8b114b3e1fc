"""What fuzzing begins with, and all that it ever found, through the targets of `tests/fuzz`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fuzz.targets import FOUND, TARGETS, seeds
from hypothesis import given, settings
from hypothesis import strategies as st

INPUTS = [(path.parent.name, path) for path in sorted(FOUND.glob("*/*"))]


@pytest.mark.parametrize("target", TARGETS)
def test_seeds(target: str) -> None:
    found = seeds(target)
    assert len(found) >= 3
    for data in found:
        TARGETS[target](data)


@pytest.mark.parametrize(("target", "path"), INPUTS, ids=[f"{target}/{path.name}" for target, path in INPUTS])
def test_what_was_found(target: str, path: Path) -> None:
    TARGETS[target](path.read_bytes())


KEYS = (
    *("messages", "input", "contents", "content", "output", "parts", "requests", "params", "prompt"),
    *("variables", "functionResponse", "type", "image_url", "url", "source", "data", "media_type"),
    *("inline_data", "mime_type", "inlineData", "mimeType", "file_data", "file_uri", "x"),
)


@settings(max_examples=300)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.just("data:image/png;base64,AA=="),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(KEYS),
                inner | st.sampled_from(["image_url", "input_image", "base64", "image", "iVBORw0KGgo="]),
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_requests_of_any_shape(body: object) -> None:
    from cotam.gateway.json_body import to_json

    data = b"".join(to_json(body))
    TARGETS["rewrite"](data)
    TARGETS["convert"](data)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_a_short_run_finds_nothing(target: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    run = Path(__file__).parent / "fuzz/run.py"
    command = [sys.executable, str(run), target, str(tmp_path / "corpus"), "-max_total_time=15"]
    result = subprocess.run(command, capture_output=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:].decode(errors="replace")
    assert b"stat::number_of_executed_units" in result.stderr
