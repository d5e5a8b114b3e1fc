import json
from pathlib import Path

import pytest
import torch
from synthetic import picture
from tiny import CODEC as TINY
from tiny import codec
from transformers import Dinov2Config, Dinov2Model

from cotam.errors import InputError
from cotam_lab.nets.adapter import TokenAdapter, added
from cotam_lab.nets.teachers import Teacher, distances, load_teacher
from cotam_lab.train.batches import PackBatches
from cotam_lab.train.checkpoints import averaged_weights, exported, load_codec
from cotam_lab.train.data import Crops
from cotam_lab.train.loop import train
from cotam_lab.train.losses import SETTINGS, Batch, Tokens
from cotam_lab.train.schedule import Schedule
from cotam_lab.train.tokens import WithTokens, check_network

ROOT = Path(__file__).parents[3]
SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "patch_size": 14,
    "image_size": 56,
}
SCHEDULE = Schedule(steps=4, batch=2, warmup=2)


def packed(folder: Path, side: int) -> Path:
    folder.mkdir()
    picture(side, side, seed=3).tofile(folder / "pixels.u8")
    (folder / "index.json").write_text(json.dumps([["photos", 0, side, side]]))
    return folder


@pytest.fixture
def crops(tmp_path):
    return Crops(packed(tmp_path / "pack", 96), size=64)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> Teacher:
    folder = tmp_path_factory.mktemp("dinov2")
    torch.manual_seed(0)
    Dinov2Model(Dinov2Config(**SMALL)).save_pretrained(folder)
    return load_teacher(str(folder))


def tiny(teacher: Teacher, crops: Crops) -> WithTokens:
    network = codec()
    model = WithTokens(TokenAdapter(TINY.latents, teacher.width), network, teacher)
    model.calibrate(crops.batch(0, 8)[0])
    return model


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(teacher, crops, tmp_path):
    loss = Tokens(teacher, SETTINGS["mllm"])

    def run(name, **options):
        batches = PackBatches(crops, SCHEDULE)
        train(tiny(teacher, crops), batches, tmp_path / name, SCHEDULE, loss=loss, part="adapter", **options)

    run("whole", log_every=2)
    run("parts", minutes=0.0)
    run("parts")
    whole, parts = (averaged_weights(tmp_path / name / "checkpoint.pt") for name in ("whole", "parts"))
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())
    # The adapter alone is trained, averaged and stored.
    assert {name.split(".")[0] for name in whole} == {"adapter"}
    rows = [json.loads(line) for line in (tmp_path / "whole/log.jsonl").read_text().splitlines()]
    assert {"loss", "shallow", "deep", "norm"} <= set(rows[0])


@torch.no_grad()
def seen_with_and_without(model: WithTokens, teacher: Teacher) -> dict[str, list[float]]:
    """Distances of the decoded picture at quality 10, with its tokens and without."""
    pixels = torch.from_numpy(picture(96, 96, seed=3)[:64, :64].copy()).permute(2, 0, 1)[None] / 255
    coded = model.at(pixels, torch.tensor([10]), torch.zeros(1, 1, 2, 2), None, noise=False)
    decoded, theirs = coded.image.clamp(0, 1), teacher(pixels)
    with added(teacher.model, coded.tokens):
        ours = teacher(decoded)
    both = [distances(seen, theirs) for seen in (ours, teacher(decoded))]
    return {name: [float(one[name]) for one in both] for name in both[0]}


def test_training_brings_the_decoded_picture_nearer_for_the_teacher(teacher, crops, tmp_path):
    model = tiny(teacher, crops)
    frozen = {name: value.clone() for name, value in model.frozen[0].state_dict().items()}
    before = seen_with_and_without(model, teacher)
    assert before["deep"][0] == pytest.approx(before["deep"][1], abs=1e-6)
    schedule = Schedule(steps=60, batch=2, warmup=5, learning_rate=2e-3, average=0.9)
    train(
        model,
        PackBatches(crops, schedule),
        tmp_path / "run",
        schedule,
        loss=Tokens(teacher, SETTINGS["mllm"]),
        part="adapter",
    )
    model.load_state_dict(averaged_weights(tmp_path / "run/checkpoint.pt"))
    after = seen_with_and_without(model.eval(), teacher)
    for level in ("shallow", "middle", "deep"):
        assert after[level][0] < 0.95 * after[level][1], level
        assert after[level][1] == pytest.approx(before[level][0], rel=1e-3)
    assert all(torch.equal(value, frozen[name]) for name, value in model.frozen[0].state_dict().items())


def test_the_papers_setting_begins_with_patch_embeddings(teacher, crops):
    model, loss = tiny(teacher, crops), Tokens(teacher, SETTINGS["paper"])
    pixels = torch.from_numpy(crops.batch(0, 2)[0]).permute(0, 3, 1, 2).float() / 255
    quality, levels = torch.tensor([20, 40]), torch.zeros(2, 1, 2, 2)
    with torch.no_grad():
        coded = model(pixels, quality, levels, noise=False)
        early, late = (
            float(loss(coded, Batch(pixels, quality, levels, torch.tensor([False, True]), progress))["loss"])
            for progress in (0.1, 0.9)
        )
    assert 0 < early < late


def test_weights_of_another_set_are_refused():
    other = load_codec(ROOT / "lab/training/page.safetensors").eval()
    with pytest.raises(InputError, match="not those of weight set 'mllm'"):
        check_network(other, exported("mllm"), picture(64, 64))


def test_the_shipped_weights_are_those_of_the_shipped_set():
    check_network(
        load_codec(ROOT / "lab/training/mllm.safetensors").eval(), exported("mllm"), picture(64, 64)
    )


def test_hyper_steps_do_not_depend_on_mixed_precision(monkeypatch):
    network = codec()
    steps = []
    multiplier = network.z_multiplier
    monkeypatch.setattr(
        network, "z_multiplier", lambda quality: steps.append(multiplier(quality)) or steps[-1]
    )
    arguments = torch.rand(1, 3, 64, 64), torch.tensor([37]), torch.zeros(1, 1, 2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        network(*arguments)
    network(*arguments)
    assert steps[0].dtype == torch.float32
    assert torch.equal(*steps)


def test_an_adapter_that_is_silenced_adds_nothing():
    network = codec()
    for parameter in network.adapter.parameters():
        torch.nn.init.normal_(parameter)
    arguments = torch.rand(1, 3, 64, 64), torch.tensor([37]), torch.zeros(1, 1, 2, 2)
    with torch.no_grad():
        plain = network(*arguments, noise=False).image
        assert not torch.equal(network(*arguments, noise=False, adapted=True).image, plain)
        network.adapter.silence()
        assert torch.equal(network(*arguments, noise=False, adapted=True).image, plain)
