"""``--allow-origin``: web pages of other origins, as browsers ask for them."""

from __future__ import annotations

import httpx2
import pytest
from click.testing import CliRunner
from gateway_client import serving
from gateway_servers import Model, messages, process

from cotam.cli.main import main
from cotam.gateway.for_model import ForModel

APP = "https://app.example.com"
ASKS = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


def test_a_page_that_is_allowed_asks_first_and_reads_the_answer(model: Model, upstream: str) -> None:
    with serving(upstream, ForModel(10**6), tokens=["t"], origins=[APP]) as address:
        url = f"{address}/v1/chat/completions"
        asked = httpx2.options(url, headers={"Origin": APP} | ASKS)
        assert (asked.status_code, asked.content) == (200, b"OK")
        assert asked.headers["access-control-allow-origin"] == APP
        assert asked.headers["access-control-allow-headers"] == "authorization,content-type"
        assert "POST" in asked.headers["access-control-allow-methods"]
        assert model.bodies == []

        body = {"model": "echo", "messages": messages()}
        answer = httpx2.post(url, json=body, headers={"Origin": APP, "Authorization": "Bearer t"})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == APP
        assert "X-Cotam-Bytes" in answer.headers["access-control-expose-headers"]
        refused = httpx2.post(url, json=body, headers={"Origin": APP})  # it may read why, too
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, APP)
        own = httpx2.post(url, json=body, headers={"Authorization": "Bearer t"})
        assert "access-control-allow-origin" not in own.headers


@pytest.mark.parametrize(
    "origin", ["https://other.example.com", "http://app.example.com", "null", f"{APP}.evil.org"]
)
def test_other_pages_are_refused(model: Model, upstream: str, origin: str) -> None:
    with serving(upstream, ForModel(10**6), origins=[APP]) as address:
        asked = httpx2.options(f"{address}/v1/models", headers={"Origin": origin} | ASKS)
        answer = httpx2.get(f"{address}/v1/models", headers={"Origin": origin})
        assert model.bodies == []
        assert httpx2.get(f"{address}/v1/models", headers={"Origin": address}).status_code == 200
    assert (asked.status_code, answer.status_code) == (400, 403)
    assert "are not served without --allow-origin" in answer.json()["error"]["message"]
    assert not {"access-control-allow-origin"} & {*asked.headers, *answer.headers}


@pytest.mark.parametrize("command", ["serve", "edge"])
@pytest.mark.parametrize("origin", [APP, "app://obsidian.md", "chrome-extension://abcdefgh"])
def test_the_option(upstream: str, command: str, origin: str) -> None:
    with process(command, "--upstream", f"{upstream}/v1", "--allow-origin", origin) as (_, address):
        answer = httpx2.get(f"{address}/v1/models", headers={"Origin": origin})
    assert answer.headers["access-control-allow-origin"] == origin


def test_an_origin_is_checked() -> None:
    wrong = CliRunner().invoke(
        main, ["serve", "--upstream", "http://a", "--allow-origin", "app.example.com/x"]
    )
    assert wrong.exit_code == 2
    assert "is not an origin, such as https://app.example.com" in wrong.output
