"""Extraction: `POST /v1/extract`, `/v1/extract/file` and `/v1/export`."""

import asyncio
import contextlib
import functools
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from biogpt.documents import Document
from biogpt.extraction.conversion import Source
from biogpt.extraction.linking import load_linker
from biogpt.server.attendance import OwningStream, while_attended
from biogpt.server.conversion import (
    MEDIA_TYPES,
    check_format,
    choose_format,
    columns_of_documents,
    columns_of_task,
    describe_document,
    describe_extraction,
    make_source,
    read_extraction,
    write_documents,
)
from biogpt.server.extraction_worker import Extracted, ExtractionJob, ExtractionWorker
from biogpt.server.failures import ApiError, describe_failure
from biogpt.server.gate import Facts, facts_of
from biogpt.server.limits import Limits
from biogpt.server.schemas import ExportRequest, ExtractAnswer, ExtractRequest
from biogpt.server.served_models import ServedModels
from biogpt.server.tickets import Ticket
from biogpt.server.uploads import Upload

_IN_FLIGHT = 32  # documents of a file that are read ahead

_load_linker = functools.cache(load_linker)

_FORMAT = Query(
    description=f"How to write the answer: {', '.join(MEDIA_TYPES)}. Without, the header Accept tells; else json."
)
_OTHER_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {type: {"schema": {"type": "string"}} for name, type in MEDIA_TYPES.items() if name != "json"}}
}
_FILE_BODY = {
    "requestBody": {
        "required": True,
        "description": "The file, as it is; it may be packed with gzip.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def make_router(models: ServedModels, limits: Limits) -> APIRouter:
    """The routes.

    Args:
        models: who answers.
        limits: of what is asked.
    """
    router = APIRouter(tags=["extraction"])

    @router.post("/v1/extract", response_model=ExtractAnswer, responses=_OTHER_ANSWERS)
    async def extract(
        asked: ExtractRequest, request: Request, format: Annotated[str | None, _FORMAT] = None
    ) -> Response:
        """Extract entities, relations or labels from documents."""
        chosen = choose_format(format, request.headers.get("accept"))
        model = models.find_task_model(asked.model, asked.task)
        check_format(chosen, model.task.kind.extracts)
        _check_number(len(asked.documents), limits)
        facts = facts_of(request.scope)
        facts.model = model.name
        sources = [
            make_source(document, number, model.fields, limits.max_document_characters)
            for number, document in enumerate(asked.documents)
        ]
        async with contextlib.AsyncExitStack() as stack:
            worker = await asyncio.to_thread(model.worker)
            job = _enter(stack, worker, asked.options.threshold)
            job.linker = await asyncio.to_thread(_load_linker) if asked.options.link else None
            worker.submit(job, list(enumerate(sources)))
            documents = await while_attended(request, _collect(job.ticket, len(sources), limits.request_seconds))
        facts.num_documents = len(documents)
        if chosen == "json":
            return JSONResponse(
                {
                    "object": "extraction",
                    "model": model.name,
                    "task": model.task.name,
                    "documents": [describe_extraction(document) for document in documents],
                    "usage": {
                        "documents": len(documents),
                        "characters": sum(len(document.text) for document in documents),
                    },
                }
            )
        content = await asyncio.to_thread(write_documents, documents, chosen, columns_of_task(model.task))
        return Response(content, media_type=MEDIA_TYPES[chosen])

    @router.post(
        "/v1/extract/file",
        openapi_extra=_FILE_BODY,
        responses={200: {"content": {"application/jsonl": {"schema": {"type": "string"}}}}},
        response_class=Response,
    )
    async def extract_file(
        request: Request,
        model: Annotated[str | None, Query(description="One of `/v1/models` that extracts.")] = None,
        task: Annotated[str | None, Query(description="A task, in place of a model.")] = None,
        name: Annotated[
            str, Query(max_length=255, description="The file's name; its ending may tell the format.")
        ] = "",
        input_format: Annotated[
            str | None, Query(description="Its format, where name and content do not tell.")
        ] = None,
        threshold: Annotated[float | None, Query(ge=0, le=1, description="See `/v1/extract`.")] = None,
    ) -> Response:
        """Extract from a file of any readable format.

        The answer is a line of JSON for each document, in order, as soon as it is there: the document as in
        `/v1/extract` with, as `document`, what `/v1/export` takes; or `error` with its `id`. A record that cannot be
        used is a line with `skipped`. Where the file cannot be read on, the last line has `error` alone.
        """
        served = models.find_task_model(model, task)
        facts = facts_of(request.scope)
        facts.model = served.name
        stack = contextlib.AsyncExitStack()
        async with stack:
            upload = Upload(name, limits.max_file_bytes)
            stack.callback(upload.close)
            await upload.receive(request.stream())
            format = await asyncio.to_thread(upload.check, input_format, served.fields)
            worker = await asyncio.to_thread(served.worker)
            job = _enter(stack, worker, threshold)
            problems: list[str] = []
            sources = upload.read(format, served.fields, lambda problem: problems.append(upload.tell(problem)))
            lines = _stream(worker, job, sources, problems, facts, limits)
            return OwningStream(lines, stack.pop_all(), MEDIA_TYPES["jsonl"])

    @router.post("/v1/export", response_class=Response, responses=_OTHER_ANSWERS)
    async def export(asked: ExportRequest, request: Request, format: Annotated[str | None, _FORMAT] = None) -> Response:
        """Write documents and what was extracted from them in a format, for example what is left of an answer of
        `/v1/extract` after a filter."""
        chosen = choose_format(format or "jsonl", None)
        if chosen == "json":
            raise ApiError(400, "json is what was sent, expected another format.", param="format")
        _check_number(len(asked.documents), limits)
        if len(asked.documents) != len(asked.extractions):
            raise ApiError(
                400,
                f"Got {len(asked.documents)} documents and {len(asked.extractions)} extractions, expected as many.",
                param="extractions",
            )
        documents = [
            read_extraction(extraction, _make_plain(document, number, limits), number)
            for number, (document, extraction) in enumerate(zip(asked.documents, asked.extractions, strict=True))
        ]
        for part in ("entities", "relations", "labels"):
            if any(document.extraction and getattr(document.extraction, part) for document in documents):
                check_format(chosen, part)
        content = await asyncio.to_thread(write_documents, documents, chosen, columns_of_documents(documents))
        return Response(content, media_type=MEDIA_TYPES[chosen])

    return router


def _make_plain(given: Any, number: int, limits: Limits) -> Document:
    """A document of an export; one of named fields, too."""
    document, _ = make_source(given, number, list(given.fields or ()), limits.max_document_characters)
    return document


def _check_number(number: int, limits: Limits) -> None:
    if number > limits.max_documents:
        raise ApiError(
            400,
            f"Got {number:,} documents, expected at most {limits.max_documents}. Send several requests, or a file.",
            param="documents",
        )


def _enter(stack: contextlib.AsyncExitStack, worker: ExtractionWorker, threshold: float | None) -> ExtractionJob:
    """A place with a model, which is given up with `stack`."""
    stack.callback(worker.leave, worker.enter())
    ticket = Ticket()
    stack.callback(setattr, ticket, "is_cancelled", True)
    return ExtractionJob(ticket, threshold)


async def _collect(ticket: Ticket, number: int, seconds: float) -> Sequence[Document]:
    """All documents of a request, in their order."""
    found: dict[int, Document] = {}
    async with asyncio.timeout(seconds):
        while len(found) < number:
            extracted: Extracted = await ticket.result(seconds)
            if extracted.error is not None:
                raise extracted.error
            found[extracted.index] = extracted.document
    return [found[index] for index in range(number)]


@dataclass
class _Reader:
    """Reads ahead, off the event loop."""

    sources: Iterator[Source]
    num_read: int = 0
    is_done: bool = False

    async def take(self, number: int) -> list[tuple[int, Source]]:
        """The next documents, numbered; fewer than asked for at the end."""
        taken = await asyncio.to_thread(lambda: list(islice(self.sources, number)))
        self.is_done = len(taken) < number
        first = self.num_read
        self.num_read += len(taken)
        return list(enumerate(taken, start=first))


async def _stream(
    worker: ExtractionWorker,
    job: ExtractionJob,
    sources: Iterator[Source],
    problems: list[str],
    facts: Facts,
    limits: Limits,
) -> AsyncIterator[str]:
    """A line for each document of a file, in order."""
    reader = _Reader(sources)
    ready: dict[int, str] = {}
    num_written = num_open = 0
    failure: Exception | None = None
    try:
        while num_open or not reader.is_done:
            if not reader.is_done and num_open + len(ready) <= _IN_FLIGHT // 2:
                try:
                    taken = await reader.take(_IN_FLIGHT // 2)
                except Exception as error:  # what was read before it is still answered
                    failure, reader.is_done, taken = error, True, []
                while problems:
                    yield _line({"skipped": problems.pop(0)})
                fitting = []
                for index, source in taken:
                    if len(source[0].text) > limits.max_document_characters:
                        ready[index] = _too_long(source[0], limits)
                    else:
                        fitting.append((index, source))
                worker.submit(job, fitting)
                num_open += len(fitting)
            elif num_open:
                extracted: Extracted = await job.ticket.result(limits.request_seconds)
                num_open -= 1
                facts.num_documents += extracted.error is None
                ready[extracted.index] = _answer_line(extracted)
            while num_written in ready:
                yield ready.pop(num_written)
                num_written += 1
    except Exception as error:
        failure = error
    if failure is not None:
        yield _line(describe_failure(failure).body)


def _answer_line(extracted: Extracted) -> str:
    if extracted.error is not None:
        return _line({"id": extracted.document.id, **describe_failure(extracted.error).body})
    document = extracted.document
    return _line({**describe_extraction(document), "document": describe_document(document)})


def _too_long(document: Document, limits: Limits) -> str:
    message = (
        f"The document has {len(document.text):,} characters, expected at most {limits.max_document_characters:,}."
    )
    return _line({"id": document.id, **ApiError(400, message, code="document_too_long").body})


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"
