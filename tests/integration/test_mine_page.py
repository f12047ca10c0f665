"""The page of `biogpt summarize` in a browser: filters, links, and nothing from elsewhere."""

from pathlib import Path

import pytest
from mining_annotators import WordAnnotator, citation, write_pubmed
from mining_without_ray import run_here

import biogpt
from biogpt.mining.collection import mine_with

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture
def page(tmp_path, monkeypatch):
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip("no Chromium")
    run_here(monkeypatch)
    texts = ["Hypertension follows stenosis", "Hypertension without stenosis", "Migraine headache follows caffeine"]
    write_pubmed(tmp_path / "a.xml", *(citation(pmid, text, year=2000 + pmid) for pmid, text in enumerate(texts, 1)))
    mine_with([WordAnnotator()], tmp_path / "a.xml", tmp_path / "out")
    biogpt.summarize(tmp_path / "out", tmp_path / "page.html")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page()
        page.told, page.asked = [], []
        page.on("console", lambda message: page.told.append(message.text))
        page.on("pageerror", lambda error: page.told.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto((tmp_path / "page.html").as_uri())
        yield page
        browser.close()


def test_filters_leave_out_rows_and_edges(page):
    def shown(table):
        return page.locator(f"#{table} tbody tr:visible").count()

    pairs, entities = shown("pairs"), shown("entities")
    assert pairs == page.locator(".edge").count() == 3
    assert page.inner_text("#count") == f"Shown: {pairs} pairs, {entities} entities"
    page.fill("#name", "migraine")
    assert (shown("pairs"), shown("entities")) == (1, 1)
    assert page.locator(".edge.dim").count() == 2
    page.click("button[type=reset]")
    page.wait_for_function(f"document.getElementById('count').textContent.includes('{entities} entities')")
    page.fill("#score", "0.9")
    assert 0 < shown("entities") < entities
    assert shown("pairs") == 0
    assert page.locator("#pairs a").first.get_attribute("href").startswith("https://pubmed.ncbi.nlm.nih.gov/")
    assert not page.told
    assert len(page.asked) == 1, "the page asks for nothing"
