"""The page at / in a real browser: with a pointer, by keyboard, at the width of a phone, and with a token."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from gateway_servers import Model, jpeg, running
from synthetic import picture

import cotam
from cotam.gateway.app import Limits, application
from cotam.gateway.cli import SERVER
from cotam.gateway.convert import ForModel
from cotam.gateway.relay import Upstream

webdriver = pytest.importorskip("selenium.webdriver")
Keys = webdriver.Keys
chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
LIMITS = Limits(body=10**7, requests=8, pictures=8, pixels=10**7, jobs=1)
PHOTO = jpeg(picture(300, 400), 92)


@pytest.fixture
def address(model: Model) -> Iterator[str]:
    with running(model.app) as upstream:
        app = application(Upstream(upstream), ForModel(10**7), LIMITS, token="s3cret", page=True)
        with running(app, **SERVER) as found:
            yield found


@pytest.fixture
def browser(request: pytest.FixtureRequest) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(chromedriver))
    width = getattr(request, "param", 1280)
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    yield driver
    driver.quit()


def until(browser: Any, question: str) -> Any:
    """What a line of JavaScript says as soon as that is true."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 90).until(lambda driver: driver.execute_script(f"return {question}"))


def test_the_page_is_in_reach_without_a_token_and_loads_nothing_from_elsewhere(address: str) -> None:
    page = httpx2.get(address)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for name in ("page.css", "page.js", "icon.svg"):
        assert f"/page/{name}" in page.text
        found = httpx2.get(f"{address}/page/{name}")
        assert found.status_code == 200
        assert "http://" not in found.text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in found.text + page.text
    assert httpx2.get(f"{address}/page/../app.py").status_code in (401, 404)


@pytest.mark.slow
@pytest.mark.skipif(not (chromium and chromedriver), reason="needs chromium and chromedriver")
@pytest.mark.parametrize("browser", [1280, 390], indirect=True)
def test_a_picture_is_compared_and_asked_about(
    browser: Any, address: str, model: Model, tmp_path: Path
) -> None:
    (tmp_path / "photo.jpg").write_bytes(PHOTO)
    browser.get(address)
    browser.find_element("id", "file").send_keys(str(tmp_path / "photo.jpg"))
    status = "document.getElementById('status')"
    assert "a token is needed" in until(
        browser, f"{status}.classList.contains('error') && {status}.textContent"
    )
    token = browser.find_element("id", "token")
    token.send_keys("s3cret\t")  # leaving the field is enough
    assert until(browser, "!document.getElementById('ask').hidden")
    rows = [row.text.split() for row in browser.find_elements("css selector", "#rows tr")]
    assert [row[0] for row in rows[:3]] == ["Cotam", "JPEG", "WebP"]
    assert rows[0][1] == f"{len(cotam.encode(PHOTO, quality=50)):,}"
    assert f"{len(PHOTO):,} bytes" in browser.find_element("id", "drop-text").text

    tabs = browser.find_elements("css selector", "[role=tab]")
    assert [tab.get_attribute("aria-selected") for tab in tabs[:3]] == ["false", "false", "true"]
    tabs[2].send_keys(Keys.ARROW_LEFT)  # by keyboard
    assert browser.switch_to.active_element.text == "Importance"
    assert until(browser, "document.getElementById('shown').naturalWidth === 400")

    quality = browser.find_element("id", "quality")
    quality.send_keys(Keys.HOME)
    smaller = f"{len(cotam.encode(PHOTO, quality=0)):,} bytes"
    assert until(browser, f"document.getElementById('summary').textContent.startsWith({smaller!r})")

    browser.find_element("id", "text").send_keys(Keys.ENTER)
    for place in (0, 1):
        answer = f"document.getElementById('answer-{place}').textContent"
        assert until(browser, f"{answer}.includes('400, 300') && {answer}")
    assert len(model.bodies[-1]) != len(model.bodies[-2])

    wide = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0  # nothing to scroll sideways
    problems = [
        line
        for line in browser.get_log("browser")
        if line["level"] in ("SEVERE", "WARNING") and "401" not in line["message"]
    ]
    assert problems == []
