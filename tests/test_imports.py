"""Imports go one way, heavy packages are imported late, and those of extras never by the core."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from PIL import Image
from synthetic import picture

import cotam

EXTRAS = [
    "accelerate",
    "av",
    "cotam.gateway",
    "cotam_lab",
    "httpx2",
    "huggingface_hub",
    "matplotlib",
    "onnx",
    "pyarrow",
    "ray",
    "safetensors",
    "scipy",
    "starlette",
    "torch",
    "tqdm",
    "transformers",
]
HEAVY = ["PIL", "constriction", "numpy", "onnxruntime"]

ROUND_TRIP = """
import cotam, numpy
data = cotam.encode((numpy.arange(1800) * 97 % 251).astype(numpy.uint8).reshape(20, 30, 3))
assert cotam.decode(data).size == (30, 20)
assert cotam.info(data).width == 30
"""
COMMAND = """
import sys
from collections.abc import Iterable
from pathlib import Path
from cotam.cli.main import main
assert main({arguments!r}, standalone_mode=False) in (None, 0)
"""
FAILING_COMMAND = """
from cotam.cli.main import main
try:
    main(["encode", "missing.png"])
except SystemExit:
    pass
"""


def imported(code: str) -> set[str]:
    """Names of all modules that a fresh interpreter has after the code."""
    code += "\nimport sys; print('modules:', *sorted(sys.modules))"
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.partition("modules:")[2].split())


def test_public_names() -> None:
    assert {*cotam.__all__} <= {*dir(cotam)}
    assert [getattr(cotam, name).__module__ for name in ("CotamError", "info", "open_sequence")] == [
        "cotam.errors",
        "cotam.api",
        "cotam.frames",
    ]
    assert all(hasattr(cotam, name) for name in cotam.__all__)
    with pytest.raises(AttributeError, match="module 'cotam' has no attribute 'enc'"):
        _ = cotam.enc


@pytest.mark.parametrize(
    ("code", "left_out"),
    [
        ("import cotam", EXTRAS + HEAVY + ["click", "cotam.api"]),
        ("import cotam.cli.main, cotam.files", EXTRAS + HEAVY),
        (COMMAND.format(arguments=["--version"]), [*EXTRAS, *HEAVY, "cotam.api", "cotam.cli.encode"]),
        (COMMAND.format(arguments=["--help"]), [*{*EXTRAS, *HEAVY} - {"cotam.gateway"}]),
        (COMMAND.format(arguments=["encode", "-h"]), [*EXTRAS, *HEAVY, "cotam.cli.batch", "cotam.cli.info"]),
        (COMMAND.format(arguments=["batch", "-h"]), EXTRAS + HEAVY),
        (COMMAND.format(arguments=["guide", "show", "-h"]), EXTRAS + HEAVY),
        (FAILING_COMMAND, [*EXTRAS, "onnxruntime"]),
        (ROUND_TRIP, EXTRAS),
    ],
    ids=[
        "import",
        "import-cli",
        "version",
        "help",
        "encode-help",
        "batch-help",
        "show-help",
        "failing",
        "round-trip",
    ],
)
def test_what_is_not_imported(code: str, left_out: list[str]) -> None:
    assert not imported(code).intersection(left_out)


def test_the_method_sees_imports() -> None:
    assert {"numpy", "onnxruntime", "cotam.codec.still"} <= imported(ROUND_TRIP)


def test_flat_graphics_need_no_networks() -> None:
    drawing = ROUND_TRIP.replace("numpy.arange(1800) * 97 % 251", "numpy.zeros(1800)")
    assert drawing != ROUND_TRIP
    assert not imported(drawing) & {"onnxruntime", "cotam.codec.still"}


SELDOM_NEEDED = [
    "PIL.GifImagePlugin",
    "PIL.ImageCms",
    "PIL.JpegImagePlugin",
    "PIL.TiffImagePlugin",
    "cotam.codec.flat",
    "cotam.image.models",
    "cotam.image.repair",
    "cotam.image.video",
]


@pytest.mark.parametrize(("form", "reader"), [("PNG", "Png"), ("JPEG", "Jpeg"), ("WEBP", "WebP")])
def test_a_photograph_imports_what_it_needs(tmp_path: Path, form: str, reader: str) -> None:
    """All that is listed takes 60 ms."""
    Image.fromarray(picture(64, 96)).save(tmp_path / "photo", form)
    arguments = ["encode", str(tmp_path / "photo"), "-o", str(tmp_path / "photo.cotam")]
    found = imported(COMMAND.format(arguments=arguments))
    assert {"onnxruntime", f"PIL.{reader}ImagePlugin"} <= found
    assert not found & {*SELDOM_NEEDED} - {f"PIL.{reader}ImagePlugin"}


def test_constriction_is_imported_where_its_stand_in_is():
    importers = [
        p
        for p in Path(cotam.__file__).parent.rglob("*.py")
        if "from constriction" in p.read_text(encoding="utf-8")
    ]
    assert [p.name for p in importers] == ["symbols.py"]


# Rooms

ROOMS = [
    {"errors", "_version"},
    {"format"},
    {"runtime"},
    {"codec", "guide", "image"},
    {"options", "standard"},
    {"stills"},
    {"pasted"},
    {"groups"},
    {"frames"},
    {"api"},
    {"__init__"},
    {"compare", "files", "pillow"},
    {"plugins", "screen"},
    {"datasets", "gateway"},
    {"cli"},
    {"__main__"},
]
"""Folders and files at the top of the package: each imports only from those on earlier lines."""

SOURCE = Path(cotam.__file__).parent


def room_of(module: str) -> str:
    """The folder or file at the top of the package that a module lies in."""
    return ([*module.split("."), "__init__"])[1]


def modules(source: Path) -> dict[str, Path]:
    """Name of each module → its file."""
    names = {
        ".".join(path.relative_to(source.parent).with_suffix("").parts): path for path in source.rglob("*.py")
    }
    return {name.removesuffix(".__init__"): path for name, path in names.items()}


@cache
def imports_in(text: str, known: frozenset[str]) -> set[str]:
    """Modules of ours that a source imports, inside functions too, but not for type checkers only."""
    tree = ast.parse(text)
    checked = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    left_out = {id(node) for block in checked for line in block.body for node in ast.walk(line)}
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in left_out:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = (f"{node.module}.{alias.name}" for alias in node.names)
            found.update(name if name in known else str(node.module) for name in inner)
    return {name for name in found if name.split(".")[0] in ("cotam", "cotam_lab")}


def wrong_arrows(imports: dict[str, set[str]]) -> list[str]:
    """Imports from a room of a later line, or of another room of the same line, and of cotam-lab."""
    line = {room: number for number, rooms in enumerate(ROOMS) for room in rooms}
    wrong = []
    for module, targets in imports.items():
        for target in targets:
            here, there = room_of(module), room_of(target)
            if target.startswith("cotam_lab") or (here != there and line[there] >= line[here]):
                wrong.append(f"{module} imports {target}")
    return sorted(wrong)


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Modules that import each other, directly or not."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        seen, rest = set[str](), list(graph[start])
        while rest:
            name = rest.pop()
            if name not in seen:
                seen.add(name)
                rest += graph.get(name, ())
        reached[start] = seen
    groups = {tuple(sorted(n for n in graph if n in reached[m] and m in reached[n])) for m in graph}
    return [list(group) for group in sorted(groups) if group]


def package_imports(source: Path = SOURCE) -> dict[str, set[str]]:
    """What each module of the package imports."""
    found = modules(source)
    known = frozenset(found)
    return {name: imports_in(path.read_text(encoding="utf-8"), known) for name, path in found.items()}


def test_imports_go_one_way() -> None:
    assert wrong_arrows(package_imports()) == []


def test_there_are_no_circles() -> None:
    imports = package_imports()
    assert circles(imports) == []
    rooms: dict[str, set[str]] = {}
    for module, targets in imports.items():
        here = room_of(module)
        rooms.setdefault(here, set()).update(room_of(target) for target in targets if room_of(target) != here)
    assert circles(rooms) == []


@pytest.mark.parametrize(
    ("file", "line", "wrong"),
    [
        ("codec/still.py", "from cotam.guide import base", "cotam.codec.still imports cotam.guide.base"),
        ("format/header.py", "import cotam.api", "cotam.format.header imports cotam.api"),
        ("options.py", "from cotam.frames import KEY_EVERY", "cotam.options imports cotam.frames"),
        ("guide/resize.py", "import cotam_lab.nets", "cotam.guide.resize imports cotam_lab.nets"),
    ],
)
def test_a_wrong_arrow_is_found(tmp_path: Path, file: str, line: str, wrong: str) -> None:
    """Also inside a function."""
    source = tmp_path / "cotam"
    for path in SOURCE.rglob("*.py"):
        copy = source / path.relative_to(SOURCE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    with (source / file).open("a") as opened:
        opened.write(f"\n\ndef added():\n    {line}\n")
    assert wrong_arrows(package_imports(source)) == [wrong]


def test_a_circle_is_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a", "e"}, "e": set[str]()}
    assert circles(graph) == [["a", "b", "c"]]
