"""Our codec takes the options that the API takes, and says which ones it does not."""

import hashlib
import pickle

import numpy as np
import pytest
from PIL import features

import cotam
from cotam.codec.weights import load
from cotam.errors import InputError
from cotam.guide.base import LITE
from cotam_lab.bench import baselines
from cotam_lab.bench.ours import ours

GREY = np.full((40, 50, 3), 90, np.uint8)


def test_spec_reaches_the_codec_and_its_version() -> None:
    codec = baselines.codec("cotam:profile=base,guide=none,view=human")
    assert codec.name == "cotam:profile=base,guide=none,view=human"
    assert "profile base, guide none, view human, weights " in codec.version
    assert load("base").digest.hex()[:12] in codec.version
    assert load("mllm").digest.hex()[:12] in ours("profile=mllm").version
    both = f"weights {load('mllm').digest.hex()[:12]} {load('page').digest.hex()[:12]}"
    assert both in ours().version
    assert f"cotam {cotam.__version__}, libavif {features.version('avif')}" in codec.version
    data = codec.encode(GREY, 30)
    assert data == cotam.encode(GREY, quality=30, profile="base", guide="none")
    assert (codec.decode(data) == np.array(cotam.decode(data, view="human"))).all()


def test_without_options_it_is_the_api() -> None:
    codec = baselines.codec("cotam")
    data = codec.encode(GREY, 30)
    assert data == cotam.encode(GREY, quality=30)
    assert (codec.decode(data) == np.array(cotam.decode(data))).all()
    assert "view mllm" in codec.version


def test_values_are_json_or_strings() -> None:
    small = ours("max_pixels=400")
    assert small.decode(small.encode(GREY, 50)).size <= 3 * 400
    with pytest.raises(InputError, match="3"):
        ours("view=3")


def test_worker_processes_get_it() -> None:
    codec = pickle.loads(pickle.dumps(ours("view=human")))
    assert codec.decode(codec.encode(GREY, 50)).shape == GREY.shape


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("flavour=mint,view=human", r"no option flavour: choose from .*guide.*profile.*view"),
        ("view", r"'view' is not NAME=VALUE"),
        ("guide=", r"'guide=' is not NAME=VALUE"),
        ("view=martian", r"unknown \w+ 'martian'"),
        ("guide=martian", r"unknown \w+ 'martian'"),
        ("profile=martian", r"unknown \w+ 'martian'"),
    ],
)
def test_what_is_not_known_is_named(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        ours(text)


def test_the_version_names_the_guide_that_is_used() -> None:
    digest = hashlib.sha256(LITE.read_bytes()).hexdigest()[:12]
    for text in ("", "guide=lite", "profile=base,guide=lite", "guide=none"):  # without profile it finds pages
        assert f"guide file {digest}" in ours(text).version
    for text in ("profile=base", "profile=page", "profile=mllm,guide=none"):
        assert "guide file" not in ours(text).version
