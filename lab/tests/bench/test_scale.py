"""The arithmetic of `cotam_lab.bench.scale`, by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cotam_lab.bench.scale import Measured, Prices, estimate, main

FOUND = {
    "pictures": 10,
    "megapixels": 0.5,
    "bytes_jpeg": 1_000_000,
    "bytes_cotam": 200_000,
    "encode_processor_seconds": 0.36,
    "decode_processor_seconds": 0.72,
    "speedup_of_two": {"processes": 1.9, "ray": 1.8},
}


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    path = tmp_path / "found.json"
    path.write_text(json.dumps(FOUND))
    return path


def test_a_million_pictures(measured: Path) -> None:
    one = estimate(Measured.read(measured), Prices(sent=0.1, month=0.02, core=0.05), megapixels=1.0)
    assert (one.jpeg, one.cotam) == pytest.approx((200, 40))
    assert (one.encode, one.decode) == pytest.approx((20, 40))
    assert (one.saved_sent, one.saved_month) == pytest.approx((16, 3.2))
    assert (one.paid_encode, one.paid_decode) == pytest.approx((1, 2))


def test_the_page(measured: Path, tmp_path: Path) -> None:
    options = ["--sent", "0.1", "--month", "0.02", "--core", "0.05", "--megapixels", "1"]
    result = CliRunner().invoke(main, [str(measured), *options, "-o", str(tmp_path / "page.md")])
    assert result.exit_code == 0
    row = "| 1 MP | 200.0 | 40.0 | 20.0 | 40.0 | 16.00 · 3.20 | 3.00 · 2.00 |"
    assert row in result.output
    assert "sending pays from 0.019 for a GB" in result.output
    assert "storing pays for both after 0.9 months" in result.output
    assert "encodes 1.20 and decodes 0.60 million pictures of 1 MP a day" in result.output
    assert "over a link of less than 5.9 Mbit/s" in result.output  # 80 kB in 0.036 + 0.072 s
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == result.output
