"""The page at `/`, clicked through in Chromium: no error, nothing loaded from elsewhere, no text becomes markup."""

import json
import re
import shutil

import pytest
from serving import serving

from biogpt.server.app import create_app

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

TEXT = "Cisplatin-induced nephrotoxicity was seen in ten patients."
MARKUP = "<img src=x onerror=document.title='taken'> Aspirin may cause bleeding. No fever was seen."


@pytest.fixture(scope="module")
def url(tiny_model_path, tuned_model_paths):
    models = [tiny_model_path, *(tuned_model_paths[name] for name in ("bc5cdr", "bc5cdr_chem", "pubmedqa"))]
    with serving(create_app([str(model) for model in models], device="cpu", api_key="secret")) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("no Chromium: install chromium, the page is clicked through in it")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, url, request):
    """The page with its key given, in light or dark, at the width of a desk or of a phone."""
    context = browser.new_context(**getattr(request, "param", {}))
    page = context.new_page()
    page.set_default_timeout(20_000)
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    page.on("request", lambda sent: problems.append(sent.url) if not sent.url.startswith((url, "blob:")) else None)
    page.goto(url)
    page.get_by_label("This server needs an API key").fill("secret")
    page.get_by_role("button", name="Use it").click()
    page.locator("#task option").nth(2).wait_for(state="attached")
    yield page
    context.close()
    refused = re.compile("status of 40[01]")  # the key is asked for; a prompt is too long
    assert [problem for problem in problems if not refused.search(problem)] == []


def extract(page, text):
    page.locator("#text").fill(text)
    page.get_by_role("button", name="Extract", exact=True).click()
    page.locator("article").first.wait_for()


def test_a_curator_reads_filters_and_saves(page):
    assert "bc5cdr" in page.locator("#about").inner_text()
    extract(page, f"{TEXT}\n\n{MARKUP}\n\nTen healthy volunteers took part.")
    assert page.locator("article").count() == 3
    assert page.title() == "biogpt"
    assert "<img src=x" in page.locator("article").nth(1).inner_text()
    first = page.locator("article").first
    assert first.locator("mark").all_text_contents() == ["Cisplatin Chemical", "nephrotoxicity Disease"]
    first.locator("tbody tr").hover()
    assert first.locator("mark.lit").count() == 2

    with page.expect_download() as download:
        page.get_by_role("button", name="Save").click()
    assert download.value.suggested_filename == "biogpt.csv"
    assert "nephrotoxicity" in download.value.path().read_text(encoding="utf-8")
    for format, ending in (("jsonl", "jsonl"), ("pubtator", "pubtator"), ("bioc-xml", "xml"), ("bioc-json", "json")):
        page.locator("#format").select_option(format)
        with page.expect_download() as download:
            page.get_by_role("button", name="Save").click()
        assert download.value.suggested_filename == f"biogpt.{ending}"
        assert "nephrotoxicity" in download.value.path().read_text(encoding="utf-8")

    page.get_by_label("Disease").uncheck()
    assert page.locator("mark").count() == 0, "a relation without one of its entities is none"
    page.locator("#format").select_option("csv")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save").click()
    assert "0-9" not in download.value.path().read_text(encoding="utf-8"), "what is filtered out is not saved"
    page.get_by_label("Disease").check()
    assert page.locator("mark").count() == 4
    page.locator("#least").fill("1")
    assert page.locator("#least-value").inner_text() == "1.00"
    assert page.locator("mark").count() == 0


def test_spans_count_characters_and_a_file_is_read(page):
    lines = [json.dumps({"id": f"d{number}", "text": f"😀𝛼 {TEXT}"}) for number in range(60)]
    page.locator("#file").set_input_files(
        {"name": "texts.jsonl", "mimeType": "text/plain", "buffer": "\n".join([*lines, "no JSON"]).encode()}
    )
    page.get_by_text("60 documents", exact=False).last.wait_for()
    page.get_by_text("1 records of the file could not be used.").wait_for()
    assert page.locator("article").count() == 50
    page.get_by_role("button", name="Show more documents").click()
    assert page.locator("article").count() == 60
    marked = page.locator("article").first.locator("mark").all_text_contents()
    assert "nephrotoxicity Disease" in marked


def test_everything_works_without_a_mouse(page):
    page.keyboard.press("Tab")
    page.locator("#text").focus()
    page.keyboard.type(TEXT)
    page.keyboard.press("Control+Enter")
    page.locator("article").wait_for()
    row = page.locator("tbody tr").first
    for _ in range(15):
        page.keyboard.press("Tab")
        if row.evaluate("row => row === document.activeElement"):
            break
    assert page.locator("mark.lit").count() == 2
    page.keyboard.press("Enter")
    assert row.get_attribute("aria-selected") == "true"
    page.get_by_role("tab", name="Extract").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#write").is_visible()
    assert page.locator("#extract").is_hidden()


def test_a_text_is_written_on_and_stopped(page):
    page.get_by_role("tab", name="Write on").click()
    page.locator("#seed").fill("3")
    page.locator("#max-tokens").fill("60")
    page.get_by_role("button", name="Write on").click()
    page.get_by_text("Done.").wait_for()
    text = page.locator("#written").inner_text()
    assert text.startswith("Aspirin reduces the risk of")
    assert len(text) > 40
    page.locator("#prompt").fill("x " * 500)
    page.get_by_role("button", name="Write on").click()
    page.get_by_text("expected at most 95 tokens").wait_for()

    page.locator("#prompt").fill("Aspirin")
    # An answer that never ends, so that there is time to stop it.
    page.route("**/v1/completions", lambda route: None)
    page.get_by_role("button", name="Write on").click()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped.").wait_for()
    assert page.get_by_role("button", name="Write on").is_enabled()


@pytest.mark.parametrize(
    "page",
    [{"viewport": {"width": 375, "height": 700}, "is_mobile": True, "has_touch": True}, {"color_scheme": "dark"}],
    ids=["phone", "dark"],
    indirect=True,
)
def test_phone_and_dark(page):
    extract(page, TEXT)
    is_wide = page.locator("html").evaluate("html => html.scrollWidth > html.clientWidth")
    assert not is_wide, "nothing has to be moved sideways"
    colours = page.locator("body").evaluate(
        "body => [getComputedStyle(body).color, getComputedStyle(body).backgroundColor]"
    )
    ink, ground = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
    is_dark = page.locator("html").evaluate("html => matchMedia('(prefers-color-scheme: dark)').matches")
    assert (ink > ground) == is_dark
    page.get_by_label("Look for").select_option("pubmedqa")
    page.get_by_label("Question").fill("Does aspirin help?")
    page.locator("#text").fill("Pain fell in all patients.")
    page.get_by_role("button", name="Extract", exact=True).click()
    page.get_by_text("yes", exact=True).wait_for()


def test_the_api_is_described(page, url):
    page.goto(f"{url}/docs")
    page.get_by_role("heading", name="/v1/extract/file").wait_for()
    assert page.locator("section").count() > 15
    assert page.get_by_text("max_tokens").count()
