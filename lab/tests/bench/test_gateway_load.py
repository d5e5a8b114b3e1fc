"""The load test of the gateway reports all that it promises, and fails where it should."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image
from synthetic import picture

pytestmark = pytest.mark.skipif(
    not os.path.exists("/proc/self/statm") or not all(map(find_spec, ("httpx2", "starlette", "uvicorn"))),
    reason="needs Linux and cotam[serve]",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(2):
        Image.fromarray(picture(64, 96, number)).save(tmp_path / f"{number}.png")
    return tmp_path


def test_report(folder: Path) -> None:
    from cotam_lab.bench.gateway_load import main

    arguments = [str(folder), "--clients", "4", "--seconds", "2", "--answer", "0.05"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    for line in (
        r"4 clients, 2 s: \d+ × 200",
        r"overhead p50 \d+\.\d\d s, p95 \d+\.\d\d s; \d+ ms of processor an answer",
        r"memory at the start \d+ MB, at the end \d+ MB",
        r"hostile files, honest: 200, ",
        r"hostile files, claims 3600 MP: 400, 0\.\d\d s of processor at most",
        r"hostile files, claims 50 MP, the limit: 400, ",
        r"hostile files, cut off: 400, ",
        r"hostile files, one byte changed: 400, ",
        r"16 clients left: 0 requests still run in the gateway after \d+\.\d s, 16 were given up",
        r"model server killed while it thinks: 502, 'the upstream .* cannot be reached: ",
        r"model server killed before a request: 502, ",
        r"all as it should be",
    ):
        assert re.search(line, result.output), (line, result.output)


def test_refusals_are_counted(folder: Path) -> None:
    from cotam_lab.bench import gateway_load

    arguments = [str(folder), "--clients", "4", "--seconds", "1", "--max-requests", "1"]
    result = CliRunner().invoke(gateway_load.main, arguments, catch_exceptions=False)
    assert re.search(r"\d+ × 200, \d+ × 429", result.output)
    # Of those that leave only one gets in, so not all of them are given up at the model: this is seen.
    assert "clients that left did not free their work" in result.output
    assert result.exit_code == 1


def test_what_grows_and_what_is_wrong_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from cotam_lab.bench import gateway_load
    from cotam_lab.bench.load import Sample

    grown: Iterator[int] = iter(range(100, 10**6, 50))
    monkeypatch.setattr(
        gateway_load, "sample", lambda started, process: Sample(next(grown) / 50, next(grown) * 10**6, 9, 9)
    )

    async def rows(*arguments: object) -> list[tuple[int | str, float]]:
        import asyncio

        await asyncio.sleep(5)
        return [(200, 0.3)] * 1000 + [(500, 0.1), ("ReadError", 0.1)]

    monkeypatch.setattr(gateway_load, "_clients", rows)
    found = list(gateway_load._load(os.getpid(), "", [], 1, 5, 0.1))
    assert found[0] == "errors other than 429: 500, ReadError"
    assert found[1].startswith("memory grew from ")
