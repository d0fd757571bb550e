"""The page as a text and in a real browser."""

import json
import re
import shutil

import pytest
from report_artifacts import write_run
from support import ROOT

from sluice.files import write_json
from sluice.report.page.assembling import write_page
from sluice.settings.report import WriteReport

TEMPLATE = ROOT / "resources/report/page.html.jinja"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a run whose texts are hostile, as a file."""
    folder = tmp_path_factory.mktemp("page")
    text = write_page(write_run(folder), WriteReport(), template=TEMPLATE)
    (folder / "report.html").write_text(text, encoding="utf-8")
    return folder / "report.html"


def test_the_same_artifacts_give_the_same_page(tmp_path):
    files = write_run(tmp_path)
    first, second = (write_page(files, WriteReport(), template=TEMPLATE) for _ in range(2))
    assert first == second


def test_what_a_model_wrote_is_text(page):
    text = page.read_text()
    assert "&lt;script&gt;fetch(" in text
    assert "<script" not in text
    assert "<img src=http" not in text
    assert "{{ 7 * 7 }}" in text, "a template in a sample is not run"


def test_ids_on_the_page_are_unique(page):
    ids = re.findall(r'\sid="([^"]+)"', page.read_text())
    assert len(ids) > 10
    assert len(set(ids)) == len(ids)


def test_the_page_names_no_address_outside_itself(page):
    text = re.sub(r"&lt;.*?&gt;", "", page.read_text())
    addresses = re.findall(r'(?:\s(?:src|href|xlink:href)=|url\()["\']?([^"\'\s>)]+)', text)
    assert len(addresses) > 10
    assert {each for each in addresses if not each.startswith(("#", "data:"))} == set()


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_page_fits_and_calls_nobody(page, browser, tmp_path, width, scheme):
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, device_scale_factor=1
    )
    tab = context.new_page()
    requests, complaints = [], []
    tab.on("request", lambda request: requests.append(request.url))
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(page.as_uri())
    tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    root = "document.documentElement"
    assert tab.evaluate(f"{root}.scrollWidth - {root}.clientWidth") == 0
    assert [url for url in requests if not url.startswith("data:")] == [page.as_uri()]
    assert complaints == []
    assert tab.evaluate("document.querySelectorAll('script, main img[src^=http]').length") == 0
    red, green, blue = _background(tab)
    assert (red + green + blue < 200) == (scheme == "dark")
    tab.screenshot(path=tmp_path / "page.png", full_page=True)
    assert (tmp_path / "page.png").stat().st_size > 50_000
    context.close()


def _background(tab):
    colour = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    return [int(part) for part in re.findall(r"\d+", colour)[:3]]


def test_every_section_can_be_reached_from_the_contents(page, browser):
    tab = browser.new_page()
    tab.goto(page.as_uri())
    links = tab.locator("nav.contents a")
    assert links.count() == tab.locator("section").count() == 7
    for number in range(links.count()):
        anchor = links.nth(number).get_attribute("href")
        assert tab.locator(f"section{anchor} > h2").count() == 1
    tab.close()


def test_comparison_with_long_names_needs_no_scrolling(browser, tmp_path):
    files = write_run(tmp_path)
    content = json.loads(files.comparisons[0].read_text())
    content |= {"a": "qwen3-1.7b-instruct", "b": "qwen3-1.7b-instruct-rejection-sampled"}
    content["rows"][0]["group"] = "objCon_reallocated_expand/poisoned"
    write_json(files.comparisons[0], content)
    text = write_page(files, WriteReport(), template=TEMPLATE)
    (tmp_path / "report.html").write_text(text, encoding="utf-8")
    tab = browser.new_page(viewport={"width": 1200, "height": 800})
    tab.goto((tmp_path / "report.html").as_uri())
    box = tab.locator(".scroll", has=tab.locator("td.finding"))
    assert box.evaluate("each => each.scrollWidth - each.clientWidth") == 0
