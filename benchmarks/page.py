"""How quick the page of `predict --html` is with 2,000 documents, in a real browser; result in results/page.json.

    python benchmarks/page.py CDR_TestSet.PubTator.txt

The documents of the file, as often as needed, with their own annotations and as many extracted entities and relations.
Seconds: until the page is painted and until it is loaded; and from a key or a click until the browser has drawn what
follows, with the 0.12 s that the page waits for further keys. Medians over the repeats.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import record
from playwright.sync_api import Page, sync_playwright

from biogpt import read_documents
from biogpt.documents import Document, Entity, EntityRelation, Extraction
from biogpt.documents.html import Heading, render_page

ACTIONS = {
    "name": "document.querySelector('#name').value = 'lithium'; "
    "document.querySelector('#name').dispatchEvent(new Event('input', {bubbles: true}))",
    "type": "document.querySelector('.chip').click()",
    "score": "document.querySelector('#score').value = '0.5'; "
    "document.querySelector('#score').dispatchEvent(new Event('input', {bubbles: true}))",
    "only": "document.querySelector('#only').click()",
    "reset": "document.querySelector('#reset').click()",
}
PAUSE = 125  # ms; the page waits 120 for further keys before it filters
DRAWN = f"() => new Promise((done) => setTimeout(() => requestAnimationFrame(() => setTimeout(done)), {PAUSE}))"


def with_extraction(document: Document, number: int) -> Document:
    """What the file says of a document as if it had been extracted, with scores that a filter can tell apart."""
    entities = [
        Entity(one.type, document.text[slice(*one.spans[0])], one.spans, score=(number % 10) / 10)
        for one in document.annotations
        if one.spans
    ]
    by_type = {entity.type: entity for entity in entities}
    relations = [EntityRelation("CID", dict(islice(by_type.items(), 2)), score=0.7)] if len(by_type) > 1 else []
    made = replace(document, id=f"{document.id}{number:05d}")
    return made.with_extraction(Extraction(tuple(entities), tuple(relations)))


def measure(page: Page, address: str) -> dict[str, float]:
    """Seconds of one visit."""
    began = time.perf_counter()
    page.goto(address)
    loaded = time.perf_counter() - began
    painted = page.evaluate("performance.getEntriesByType('paint').map((each) => each.startTime / 1000)")
    page.evaluate(DRAWN)
    found = {"first paint": max(painted, default=loaded), "loaded": loaded}
    for name, action in ACTIONS.items():
        began = time.perf_counter()
        page.evaluate(action)
        page.evaluate(DRAWN)
        found[f"filter by {name}" if name != "reset" else "reset"] = time.perf_counter() - began
    return found


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=Path, help="a file with annotations")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    read = list(read_documents(options.documents))
    documents = [with_extraction(one, number) for number, one in enumerate(islice(cycle(read), options.count))]
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        path = Path(directory) / "page.html"
        render_page(path, documents, Heading("BC5CDR", "the file's own annotations"))
        found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        visits = [measure(page, path.as_uri()) for _ in range(options.repeats)]
        measured: dict[str, Any] = {
            "documents": page.locator("article").count(),
            "marks": page.locator("mark").count(),
            "megabytes": round(path.stat().st_size / 1e6, 1),
            "seconds": {name: round(statistics.median(visit[name] for visit in visits), 3) for name in visits[0]},
            "repeats": options.repeats,
        }
        browser.close()
    print(json.dumps(measured, indent=2))
    record.write_result("page", measured)


if __name__ == "__main__":
    main()
