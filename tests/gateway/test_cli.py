"""``cotam serve`` and ``cotam edge`` as processes: what they say, and how they end."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gateway_servers
import httpx2
import pytest
from click.testing import CliRunner, Result
from gateway_servers import PROGRAM, Model, error_of, jpeg, messages, nobody, process
from synthetic import picture

import cotam
from cotam.cli.gateway import edge, serve
from cotam.cli.main import main
from cotam.gateway import server

unix = pytest.mark.skipif(os.name != "posix", reason="signals of Unix")


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], prog_name="cotam", catch_exceptions=False)


def test_serve_and_edge_in_a_row(upstream: str, model: Model, tmp_path: Path) -> None:
    log = tmp_path / "bytes.jsonl"
    options = ["--upstream", f"{upstream}/v1", "--log-bytes", log]
    with (
        process("serve", *options, COTAM_TOKEN="s3cret") as (_, cloud),
        process("edge", "--gateway", f"{cloud}/v1", "-q", 30, COTAM_TOKEN="s3cret") as (_, address),
    ):
        # With the gateway's token, whatever name the gateway is called by.
        headers = {"host": "gateway.example.com", "x-cotam-token": "s3cret"}
        assert httpx2.get(f"{cloud}/v1/models", headers=headers).status_code == 200
        photo = jpeg(picture(100, 150))
        body = {"model": "echo", "messages": messages(photo)}
        answer = httpx2.post(f"{address}/v1/chat/completions", json=body)
        assert answer.status_code == 200
    (row,) = map(json.loads, log.read_text().splitlines())
    coded = cotam.encode(photo, quality=30)
    assert (row["bytes"], row["quality"], row["source"]) == (len(coded), 30, "cotam")
    assert b"image/png" in model.bodies[-1]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_of_the_bytes_is_no_error_of_requests(upstream: str) -> None:
    options = ["--upstream", upstream, "--roundtrip", "--log-bytes", "/dev/full"]
    with process("serve", *options) as (program, address):
        body = {"model": "echo", "messages": messages(jpeg(picture(60, 90)))}
        assert httpx2.post(f"{address}/v1/chat/completions", json=body).status_code == 200
        assert program.stderr
        line = json.loads(program.stderr.readline())
    assert line["message"] == "a row cannot be written"
    assert line["reason"] == "/dev/full: No space left on device"


def test_roundtrip(upstream: str, tmp_path: Path) -> None:
    log = tmp_path / "bytes.jsonl"
    options = ["--upstream", upstream, "--roundtrip", "-q", 40, "--for", "llava-next", "--log-bytes", log]
    photo = jpeg(picture(700, 900))
    with process("serve", *options) as (_, address):
        body = {"model": "echo", "messages": messages(photo)}
        answer = httpx2.post(f"{address}/v1/chat/completions", json=body).json()
    assert json.loads(answer["choices"][0]["message"]["content"])[0]["size"] == [672, 523]
    row = json.loads(log.read_text())
    assert row["bytes"] == len(cotam.encode(photo, quality=40, fit="llava-next"))
    assert (row["source"], row["source_bytes"]) == ("jpeg", len(photo))


def test_the_log_is_utf8_in_any_locale(upstream: str) -> None:
    body = {"model": "ä→😀", "messages": messages(jpeg(picture(60, 90)))}
    with process("edge", "--upstream", upstream, PYTHONIOENCODING="cp1252") as (program, address):
        httpx2.post(f"{address}/v1/chat/completions", json=body, timeout=30)
        assert program.stderr
        line = program.stderr.buffer.readline()  # type: ignore[attr-defined]
    assert json.loads(line.decode("utf-8"))["model"] == "ä→😀"


@unix
def test_what_has_begun_is_finished(upstream: str, model: Model) -> None:
    stream = {"model": "echo", "stream": True, "messages": messages(*[jpeg(picture(20, 20))] * 3)}
    model.goes_on.clear()
    with process("serve", "--upstream", upstream) as (program, address):
        with httpx2.stream("POST", f"{address}/v1/chat/completions", json=stream) as answer:
            chunks = answer.iter_raw()
            first = next(chunks)
            program.send_signal(signal.SIGTERM)
            model.goes_on.set()
            rest = b"".join(chunks)
        assert (first + rest).endswith(b"data: [DONE]\n\n")
        assert program.wait(60) in (0, -signal.SIGTERM)
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(f"{address}/healthz")
        assert program.stderr
        lines = [json.loads(line) for line in program.stderr]
    assert [line["message"] for line in lines] == ["request"]


@unix
def test_clients_may_keep_more_connections_than_a_shell_has_files(monkeypatch: pytest.MonkeyPatch) -> None:
    few = ["sh", "-c", 'ulimit -S -n 64; exec "$@"', "sh", *PROGRAM]
    monkeypatch.setattr(gateway_servers, "PROGRAM", few)
    with process("serve", "--upstream", "http://127.0.0.1:9") as (_, address), ExitStack() as kept:
        url = httpx2.URL(address)
        for _ in range(100):
            kept.enter_context(socket.create_connection((url.host, url.port or 0)))
        assert httpx2.get(f"{address}/healthz").status_code == 200


def test_macos_allows_fewer_files_than_its_hard_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    unlimited, limits = 2**63 - 1, [256, 2**63 - 1]

    def setrlimit(_: int, new: tuple[int, int]) -> None:
        if new[0] > 10_240:
            raise ValueError("current limit exceeds maximum limit")
        limits[:] = new

    macos = types.ModuleType("resource")
    vars(macos).update(
        RLIM_INFINITY=unlimited, RLIMIT_NOFILE=8, getrlimit=lambda _: limits, setrlimit=setrlimit
    )
    monkeypatch.setitem(sys.modules, "resource", macos)
    server.allow_connections()
    assert limits == [10_240, unlimited]


def test_the_health_check_of_the_container_takes_no_proxy(upstream: str) -> None:
    text = (Path(__file__).parents[2] / "deploy/Dockerfile").read_text()
    _, *command = json.loads(re.findall(r"CMD (\[.*\])", text)[0])
    proxy = os.environ | {"http_proxy": "http://127.0.0.1:9"}

    def check(address: str) -> int:
        port = str(httpx2.URL(address).port)
        check = [sys.executable, *(part.replace("8400", port) for part in command)]
        return subprocess.run(check, env=proxy, stderr=subprocess.DEVNULL).returncode

    with process("serve", "--upstream", upstream) as (_, address), nobody() as (other, _):
        assert (check(address), check(other)) == (0, 1)


@unix
def test_what_cannot_be_finished_is_answered(
    upstream: str, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = (
        "from cotam.cli.main import main; from cotam.gateway import server; server.GRACE_SECONDS = 1; main()"
    )
    monkeypatch.setattr(gateway_servers, "PROGRAM", [sys.executable, "-W", "error", "-c", short])
    with process("serve", "--upstream", upstream) as (program, address), ThreadPoolExecutor() as pool:
        answer = pool.submit(httpx2.post, f"{address}/v1/wait", json={})
        assert model.waiting.wait(60)
        program.send_signal(signal.SIGTERM)
        refused = answer.result()
        assert program.wait(60) in (0, -signal.SIGTERM)
        assert program.stderr
        lines = [json.loads(line) for line in program.stderr]
    assert (refused.status_code, error_of(refused)) == (503, "the server is stopping: try again")
    (request,) = (line for line in lines if line["message"] == "request")
    assert (request["status"], request["error"]) == (503, "the server is stopping: try again")
    assert not any("exception" in line for line in lines)


def test_an_answer_that_broke_off_is_one_line_of_the_log(upstream: str) -> None:
    with process("serve", "--upstream", upstream) as (program, address):
        with pytest.raises(httpx2.RemoteProtocolError):
            httpx2.get(f"{address}/v1/break")
        assert httpx2.get(f"{address}/v1/models").status_code == 200
        assert program.stderr
        lines = [json.loads(program.stderr.readline()) for _ in range(2)]
    assert [line["path"] for line in lines] == ["/v1/break", "/v1/models"]
    assert "broke off" in lines[0]["error"]


@unix
def test_errors_are_lines_of_the_log_and_an_interrupt_is_none() -> None:
    with process("serve", "--upstream", "http://127.0.0.1:9") as (program, address):
        assert httpx2.get(f"{address}/v1/models").status_code == 502
        elsewhere = {"host": "gateway.example.com", "x-cotam-token": "s3cret"}
        assert httpx2.get(f"{address}/v1/models", headers=elsewhere).status_code == 403
        assert program.stderr
        line, refused = (json.loads(program.stderr.readline()) for _ in range(2))
        program.send_signal(signal.SIGINT)
        assert program.wait(60) == 130
        assert program.stderr.read() == ""
    assert (line["status"], line["path"]) == (502, "/v1/models")
    assert "http://127.0.0.1:9 cannot be reached" in line["error"]
    assert refused["status"] == 403


def test_a_websocket_is_refused_with_a_reason(upstream: str) -> None:
    headers = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    headers["sec-websocket-key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    with process("serve", "--upstream", upstream) as (program, address):
        answer = httpx2.get(f"{address}/v1/realtime", headers=headers)
        assert program.stderr
        line = json.loads(program.stderr.readline())
    message = "WebSockets are not relayed: use the API over HTTP, with server-sent events"
    assert (answer.status_code, error_of(answer)) == (501, message)
    assert (line["status"], line["error"]) == (501, message)


def test_repairs_are_lines_of_the_log(upstream: str) -> None:
    cut = jpeg(picture(60, 90), orientation=6)[:-2]
    with process("edge", "--upstream", upstream) as (program, address):
        body = {"model": "gpt-4o", "messages": messages(cut)}
        assert httpx2.post(f"{address}/v1/chat/completions", json=body).status_code == 200
        assert program.stderr
        lines = [json.loads(program.stderr.readline()) for _ in range(2)]
    assert (lines[0]["level"], lines[1]["status"]) == ("warning", 200)
    assert lines[0]["message"] == "the end of the file is missing, but all pixels are there"


def test_a_port_that_is_taken(upstream: str) -> None:
    port = upstream.rpartition(":")[2]
    result = invoke("serve", "--upstream", upstream, "--port", port)
    assert result.exit_code == 1
    assert re.fullmatch(rf"cotam: error: .*cannot listen on 127\.0\.0\.1, port {port}: .+\n", result.stderr)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["serve"], "Missing option '--upstream'"),
        (["serve", "--upstream", "localhost:8000"], "is not an address such as http://localhost:8000/v1"),
        (["serve", "--upstream", "http://a b/v1"], "is not an address such as http://localhost:8000/v1"),
        (["edge", "--upstream", "http://a/v1/chat/completions"], "in the path of a call: give 'http://a/v1'"),
        (["serve", "--upstream", "http://a", "-q", "40"], "--quality and --for need --roundtrip"),
        (
            ["serve", "--upstream", "http://a", "--no-store", "--store-folder", "."],
            "--store-folder does nothing with --no-store",
        ),
        (
            ["serve", "--upstream", "http://a", "--no-store", "--store", "1M"],
            "--store does nothing with --no-store",
        ),
        (
            ["serve", "--upstream", "http://a", "--allow-remote", "https://b"],
            "'https://b' is not a host's name",
        ),
        (["serve", "--upstream", "http://a", "--allow-remote", "b:80"], "'b:80' is not a host's name"),
        (["edge"], "give one of --gateway and --upstream"),
        (["edge", "--gateway", "http://a", "--upstream", "http://b"], "give one of --gateway and --upstream"),
        (["edge", "--gateway", "http://a", "--format", "webp"], "--format does nothing with --gateway"),
        (["edge", "--upstream", "http://a", "-q", "40"], "--quality does nothing with --upstream"),
        (["edge", "--upstream", "http://a", "--fps", "2"], "--fps does nothing with --upstream"),
        (["edge", "--gateway", "http://a", "--fps", "0"], "0.0 is not in the range x>0"),
        (["serve", "--upstream", "http://a", "--upstream-key", "kä"], "printable ASCII without spaces"),
        (["serve", "--upstream", "http://a", "--token", "a\nb"], "printable ASCII without spaces"),
        (["edge", "--gateway", "http://a", "--token", "pässword"], "printable ASCII without spaces"),
        (["serve", "--upstream", "http://a", "--timeout", "nan"], "nan is not a finite number"),
        (["edge", "--gateway", "http://a", "-q", "1", "--target-size", "9k"], "exclude each other"),
    ],
)
def test_wrong_usage(arguments: list[str], reason: str) -> None:
    result = invoke(*arguments)
    assert (result.exit_code, reason in result.stderr) == (2, True), result.stderr


def test_all_names_of_this_machine_are_served(upstream: str) -> None:
    hosts = {"127.0.0.2:80": 200, "[::1]:8400": 200, "app.localhost": 200, "a.example": 403, "": 403}
    with process("serve", "--upstream", upstream) as (_, address):
        for host, status in hosts.items():
            assert httpx2.get(f"{address}/v1/models", headers={"host": host}).status_code == status


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
def test_all_addresses_are_those_of_both_protocols() -> None:
    options = ["--upstream", "http://127.0.0.1:9", "--host", "::"]
    with process("serve", *options, COTAM_TOKEN="s3cret") as (_, address):
        port = address.rpartition(":")[2]
        for host in ("[::1]", "127.0.0.1"):
            assert httpx2.get(f"http://{host}:{port}/healthz").status_code == 200


@pytest.mark.parametrize(
    ("command", "note"),
    [
        ("serve", "without --token, everybody who reaches 0.0.0.0 may use this"),
        ("edge", "everybody who reaches 0.0.0.0 may use this, with the token or key that was given here"),
    ],
)
def test_an_open_gateway_is_pointed_out(command: str, note: str) -> None:
    with subprocess.Popen(
        [*PROGRAM, command, "--upstream", "http://127.0.0.1:9", "--host", "0.0.0.0", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stderr
        line = program.stderr.readline()
        program.kill()
    assert line == f"cotam: note: {note}\n"


def test_names_of_hosts_are_compared_in_small_letters(upstream: str) -> None:
    options = ["--upstream", upstream, "--allow-remote", "Fine.Example", "--allow-remote", "::1"]
    with process("serve", *options) as (_, address):
        for url in ("https://fine.EXAMPLE/a.png", "http://[::1]/a.png"):
            part = {"type": "image_url", "image_url": {"url": url}}
            body = {"model": "echo", "messages": [{"role": "user", "content": [part]}]}
            assert httpx2.post(f"{address}/v1/chat/completions", json=body).status_code == 200


@pytest.mark.parametrize("command", ["serve", "edge"])
@pytest.mark.parametrize("arguments", [["--help"], ["--upstream", "http://127.0.0.1:9"]])
def test_without_the_extra(command: str, arguments: list[str]) -> None:
    code = f"""
