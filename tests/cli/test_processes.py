"""The command line in real processes: pipes, terminals, signals and exit codes."""

from __future__ import annotations

import io
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from command_line import CODED, PIXELS, pixels_of
from PIL import Image

import cotam
from cotam.cli.main import main

pytestmark = pytest.mark.usefixtures("folder")
SEQUENCE = b"".join(cotam.encode_frames([(0, PIXELS), (1, PIXELS[::-1])]))
PROGRAM = [sys.executable, "-W", "error", "-m", "cotam"]
unix = pytest.mark.skipif(os.name != "posix", reason="signals, terminals and named pipes of Unix")


def run(*arguments: object, data: bytes | None = None, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """A real process; without data its standard input is empty."""
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        **{
            "input": data or b"",
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "timeout": 300,
            **options,
        },
    )


def test_pipes() -> None:
    coded = run("encode", "-", data=Path("photo.png").read_bytes())
    assert (coded.returncode, coded.stderr, coded.stdout) == (0, b"", CODED)
    decoded = run("decode", "-", data=coded.stdout)
    assert (decoded.returncode, decoded.stderr) == (0, b"")
    Path("out.png").write_bytes(decoded.stdout)
    assert np.array_equal(pixels_of("out.png"), np.asarray(cotam.decode(CODED)))
    result = run("decode", "-", "-o", "-", "--format", "ppm", data=CODED)
    assert result.stdout.startswith(b"P6\n100 70\n")
    assert run("info", "-", "--json", data=CODED).stdout.startswith(b'{"file": "-", "width": 100')


def test_pipes_are_called_standard_input_and_output() -> None:
    data = Path("photo.png").read_bytes()
    coded = run("encode", "-", "-v", data=data)
    assert coded.stderr.startswith(b"standard input -> standard output: ")
    assert run("info", "-", data=data).stdout.startswith(b"standard input\n  image     100 x 70\n")
    image = io.BytesIO()
    Image.open("photo.png").convert("RGB").save(image, "JPEG")
    strict = run("encode", "-", "--strict", data=image.getvalue()[:-2])
    assert strict.stderr.startswith(b"cotam: error: standard input: the end of the file is missing")


def test_wrong_data_in_a_pipe() -> None:
    result = run("decode", "-", data=b"hello")
    assert (result.returncode, result.stdout) == (1, b"")
    assert result.stderr.startswith(b"cotam: error: standard input: not a .cotam file")


@pytest.mark.parametrize("command", ["encode", "decode", "info", "encode --fps 1 -o out.cotam"])
def test_an_empty_file_is_called_empty_and_nothing_else(command: str) -> None:
    Path("empty").touch()
    for name, shown in (("-", "standard input"), ("empty", "empty")):
        result = run(*command.split(), name)
        assert (result.returncode, result.stdout) == (1, b"")
        assert result.stderr.decode() == f"cotam: error: {shown}: the file is empty\n"


def test_pillow_logs_nothing_beside_the_error() -> None:
    Image.new("RGB", (8, 8)).save("odd.tif")
    samples = struct.pack("<HHI", 277, 3, 1)
    data = Path("odd.tif").read_bytes()
    assert data.count(samples + b"\3") == 1
    Path("odd.tif").write_bytes(data.replace(samples + b"\3", samples + b"\x63"))
    result = run("encode", "odd.tif")
    assert (result.returncode, result.stderr.count(b"\n")) == (1, 1)
    assert result.stderr.startswith(b"cotam: error: odd.tif: ")


@unix
def test_named_pipe_is_read_once() -> None:
    os.mkfifo("pipe")
    data = Path("photo.png").read_bytes()
    writer = threading.Thread(target=lambda: Path("pipe").write_bytes(data), daemon=True)
    writer.start()
    result = run("encode", "pipe", "-o", "out.cotam")
    assert (result.returncode, result.stderr) == (0, b"")
    assert Path("out.cotam").read_bytes() == CODED


@unix
@pytest.mark.parametrize("first", [4, 9, 5000])
def test_named_pipe_is_decoded_whatever_comes_first(first: int) -> None:
    """What a file is stands in its first bytes: looking at them must not take them away."""
    os.mkfifo("pipe")

    def write(data: bytes) -> None:
        with open("pipe", "wb", buffering=0) as pipe:
            pipe.write(data[:first])
            time.sleep(0.1)
            pipe.write(data[first:])

    for data, output in ((CODED, "out.png"), (SEQUENCE, "frames/")):
        writer = threading.Thread(target=write, args=[data], daemon=True)
        writer.start()
        result = CliRunner().invoke(main, ["decode", "pipe", "-o", output])
        assert (result.exit_code, result.stderr) == (0, "")
        writer.join()
    assert np.array_equal(pixels_of("out.png"), np.asarray(cotam.decode(CODED)))
    expected = [np.asarray(image) for _, image in cotam.decode_frames(SEQUENCE)]
    found = [pixels_of(str(path)) for path in sorted(Path("frames").iterdir())]
    assert np.array_equal(found, expected)


