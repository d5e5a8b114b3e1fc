"""Graphs give equal integers, and pixels equal up to rounding, whatever the threads and optimisation."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from default_codec import CODEC
from synthetic import level_map, picture
from unoptimised import UnoptimisedRunner

import cotam
from cotam import runtime
from cotam.codec import shared
from cotam.codec.still import Codec
from cotam.codec.weights import load, names
from cotam.errors import InputError
from cotam.runtime import DECODING, ENCODING, GRAPHS, OnnxRunner, Runner, use_providers

FOLDER = load().folder


def scale_inputs(name: str, quality: int, seed: int) -> dict[str, np.ndarray]:
    """Random inputs of the scale graph, many at the ends of their ranges."""
    found, rng = load(name), np.random.default_rng(seed)
    height, width = rng.integers(1, 7, 2)
    z = rng.integers(-255, 256, (1, found.z_index.shape[1], height, width))
    z = np.where(rng.random(z.shape) < rng.choice([0.0, 0.5, 1.0]), 255 * rng.choice([-1, 1], z.shape), z)
    levels = rng.integers(-7, 8, (1, 1, 2 * height, 2 * width))
    levels = np.where(rng.random(levels.shape) < 0.3, 7 * rng.choice([-1, 1], levels.shape), levels)
    rows = {key: getattr(found, key)[quality][None, :, None, None] for key in ("sums64", "sums32", "offset")}
    return {"z": z.astype(np.float32), "levels": levels.astype(np.float32)} | rows


@pytest.mark.parametrize("name", names())
def test_table_indices_are_bit_equal_on_every_session(name: str) -> None:
    folder = load(name).folder
    runners: list[Runner] = [
        OnnxRunner(folder, threads=1),
        OnnxRunner(folder, threads=2),
        UnoptimisedRunner(folder, 1),
        UnoptimisedRunner(folder, 2),
    ]
    seen: set[int] = set()
    for quality in range(101):
        inputs = scale_inputs(name, quality, seed=quality)
        (expected,), *others = (runner("scales", inputs) for runner in runners)
        assert expected.dtype == np.uint8
        assert expected.max() < 48
        for (found,) in others:
            assert np.array_equal(found, expected)
        seen |= set(np.unique(expected).tolist())
    assert len(seen) > 30  # not all the same, which would be easy


@pytest.mark.parametrize("name", names())
def test_every_sum_of_the_scale_graph_is_exact_in_float32(name: str) -> None:
    """Follow the largest magnitude through the graph: all sums are multiples of a unit, below 2**24 units.

    Such sums are the same in any order, so on any machine. Weights must be integers for that.
    """
    onnx = pytest.importorskip("onnx")
    graph, found = onnx.load(load(name).folder / "scales.onnx").graph, load(name)
    constants = {t.name: onnx.numpy_helper.to_array(t).astype(np.float64) for t in graph.initializer}
    # name → largest magnitude, and how many parts one is divided into
    known = {"z": (255.0, 1), "levels": (7.0, 1)}
    for key in ("sums64", "sums32", "offset"):
        known[key] = (float(np.abs(getattr(found, key)).max()), 1)
    rounded: dict[str, str] = {}
    widest = 0.0
    for node in graph.node:
        a, *rest = node.input
        if node.op_type == "Cast" and a in constants:
            constants[node.output[0]] = constants[a]
            continue
        largest, parts = known[a]
        if node.op_type == "Conv":
            weight, bias = (constants[key] for key in rest)
            assert parts == 1
            assert np.array_equal(weight, np.rint(weight))
            assert np.array_equal(bias, np.rint(bias))
            sums = np.abs(weight).reshape(len(weight), -1).sum(1) * largest + np.abs(bias)
            largest = float(sums.max())
        elif node.op_type == "Sub":
            # The exporter writes rounding as x + (round(x) - x).
            assert rounded[a] == rest[0]
            largest, parts = 0.5, known[rest[0]][1]
        elif node.op_type == "Add":
            largest, parts = largest + known[rest[0]][0], max(parts, known[rest[0]][1])
        elif node.op_type == "Mul":
            largest *= float(constants[rest[0]])
        elif node.op_type == "Div":
            divisor = float(constants[rest[0]])
            assert np.log2(divisor) % 1 == 0
            largest, parts = largest / divisor, parts * int(divisor)
        elif node.op_type == "Round":
            rounded[node.output[0]] = a
            largest, parts = largest + 0.5, 1
        elif node.op_type == "Clip":
            largest, parts = min(largest, float(constants[rest[1]])), 1
        else:
            assert node.op_type in {"DepthToSpace", "Resize", "Cast"}
        assert largest * parts < 2**24, f"{node.op_type} → {node.output[0]}"
        known[node.output[0]] = (largest, parts)
        widest = max(widest, largest * parts)
    assert widest > 2**16  # the walk did see the sums


def test_transforms_agree_up_to_rounding() -> None:
    """An activation between two integers may fall to either side: pixels differ rarely, and by little."""
    pixels, levels = picture(190, 250), level_map(190, 250)
    data = CODEC.encode(pixels, 60, levels=levels)
    expected = CODEC.decode(data).astype(int)
    others: list[Runner] = [OnnxRunner(FOLDER, 2), UnoptimisedRunner(FOLDER, 1)]
    for runner in others:
        away = np.abs(Codec(load(), runner).decode(data) - expected)
        assert away.max() <= 4
        assert (away > 0).mean() < 0.03


def test_encoders_on_other_back_ends_write_nearly_the_same() -> None:
    pixels = picture(128, 192)
    expected = CODEC.encode(pixels, 50)
    found = Codec(load(), UnoptimisedRunner(FOLDER, 1)).encode(pixels, 50)
    assert len(found.data) == pytest.approx(len(expected.data), rel=0.02)


def test_a_graph_that_could_not_be_opened_is_tried_again(tmp_path: Path) -> None:
    runner, inputs = OnnxRunner(tmp_path, threads=1), scale_inputs("mllm", 50, seed=0)
    for use in (lambda: runner.open("scales"), lambda: runner("scales", inputs)):
        with pytest.raises(Exception, match=r"scales\.onnx"):
            use()
    (tmp_path / "scales.onnx").write_bytes((FOLDER / "scales.onnx").read_bytes())
    session = runner.open("scales")
    assert len(runner("scales", inputs)) == 1
    assert runner.open("scales") is session


def test_any_runner_will_do() -> None:
    """`Codec` asks for nothing but calls by graph name."""
    asked: list[str] = []

    def noting(graph: str, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        asked.append(graph)
        return CODEC.runner(graph, inputs)

    codec = Codec(load(), noting)
    codec.decode(codec.encode(picture(64, 64), 30))
    hyper = ["hyper_context"] * 4
    encoded = ["analysis", "hyper_analysis", "scales", "context", *hyper]
    decoded = [*hyper, "scales", "context", "synthesis"]
    assert asked == [*encoded, *decoded]
    assert (tuple(dict.fromkeys(encoded)), tuple(dict.fromkeys(decoded))) == (ENCODING, DECODING)


def test_providers_are_used_but_for_exact_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the one other provider of the CPU's package, which runs none of the operators."""
    monkeypatch.setattr(runtime, "_providers", runtime._providers)
    use_providers("AzureExecutionProvider")
    runner = OnnxRunner(FOLDER, 1)
    used = {graph: runner.open(graph).get_providers()[0] for graph in GRAPHS}
    exact = {graph for graph, provider in used.items() if provider == "CPUExecutionProvider"}
    assert exact == {"scales", "hyper_context"}
    data = Codec(load(), runner).encode(picture(64, 96), 50)
    assert data == CODEC.encode(picture(64, 96), 50)


