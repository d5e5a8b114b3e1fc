"""The wheel: what another program finds after ``pip install cotam``."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import cotam

ROOT = Path(__file__).parent.parent

AS_A_SERVER_DOES = """
import base64, io, sys
from importlib.metadata import entry_points
for _ in range(2):  # once in each process, and once more in the first
    for plugin in entry_points(group=sys.argv[1]):
        plugin.load()()
assert "onnxruntime" not in sys.modules  # a process that opens no .cotam pays nothing
from PIL import Image
with Image.open(io.BytesIO(base64.b64decode(sys.stdin.read()))) as image:
    image.load()
    print(image.format, image.convert("RGB").size)
print(sys.modules["cotam"].__file__)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what is in the wheel, as pip puts it into site-packages."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.mark.parametrize("group", ["vllm.general_plugins", "sglang.srt.plugins"])
def test_servers_find_the_plugin_and_open_cotam(installed: Path, group: str) -> None:
    data = base64.b64encode(cotam.encode(ROOT / "samples/kodim03.webp", max_pixels=20_000))
    environment = os.environ | {"PYTHONPATH": str(installed)}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", AS_A_SERVER_DOES, group],
        input=data.decode(),
        capture_output=True,
        text=True,
        env=environment,
        cwd=installed,
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines == ["COTAM (173, 115)", str(installed / "cotam/__init__.py")]


def test_the_page_is_in_the_wheel(installed: Path) -> None:
    page = installed / "cotam/gateway/page"
    assert {path.name for path in page.iterdir()} >= {"icon.svg", "index.html", "page.css", "page.js"}
    assert sum(path.stat().st_size for path in page.iterdir()) < 250_000


@pytest.mark.slow
def test_errors_are_shown_with_the_oldest_click_that_is_allowed(tmp_path: Path) -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        dependencies = tomllib.load(file)["project"]["dependencies"]
    (oldest,) = (name.replace(">=", "==") for name in dependencies if name.startswith("click>="))
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path), oldest]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip(f"{oldest} cannot be installed here")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "cotam", "encode", "missing.png"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    expected = "cotam: error: missing.png: No such file or directory\n"
    assert (done.returncode, done.stderr) == (1, expected)