@unix
def test_reader_that_goes_away_is_no_error_to_speak_of() -> None:
    for arguments in (["encode", "photo.png", "-o", "-"], ["info", *["coded.cotam"] * 100]):
        reader, writer = os.pipe()
        os.close(reader)
        result = run(*arguments, stdout=writer)
        os.close(writer)
        assert (result.returncode, result.stderr) == (1, b"")


@unix
@pytest.mark.parametrize(
    ("arguments", "closed", "message"),
    [
        ("encode - -o out.cotam", "<&-", "standard input: is closed"),
        ("decode -", "<&-", "standard input: is closed"),
        ("info -", "<&-", "standard input: is closed"),
        ("encode photo.png -o -", ">&-", "standard output: is closed"),
        ("decode coded.cotam -o -", ">&-", "standard output: is closed"),
        ("info coded.cotam", ">&-", "standard output: is closed"),
        ("models claude", ">&-", "standard output: is closed"),
        ("encode photo.png --json", ">&-", "standard output: is closed"),
    ],
)
def test_standard_streams_that_are_closed(arguments: str, closed: str, message: str) -> None:
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", *PROGRAM, *arguments.split()]
    result = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=300)
    assert (result.returncode, result.stderr) == (1, f"cotam: error: {message}\n")


def test_what_the_encoding_of_standard_output_lacks_is_escaped() -> None:
    """A pipe on Windows often has one of 256 characters."""
    Path("ü日.png").hardlink_to("photo.png")
    done = run("info", "ü日.png", env={**os.environ, "PYTHONIOENCODING": "cp1252"})
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "ü\\u65e5.png".encode("cp1252"))


@unix
def test_nobody_to_tell_is_no_error() -> None:
    Path("other.png").hardlink_to("photo.png")
    command = [*PROGRAM, "encode", "photo.png", "other.png", "-o", "out/"]
    subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", *command], timeout=300, check=True)
    assert [Path("out", name).read_bytes() for name in ("photo.cotam", "other.cotam")] == [CODED] * 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_full_disk_behind_standard_output() -> None:
    with open("/dev/full", "wb") as full:
        result = run("encode", "photo.png", "-o", "-", stdout=full)
        assert result.returncode == 1
        expected = b"cotam: error: standard output: cannot be written: No space left on device\n"
        assert result.stderr == expected
        for command in ("info coded.cotam", "--version", "--help", "encode --help"):
            result = run(*command.split(), stdout=full)
            assert (result.returncode, result.stderr) == (1, b"cotam: error: No space left on device\n")


def interrupt_after_a_line(
    *arguments: str, number: signal.Signals = signal.SIGINT, code: int = 130
) -> list[str]:
    """Interrupt a command when it has shown a line, and return all that it shows."""
    # A process started in the background may have been told to ignore interrupts.
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program += "; from cotam.cli.main import main; main()"
    command = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        process.send_signal(number)
        rest = process.stderr.read()
    assert process.returncode == code
    return (first + rest).splitlines()


@unix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_interrupt_does_not_wait_for_images_in_progress(number: signal.Signals, code: int) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (3000, 4000, 3), np.uint8)).save("large.bmp")
    Path("also.bmp").hardlink_to("large.bmp")
    command = ["encode", "photo.png", "large.bmp", "also.bmp", "-o", "out/", "-v", "-j", "3"]
    lines = interrupt_after_a_line(*command, number=number, code=code)
    assert [line.split()[0] for line in lines] == ["photo.png"]
    assert os.listdir("out") == ["photo.cotam"]


@unix
def test_an_output_that_waits_does_not_hold_up_others() -> None:
    """Of two named pipes the second is read first."""
    Path("b.png").hardlink_to("photo.png")
    Path("out").mkdir()
    os.mkfifo("out/photo.cotam")
    os.mkfifo("out/b.cotam")
    command = [sys.executable, "-m", "cotam", *["encode", "photo.png", "b.png", "-o", "out/", "-j", "2"]]
    with subprocess.Popen(command) as process:
        try:
            for name in ("b", "photo"):
                assert subprocess.check_output(["cat", f"out/{name}.cotam"], timeout=300) == CODED
        finally:
            process.kill()


@unix
@pytest.mark.parametrize("jobs", [1, 2])
def test_interrupt_leaves_whole_files_only(jobs: int) -> None:
    inputs = [*(f"{n}.png" for n in range(100)), "silent.png"]
    for name in inputs[:-1]:
        Path(name).hardlink_to("photo.png")
    os.mkfifo("silent.png")  # the command waits for it, however late the interrupt comes
    lines = interrupt_after_a_line("encode", *inputs, "-o", "out/", "-v", "-j", str(jobs))
    assert all(" -> out/" in line for line in lines)
    assert 1 <= len(lines) < len(inputs)
    assert {line.split()[2].rstrip(":") for line in lines} == {str(p) for p in Path("out").iterdir()}
    assert all(p.read_bytes() == CODED for p in Path("out").iterdir())


STARTING = """
import os, runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.addaudithook(lambda event, args: event == "import" and args[0] == "click" and os.kill(os.getpid(), 2))
runpy.run_module("cotam", run_name="__main__")
"""


