import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from tiny import CODEC, codec

from cotam_lab.nets.codec import Codec
from cotam_lab.train import loop
from cotam_lab.train.batches import PackBatches
from cotam_lab.train.checkpoints import Average
from cotam_lab.train.data import Crops
from cotam_lab.train.loop import HYPER, train
from cotam_lab.train.losses import rate_distortion
from cotam_lab.train.schedule import Schedule


@pytest.fixture
def crops(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "pack"
    folder.mkdir()
    smooth = np.cumsum(rng.integers(-2, 3, (96, 96, 3)), axis=1) + 128
    smooth.astype(np.uint8).tofile(folder / "pixels.u8")
    (folder / "index.json").write_text(json.dumps([["photos", 0, 96, 96]]))
    return Crops(folder, size=64)


SCHEDULE = Schedule(steps=6, batch=2, warmup=2)


def run(crops, folder, schedule=SCHEDULE, **options):
    train(codec(), PackBatches(crops, schedule), folder, schedule, **options)


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(crops, tmp_path):
    run(crops, tmp_path / "whole", log_every=1)
    # Out of time at once: one step, then a checkpoint; the same command goes on.
    run(crops, tmp_path / "parts", minutes=0.0, log_every=3)
    stopped = torch.load(tmp_path / "parts/checkpoint.pt", weights_only=True)
    run(crops, tmp_path / "parts", log_every=3)
    whole = torch.load(tmp_path / "whole/checkpoint.pt", weights_only=True)
    parts = torch.load(tmp_path / "parts/checkpoint.pt", weights_only=True)
    assert (stopped["step"], parts["step"], whole["step"]) == (1, 6, 6)
    for kind in ("model", "average"):
        for name, value in whole[kind].items():
            assert torch.equal(value, parts[kind][name]), name
    rows = {
        name: [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("whole", "parts")
    }
    _, second, third, *rest = (row["loss"] for row in rows["whole"])
    assert len(rest) == 3
    assert [row["step"] for row in rows["parts"]] == [3, 6]
    # The first row after a stop is a mean over its steps.
    losses = [row["loss"] for row in rows["parts"]]
    assert losses == pytest.approx([(second + third) / 2, sum(rest) / 3], abs=2e-5)


def test_parts_that_some_steps_lack_are_means_over_the_others(crops, tmp_path):
    def sometimes(coded, batch):
        parts = rate_distortion(coded, batch)
        return parts | ({"reader": torch.tensor(4.0)} if batch.progress < 0.5 else {})

    run(crops, tmp_path / "run", loss=sometimes, log_every=6)
    (row,) = map(json.loads, (tmp_path / "run/log.jsonl").read_text().splitlines())
    assert row["reader"] == 4


def test_training_lowers_the_loss(crops, tmp_path):
    schedule = Schedule(steps=24, batch=2, warmup=4, learning_rate=2e-3)
    torch.manual_seed(0)
    train(Codec(CODEC), PackBatches(crops, schedule), tmp_path / "run", schedule, log_every=8)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert losses[-1] < 0.9 * losses[0], losses


@pytest.mark.parametrize("part", ["codec", "transforms", "adapter"])
def test_only_the_part_that_is_asked_for_learns(part, crops, tmp_path):
    before = codec().state_dict()
    run(crops, tmp_path / "run", part=part)
    after = torch.load(tmp_path / "run/checkpoint.pt", weights_only=True)["model"]
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("adapter.") == (part == "adapter") for name in changed)
    assert any(name.startswith(HYPER) for name in changed) == (part == "codec")


@pytest.fixture
def accelerate_anew():
    """Let a test choose a precision, which accelerate keeps for the process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.usefixtures("accelerate_anew")
@pytest.mark.parametrize("float32", [True, False])
def test_bf16_is_used_where_it_is_faster_unless_float32_is_asked_for(float32, crops, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "bf16_pays", lambda device: True)
    seen, network = set(), codec()
    network.analysis.leave.register_forward_hook(lambda layer, inputs, output: seen.add(output.dtype))
    train(network, PackBatches(crops, SCHEDULE), tmp_path / "run", SCHEDULE, float32=float32)
    assert seen == {torch.float32 if float32 else torch.bfloat16}


def test_rate_rises_then_falls_to_zero():
    schedule = Schedule(steps=100, warmup=10, decay=0.5)
    factors = [schedule.factor(step) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9:50] == [1.0] * 41
    assert factors[75] == pytest.approx(0.5)
    assert factors[99] == pytest.approx(0.02)


def test_average_follows_the_weights():
    layer = torch.nn.Linear(2, 2)
    average = Average(layer, decay=0.5)
    torch.nn.init.constant_(layer.weight, 8.0)
    for step in range(40):
        average.update(layer, step)
    torch.testing.assert_close(average.state["weight"], layer.weight.detach(), atol=1e-3, rtol=0)


@pytest.mark.slow
def test_two_processes_train_one_network(crops, tmp_path):
    script = tmp_path / "two.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nhere = Path(sys.argv[1])\n"
        "sys.path[:0] = [str(here), str(here.parent)]\n"
        "from test_loop import run\nfrom cotam_lab.train.data import Crops\n"
        "here = Path(sys.argv[2])\ncrops = Crops(here / 'pack', size=64)\n"
        "run(crops, here / 'run', log_every=3)\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", str(script)]
    for _ in range(2):  # the second reads the checkpoint of the first
        subprocess.run([*command, __file__.rpartition("/")[0], str(tmp_path)], check=True)
    assert torch.load(tmp_path / "run/checkpoint.pt", weights_only=True)["step"] == 6
