"""Damaged and hostile files: a clear error or the right symbols, soon, in little memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from default_codec import CODEC, are_equal
from mutations import BOMB, MUTATIONS, SECONDS, with_boxes
from synthetic import level_map, picture

import cotam
from cotam.errors import DamagedError, LimitError
from cotam.format.header import write_file
from cotam.format.varint import varint

MEMORY = 1024
"""MiB that the process of the mutations may take beside what the loaded decoder has."""

VALID = CODEC.encode(picture(64, 96), 40, levels=level_map(64, 96) | 1)


def run_mutations(count: int) -> str:
    """Outcomes of ``count`` mutations in a process of their own, under a limit of memory."""
    command = [sys.executable, str(Path(__file__).with_name("mutations.py"))]
    options = ["--count", str(count), "--memory", str(MEMORY)]
    found = subprocess.run(command + options, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def test_mutated_files() -> None:
    out = run_mutations(5 * len(MUTATIONS))
    for expected in (
        "DamagedError",
        "TruncatedError",
        "FormatError",
        "LimitError",
        "NotCotamError",
        "same symbols",
    ):
        assert f" {expected}\n" in out


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_mutated_files(capsys: pytest.CaptureFixture[str]) -> None:
    """`lab/recipes/fuzz.sh` runs this; COTAM_MUTATIONS sets another count."""
    out = run_mutations(int(os.environ.get("COTAM_MUTATIONS", "10000")))
    with capsys.disabled():
        print("\n" + out)
    assert "slowest" in out


def test_mutations_are_what_their_names_say() -> None:
    """Most of them do change a file: else they would test nothing."""
    data = write_file(VALID)
    for mutation in MUTATIONS:
        changed = [mutation(np.random.default_rng(seed), data) for seed in range(20)]
        assert sum(c != data for c in changed) >= 14, mutation.__name__


@pytest.mark.parametrize(
    ("size", "payload"),
    [
        *(
            (size, "noise")
            for size in [(14_142, 14_142), (1 << 20, 190), (190, 1 << 20), (2048, 2048), (1, 1 << 20)]
        ),
        *(((14_142, 14_142), payload) for payload in ("nothing", "ones")),
    ],
)
def test_a_giant_image_in_a_small_file(size: tuple[int, int], payload: str) -> None:
    data = {"nothing": b"", "noise": np.random.default_rng(0).bytes(20_000), "ones": b"\xff" * 20_000}[
        payload
    ]
    for quality in (0, 100):
        header = replace(VALID.header, height=size[0], width=size[1], quality=quality)
        file = replace(VALID, header=header, payload=data)
        tracemalloc.start()
        start = time.process_time()
        with pytest.raises(DamagedError):
            CODEC.decode_symbols(file)
        assert time.process_time() - start < SECONDS
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
        tracemalloc.stop()


def test_an_image_above_the_limit_takes_no_memory() -> None:
    header = replace(VALID.header, height=1 << 20, width=1 << 20)
    tracemalloc.start()
    with pytest.raises(LimitError, match="1048576×1048576 pixels, more than the limit of 200 MP"):
        cotam.decode(write_file(replace(VALID, header=header)))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_three_metadata_bombs() -> None:
    file = with_boxes(VALID, b"".join(letter + varint(len(BOMB)) + BOMB for letter in (b"E", b"I", b"X")))
    assert len(file) < 300_000
    tracemalloc.start()
    with pytest.raises(LimitError, match="16 MiB"):
        cotam.decode(file)
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()


def test_symbols_as_no_encoder_chooses_them() -> None:
    """Symbols at the ends of their range, rightly coded and summed: nothing fails on the way to pixels."""
    rng = np.random.default_rng(0)
    symbols = CODEC.quantise(picture(64, 96), 40)[0]
    symbols = replace(symbols, z=rng.choice([-127, 127], symbols.z.shape).astype(np.int16))
    (band,) = symbols.grid.bands()
    index = CODEC.table_index(symbols, band)
    extremes = np.where(index > 0, rng.choice([-32_767, 32_767], index.shape), 0).astype(np.int16)
    symbols = replace(symbols, y=extremes)
    data = CODEC.write(symbols, index, {})
    assert are_equal(CODEC.decode_symbols(data), symbols)
    assert CODEC.decode(data).shape == (64, 96, 3)


def test_hyper_latents_out_of_range() -> None:
    symbols, index = CODEC.quantise(picture(64, 96), 40)
    data = CODEC.write(replace(symbols, z=np.full_like(symbols.z, 128)), index, {})
    with pytest.raises(DamagedError, match="hyper latent is out of range"):
        CODEC.decode_symbols(data)