@unix
def test_an_interrupt_while_the_command_is_imported_shows_no_traceback() -> None:
    done = subprocess.run([sys.executable, "-c", STARTING, "--version"], capture_output=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")


LOADING = """
import os, signal, sys
from cotam.cli.main import main
loading = False

def watch(event, arguments):
    global loading
    if event == "import" and arguments[0].endswith("onnxruntime_pybind11_state"):
        loading = True
    elif loading:  # in the middle of its initialisation
        loading = False
        os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.addaudithook(watch)
main(sys.argv[1:])
"""


@unix
@pytest.mark.parametrize("command", ["encode photo.png", "guide show photo.png -o map.png"])
def test_an_interrupt_while_onnx_runtime_is_loaded(folder: Path, command: str) -> None:
    """An exception there is a C++ one, which aborts the process, or becomes an ImportError."""
    done = subprocess.run([sys.executable, "-c", LOADING, *command.split()], capture_output=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
    assert {path.name for path in folder.iterdir()} == {"photo.png", "coded.cotam"}


IMPORTING = """
import os, signal, sys
from cotam.cli.main import main

def watch(frame, event, argument):
    handled = signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    if handled and frame.f_code.co_qualname == "_get_module_lock.<locals>.cb":
        sys.setprofile(None)
        os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.setprofile(watch)
main(sys.argv[1:])
"""


@unix
def test_an_interrupt_in_a_callback_of_an_import_is_not_lost(folder: Path) -> None:
    """Python prints and ignores exceptions there."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING, "encode", "photo.png"], capture_output=True, timeout=300
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
    assert {path.name for path in folder.iterdir()} == {"photo.png", "coded.cotam"}


@unix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_process_that_is_ended_leaves_no_unfinished_file(folder: Path, name: str) -> None:
    code = f"import signal; signal.signal(signal.{name}, signal.SIG_DFL)"
    code += "; from cotam.cli.main import main; main()"
    command = [sys.executable, "-c", code, "encode", "-", "--frames", "raw:8x8@1", "-o", "out.cotam"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        while not list(folder.glob(".cotam-*")) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.Signals[name])
        assert process.wait(300) == -signal.Signals[name]
    assert {path.name for path in folder.iterdir()} == {"photo.png", "coded.cotam"}


def test_commands_run_in_any_thread() -> None:
    """Only the main thread may set handlers of signals."""
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(CliRunner().invoke, main, ["encode", "photo.png"]).result()
    assert (result.exit_code, result.output) == (0, "")


def on_terminal(*arguments: object, stdout: bool = False) -> tuple[int, str]:
    """Exit code and what is shown on a terminal that is standard error, and standard output if asked."""
    terminal, inner = os.openpty()
    try:
        output = inner if stdout else subprocess.DEVNULL
        with subprocess.Popen([*PROGRAM, *map(str, arguments)], stdout=output, stderr=inner) as process:
            os.close(inner)
            shown = b""
            with suppress(OSError):  # how Linux says that the other end was closed
                while part := os.read(terminal, 4096):
                    shown += part
        return process.returncode, shown.decode()
    finally:
        os.close(terminal)


@unix
def test_no_binary_data_on_a_terminal() -> None:
    code, shown = on_terminal("encode", "photo.png", "-o", "-", stdout=True)
    assert code == 2
    assert "standard output is a terminal: give an output with -o, or redirect it" in shown


@unix
def test_progress_bar_on_a_terminal_only() -> None:
    Path("other.png").hardlink_to("photo.png")
    code, shown = on_terminal("encode", "photo.png", "missing.png", "other.png", "-o", "out/")
    assert code == 1
    assert "100%" in shown
    assert "\r\x1b[Kcotam: error: missing.png: No such file or directory\r\n" in shown
    assert on_terminal("encode", "photo.png", "other.png", "-o", "out/", "--quiet") == (0, "")
    assert on_terminal("encode", "photo.png") == (0, "")


def test_warnings_of_libraries_are_notes() -> None:
    Image.fromarray(PIXELS).save("odd.png", icc_profile=b"no profile")
    result = subprocess.run(
        [sys.executable, "-m", "cotam", "encode", "odd.png"], capture_output=True, text=True
    )
    assert result.returncode == 0
    assert result.stderr.startswith("cotam: note: odd.png: the ICC profile is ignored: ")
    assert result.stderr.count("\n") == 1


WITHOUT_LAB = """
import importlib.metadata
found = importlib.metadata.entry_points
importlib.metadata.entry_points = lambda **given: found(group="none")
from click.testing import CliRunner
from cotam.cli.main import main
for command in ("bench", "analyze", "eval", "train", "guide export"):
    told = CliRunner().invoke(main, [*command.split(), "--help"])
    assert told.exit_code == 0, command
    assert "pip install ./lab" in told.stdout, command
    failed = CliRunner().invoke(main, [*command.split(), "something"])
    assert failed.exit_code == 1, command
    error = f"cotam: error: cotam {command} is part of cotam-lab; "
    assert failed.stderr.startswith(error), failed.stderr
    print(command)
"""


def test_commands_of_the_lab_say_how_to_install_it() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_LAB], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n") == ["bench", "analyze", "eval", "train", "guide export", ""]
