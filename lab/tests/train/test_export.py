import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from reference_runner import ReferenceRunner
from tiny import codec, waves

from cotam.codec import weights
from cotam.codec.still import Codec as RuntimeCodec
from cotam.errors import DamagedError
from cotam.format.symbols import Tables
from cotam.runtime import OnnxRunner
from cotam_lab.nets.entropy import bits
from cotam_lab.train.__main__ import main
from cotam_lab.train.data import pack
from cotam_lab.train.export import fit_tables, quality_tables, write_tables

SAMPLES = Path(__file__).parents[3] / "samples"


def test_the_scale_graph_gives_the_integers_of_the_network(exported, network):
    z = np.random.default_rng(0).integers(-255, 256, (1, 8, 3, 4)).astype(np.float32)
    levels = np.random.default_rng(1).integers(-7, 8, (1, 1, 6, 8)).astype(np.float32)
    tables = quality_tables(network)
    rows = {k: tables[k][60][None, :, None, None] for k in ("sums64", "sums32", "offset")}
    (index,) = OnnxRunner(exported)("scales", {"z": z, "levels": levels, **rows})
    with torch.no_grad():
        expected = network.scales(*(torch.from_numpy(a) for a in (z, levels, *rows.values())))
    assert np.array_equal(index, expected.numpy())
    assert len(np.unique(index)) > 3


def test_an_exported_set_codes_images_and_both_back_ends_agree(exported, network):
    found = weights.load("tiny", exported)
    pixels = waves(128, 192)
    files, decoded = [], []
    for runner in (OnnxRunner(exported), ReferenceRunner(exported)):
        coder = RuntimeCodec(found, runner)
        files.append(coder.encode(pixels, 70))
        symbols = coder.decode_symbols(files[0])
        decoded.append((symbols, coder.decode(files[0])))
    (first, first_pixels), (second, second_pixels) = decoded
    assert np.array_equal(first.z, second.z)
    assert np.array_equal(first.y, second.y)
    assert np.abs(first_pixels.astype(int) - second_pixels).max() <= 4
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        coded = network(tensor, torch.tensor([70]), torch.zeros(1, 1, 4, 6), noise=False, adapted=True)
    expected = coded.image[0].permute(1, 2, 0).clamp(0, 1).numpy() * 255
    # Rounded weights move a latent at the edge between two symbols: pixels differ, their error does not.
    ours, theirs = (np.mean((one - pixels.astype(float)) ** 2) for one in (first_pixels, expected))
    assert ours == pytest.approx(theirs, rel=0.15)


def test_the_adapter_is_heard_in_the_view_that_it_was_trained_for(exported, network, tmp_path):
    shutil.copytree(exported, tmp_path / "human")
    write_tables(network, tmp_path / "human", np.zeros((48, 4096), np.int64), "human")
    views = {}
    for adapts, folder in (("mllm", exported), ("human", tmp_path / "human")):
        coder = RuntimeCodec(weights.load(adapts, folder), OnnxRunner(folder))
        data = coder.encode(waves(), 60)
        views[adapts] = [coder.decode(data, view=view) for view in ("human", "mllm")]
    assert np.array_equal(views["human"][0], views["mllm"][1])
    assert np.array_equal(views["human"][1], views["mllm"][0])
    assert not np.array_equal(*views["human"])


def test_tables_that_saw_nothing_cost_what_the_network_was_trained_to_pay():
    arrays = fit_tables(np.zeros((48, 4096), np.int64))
    tables = Tables.from_flat(arrays["frequencies"], arrays["lengths"])
    rng = np.random.default_rng(0)
    index = rng.integers(1, 44, 20_000)
    residual = np.rint(rng.logistic(0, 2.0 ** ((index - 12) / 4) * np.sqrt(3) / np.pi))
    paid = float(bits(torch.from_numpy(residual), torch.from_numpy(index)).sum())
    assert tables.bits(residual.astype(np.int64), index) == pytest.approx(paid, rel=0.01)


def test_other_weights_are_refused(exported, tmp_path):
    data = RuntimeCodec(weights.load("tiny", exported), OnnxRunner(exported)).encode(waves(), 40)
    shutil.copytree(exported, tmp_path / "other")
    write_tables(codec(seed=1), tmp_path / "other", np.zeros((48, 4096), np.int64), "mllm")
    other = RuntimeCodec(weights.load("other", tmp_path / "other"), OnnxRunner(tmp_path / "other"))
    with pytest.raises(DamagedError, match="made with weights"):
        other.decode(data)


def test_manifest_names_every_file(exported):
    manifest = json.loads((exported / "manifest.json").read_text())
    assert sorted(manifest) == sorted(p.name for p in exported.iterdir() if p.name != "manifest.json")


def test_fitted_tables_follow_what_was_seen():
    histograms = np.zeros((48, 4096), np.int64)
    histograms[20, :3] = 90_000, 9_000, 1_000
    arrays = fit_tables(histograms)
    halves = np.split(arrays["frequencies"].astype(int), np.cumsum(arrays["lengths"].astype(int))[:-1])
    assert halves[20][0] / 2**16 == pytest.approx(0.9, abs=0.01)
    assert halves[20][1] / 2**16 == pytest.approx(0.045, abs=0.003)
    assert all(h[0] + 2 * h[1:-1].sum() + h[-1] == 2**16 for h in halves[1:])
    assert all((h >= 1).all() for h in halves)


@pytest.mark.slow
def test_the_weights_lie_beside_the_set(tmp_path):
    """Whatever its name: a dot in it begins no suffix."""
    pack({"photos": [SAMPLES / "kodim03.webp"]}, tmp_path / "pack")
    base, out = SAMPLES.parent / "lab/training/base.safetensors", tmp_path / "new" / "v1.2"
    arguments = ["export", str(base), "--pack", str(tmp_path / "pack"), "-o", str(out), "--crops", "1"]
    CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert {path.name for path in out.parent.iterdir()} == {"v1.2", "v1.2.safetensors"}
    shipped = weights.load("base").folder
    for name in ("analysis", "context", "synthesis"):  # the exporter of torch writes the others
        assert (out / f"{name}.onnx").read_bytes() == (shipped / f"{name}.onnx").read_bytes()