def test_unknown_providers_are_refused() -> None:
    with pytest.raises(InputError, match=r"unknown execution provider 'Abacus': choose from .*CPU"):
        use_providers("Abacus")


def test_threads_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is first loads the weight set and opens its graphs."""
    images = [picture(50 + 10 * i, 90, seed=i) for i in range(8)]
    expected = [cotam.encode(p, quality=60) for p in images]
    decoded = [np.asarray(cotam.decode(data)) for data in expected]
    monkeypatch.setattr(shared, "_codecs", {})
    together = threading.Barrier(8)

    def both(pixels: np.ndarray) -> tuple[bytes, np.ndarray]:
        together.wait()
        data = cotam.encode(pixels, quality=60)
        return data, np.asarray(cotam.decode(data))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(both, images))
    assert [data for data, _ in found] == expected
    assert all(np.array_equal(a, b) for (_, a), b in zip(found, decoded, strict=True))


def test_onnx_runtime_reports_nothing_about_its_use(tmp_path: Path) -> None:
    """It would keep an identifier of the device and a queue of events in the cache of the user."""
    program = "import cotam; cotam.encode(b'P5 9 9 255 ' + bytes(81), profile='mllm')"
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH", "SYSTEMROOT")}
    subprocess.run([sys.executable, "-c", program], env={**kept, "HOME": str(tmp_path)}, check=True)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_too_little_memory_for_a_graph_is_a_memory_error() -> None:
    """`cotam batch` and the gateway then go on with the next image."""
    program = """
import resource
import numpy as np
from cotam.codec.weights import load
from cotam.runtime import OnnxRunner

runner, pixels = OnnxRunner(load().folder, 1), np.zeros((1, 1024, 1024, 3), np.uint8)
runner("analysis", {"pixels": pixels[:, :64, :64]})
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (8 << 20),) * 2)
try:
    runner("analysis", {"pixels": pixels})
except MemoryError as error:
    print("MemoryError")
"""
    assert subprocess.check_output([sys.executable, "-c", program]) == b"MemoryError\n"
