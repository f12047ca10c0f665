"""The page of results in a real browser: filters, keys, lit relations, a phone, print, and no request at all."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from biogpt.documents import Document, Entity, EntityRelation, Extraction
from biogpt.documents.html import Heading, render_page
from biogpt.documents.types import Annotation, Relation, make_document, title_and_abstract

HEADING = Heading("Chemicals that induce diseases", "mini", types=("chemical", "disease"))
WAIT = 10.0
"""Seconds that a change of the page may take on a busy machine."""


def documents() -> list[Document]:
    """Lithium with a relation; gold with a mention that the file had and a low score; nothing."""
    passages = title_and_abstract("Lithium and tremor", "In ten, lithium caused tremor.")
    first = make_document("111", passages, format="pubtator")
    lithium = Entity("chemical", "Lithium", ((0, 7), (28, 35)), "MESH:D008094")
    tremor = Entity("disease", "tremor", ((12, 18), (43, 49)))
    assert [first.text[slice(*span)] for each in (lithium, tremor) for span in each.spans][1::2] == [
        "lithium",
        "tremor",
    ]
    relation = EntityRelation("CID", {"chemical": lithium, "disease": tremor}, score=0.9)
    known = (Annotation("1", "gene", "TP53", ((5, 9),)), Annotation("2", "disease", "rash", ((14, 18),)))
    before = (Relation("R1", "Association", (("", "1"), ("", "2"))),)
    second = make_document(
        "222", title_and_abstract("Gold TP53 and rash", "Seen."), annotations=known, relations=before
    )
    third = make_document("333", title_and_abstract("Nothing", "Nobody came."))
    return [
        first.with_extraction(Extraction(relations=(relation,))),
        second.with_extraction(Extraction((Entity("chemical", "Gold", ((0, 4),), score=0.25),))),
        third.with_extraction(Extraction()),
    ]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        names = ("chromium", "chromium-browser", "google-chrome")
        found = [path for name in names if (path := shutil.which(name))] + [playwright.chromium.executable_path]
        path = next((path for path in found if Path(path).exists()), None)
        if path is None:
            pytest.skip("no Chromium on this machine: install one, or run 'playwright install chromium'")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "found.html"
    render_page(path, documents(), HEADING)
    return path.as_uri()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: None if request.url == address else said.append(request.url))
    page.goto(address)
    yield page
    context.close()
    assert said == []  # no error, nothing that the policy had to refuse, no request


def shown(page: Page) -> list[str]:
    """The ids of the documents that can be seen."""
    return page.eval_on_selector_all("article:not([hidden]) h2", "(all) => all.map((each) => each.textContent)")


def marked(page: Page, selector: str = "mark:not(.off)") -> list[str]:
    """The mentions that are marked."""
    return page.eval_on_selector_all(selector, "(all) => all.map((each) => each.firstChild.textContent)")


def wait_for(page: Page, wanted: list[str]) -> None:
    end = time.monotonic() + WAIT
    while shown(page) != wanted and time.monotonic() < end:
        page.wait_for_timeout(20)
    assert shown(page) == wanted


def test_filters_by_type_name_and_score(page: Page) -> None:
    everything = ["Lithium", "tremor", "lithium", "tremor", "Gold", "TP53", "rash"]
    assert marked(page) == everything
    chips = page.locator(".chip").all_inner_texts()
    assert chips == ["chemical 3", "disease 3", "gene 1"]  # the file's own types, too
    page.click(".chip[data-t=chemical]")
    assert marked(page) == ["tremor", "tremor", "TP53", "rash"]
    assert page.locator("tbody tr:visible").count() == 1  # the file's own; the other names a chemical
    assert shown(page) == ["111", "222", "333"]
    page.check("#only")
    assert shown(page) == ["111", "222"]
    page.click("#reset")
    assert marked(page) == everything
    page.fill("#name", "  LITHIUM ")
    wait_for(page, ["111"])
    assert marked(page) == ["Lithium", "lithium"]
    page.fill("#name", "d008094")
    wait_for(page, ["111"])
    assert page.inner_text("#count") == "1 of 3 documents"
    page.keyboard.press("Escape")
    assert shown(page) == ["111", "222", "333"]
    page.locator("#score").fill("0.5")
    page.check("#only")
    page.wait_for_timeout(200)
    assert marked(page) == ["Lithium", "tremor", "lithium", "tremor", "TP53", "rash"]  # what was there has no score
    page.uncheck("#known")
    wait_for(page, ["111"])
    page.uncheck("#found")
    page.check("#known")
    wait_for(page, ["222"])


def test_a_relation_lights_its_mentions(page: Page) -> None:
    row = page.locator("tbody tr").first
    row.hover()
    assert marked(page, "mark.lit") == ["Lithium", "tremor", "lithium", "tremor"]
    page.locator("h1").hover()
    assert marked(page, "mark.lit") == []
    row.click()
    page.locator("h1").hover()
    assert len(marked(page, "mark.lit")) == 4  # chosen: it stays
    text, table = (page.locator(each).first.bounding_box() for each in (".reading", ".beside"))
    assert text
    assert table
    assert table["x"] > text["x"] + text["width"] - 1  # beside the text
    mark = page.locator("mark.known").first
    assert mark.evaluate("(each) => getComputedStyle(each).backgroundColor") == "rgba(0, 0, 0, 0)"


def test_everything_can_be_done_with_keys(page: Page) -> None:
    current = "(document.querySelector('article.current h2') || {}).textContent"
    for key, wanted in (("j", "111"), ("j", "222"), ("j", "333"), ("j", "333"), ("k", "222")):
        page.keyboard.press(key)
        assert page.evaluate(current) == wanted
    page.keyboard.press("n")
    assert marked(page, "mark.lit") == ["TP53", "rash"]
    page.keyboard.press("Shift+N")
    page.keyboard.press("Enter")
    page.evaluate("document.activeElement.blur()")
    assert len(marked(page, "mark.lit")) == 4
    page.keyboard.press("/")
    page.keyboard.type("rash?nj")
    assert page.input_value("#name") == "rash?nj"  # in the field keys are letters
    page.keyboard.press("Escape")
    assert page.input_value("#name") == ""
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#help").is_visible()


def test_links_lead_to_pubmed_and_to_identifiers(page: Page) -> None:
    assert page.locator("h2 a").evaluate_all("(all) => all.map((each) => each.href)") == [
        "https://pubmed.ncbi.nlm.nih.gov/111/"
    ]
    assert page.locator("a.identifier").first.get_attribute("href") == "https://meshb.nlm.nih.gov/record/ui?ui=D008094"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_dark_and_print(browser: Browser, address: str, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": 360, "height": 740})  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    text, table = (page.locator(each).first.bounding_box() for each in (".reading", ".beside"))
    assert text
    assert table
    assert table["y"] >= text["y"] + text["height"]  # below the text
    ground, ink = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    assert (max(map(int, ground[4:-1].split(","))) < 64) == (scheme == "dark")
    assert (max(map(int, ink[4:-1].split(","))) < 64) == (scheme == "light")
    page.emulate_media(media="print")
    assert not page.locator("#controls").is_visible()
    assert page.locator("article").first.evaluate("(each) => getComputedStyle(each).contentVisibility") == "visible"
    context.close()


def test_two_thousand_documents_are_drawn_as_they_come_into_view(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "many.html"
    render_page(path, documents() * 667, HEADING)
    page = browser.new_page()
    page.goto(path.as_uri(), wait_until="load")
    assert page.inner_text("#count") == "2,001 documents"
    assert page.locator("article").first.evaluate("(each) => getComputedStyle(each).contentVisibility") == "auto"
    page.fill("#name", "gold")
    wait_for(page, ["222"] * 667)
    page.close()


def test_without_script_everything_is_there(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert page.locator("article").count() == 3
    assert page.locator("mark").count() == 7
    assert not page.locator("#controls").is_visible()
    context.close()