import sys
sys.modules["starlette"] = None
from cotam.cli.main import main
main([{command!r}, *{arguments!r}])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if arguments == ["--help"]:
        assert (result.returncode, result.stderr) == (0, "")
    else:
        assert result.returncode == 1
        assert "is not installed; run in a clone of cotam: pip install '.[serve]'" in result.stderr
        assert result.stderr.count("\n") == 1


def test_a_gateway_decodes_all_that_an_edge_encodes() -> None:
    commands = (serve, edge)
    limits = {one.default for command in commands for one in command.params if one.name == "size_limit"}
    assert len(limits) == 1


def test_many_at_once(upstream: str, model: Model) -> None:
    """Answers do not get mixed up, and nothing but 429 is refused."""
    url = "data:image/vnd.cotam;base64,"
    coded = [cotam.encode(picture(30 + n, 40)) for n in range(8)]
    found: list[Any] = []

    def ask(number: int) -> None:
        address = url + base64.b64encode(coded[number % 8]).decode()
        part = {"type": "image_url", "image_url": {"url": address}}
        body = {"model": "echo", "messages": [{"role": "user", "content": [part]}]}
        answer = httpx2.post(f"{gateway}/v1/chat/completions", json=body)
        height = None
        if answer.status_code == 200:
            height = json.loads(answer.json()["choices"][0]["message"]["content"])[0]["size"][1]
        found.append((number, answer.status_code, height))

    with process("serve", "--upstream", upstream, "--max-requests", 4) as (_, gateway):
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {status for _, status, _ in found} <= {200, 429}
    assert all(height == 30 + number % 8 for number, status, height in found if status == 200)
    assert sum(status == 200 for _, status, _ in found) >= 4
