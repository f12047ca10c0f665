"""Completions: `POST /v1/completions`, as OpenAI has it."""

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from biogpt.server.attendance import OwningStream, while_attended
from biogpt.server.completion_worker import CompletionWorker, Piece, Prompt, Token, Wish
from biogpt.server.failures import ApiError, describe_failure
from biogpt.server.gate import Facts, facts_of
from biogpt.server.limits import Limits
from biogpt.server.rows import Sampling
from biogpt.server.schemas import MAX_STOPS, CompletionAnswer, CompletionRequest
from biogpt.server.served_models import ServedModels
from biogpt.server.tickets import Ticket


@dataclass
class _Work:
    """A request that is being completed."""

    worker: CompletionWorker
    ticket: Ticket
    model: str
    prompts: Sequence[Prompt]
    num_completions: int
    wish: Wish
    facts: Facts
    seconds: float
    num_tokens: int = 0

    @property
    def usage(self) -> dict[str, int]:
        num_read = sum(len(prompt.ids) for prompt in self.prompts)
        return {
            "prompt_tokens": num_read,
            "completion_tokens": self.num_tokens,
            "total_tokens": num_read + self.num_tokens,
        }

    async def pieces(self) -> AsyncIterator[Piece]:
        """All pieces, as they come, until each completion has ended."""
        num_open = self.num_completions
        while num_open:
            piece: Piece = await self.ticket.result(self.seconds)
            if piece.finish_reason:
                num_open -= 1
                self.num_tokens += piece.num_tokens
            yield piece


def make_router(models: ServedModels, limits: Limits) -> APIRouter:
    """The route.

    Args:
        models: who answers.
        limits: of what is asked.
    """
    router = APIRouter(tags=["completions"])

    @router.post(
        "/v1/completions",
        response_model=CompletionAnswer,
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    )
    async def complete(asked: CompletionRequest, request: Request) -> Response:
        """Continue prompts. With `stream`, the answer is server-sent events, the last of them `[DONE]`."""
        wish, texts, num_each = _read_request(asked, limits)
        model = models.find_language_model(asked.model)
        facts = facts_of(request.scope)
        facts.model = model.name
        stack = contextlib.AsyncExitStack()
        async with stack:
            worker = await asyncio.to_thread(model.worker)
            stack.callback(worker.leave, worker.enter())
            prompts = await asyncio.to_thread(_encode_all, worker, texts, wish)
            ticket = Ticket()
            stack.callback(setattr, ticket, "is_cancelled", True)
            work = _Work(
                worker, ticket, model.name, prompts, len(prompts) * num_each, wish, facts, limits.request_seconds
            )
            stack.callback(_note_usage, work)
            worker.submit(ticket, prompts, num_each, wish)
            if not wish.is_streamed:
                return await _answer(request, work)
            pieces = work.pieces()
            first = await while_attended(request, _next(pieces))  # an error before it has a status of its own
            return OwningStream(_stream(work, first, pieces, asked), stack.pop_all(), "text/event-stream")

    return router


def _read_request(asked: CompletionRequest, limits: Limits) -> tuple[Wish, list[str | list[int]], int]:
    """What is wanted, of which prompts, and how many completions of each."""
    prompt = asked.prompt
    if isinstance(prompt, str):
        texts: list[str | list[int]] = [prompt]
    elif prompt and isinstance(prompt[0], int):
        texts = [[token_id for token_id in prompt if isinstance(token_id, int)]]
    else:
        texts = [text for text in prompt if not isinstance(text, int)]
    if not texts:
        raise ApiError(400, "prompt is an empty list, expected at least one prompt.", param="prompt")
    num_each = asked.n or 1
    if len(texts) * num_each > limits.max_completions:
        raise ApiError(
            400,
            f"{len(texts)} prompts with n {num_each} make {len(texts) * num_each} completions, expected at most "
            f"{limits.max_completions}. Send several requests.",
            param="n" if num_each > 1 else "prompt",
        )
    max_tokens = 16 if asked.max_tokens is None else asked.max_tokens
    if max_tokens > limits.max_tokens:
        raise ApiError(400, f"Got max_tokens {max_tokens}, expected at most {limits.max_tokens}.", param="max_tokens")
    if max_tokens == 0 and not asked.echo:
        raise ApiError(400, "Got max_tokens 0, expected at least 1 without echo.", param="max_tokens")
    stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop or []
    if len(stop) > MAX_STOPS or not all(0 < len(text) <= 1000 for text in stop):
        raise ApiError(400, f"stop: expected at most {MAX_STOPS} texts, of 1 to 1000 characters each.", param="stop")
    if asked.stream_options is not None and not asked.stream:
        raise ApiError(400, "Got stream_options without stream, expected both.", param="stream_options")
    sampling = Sampling(
        temperature=1.0 if asked.temperature is None else asked.temperature,
        top_k=asked.top_k or 0,
        top_p=1.0 if asked.top_p is None else asked.top_p,
    )
    wish = Wish(max_tokens, sampling, asked.seed, tuple(stop), asked.logprobs, bool(asked.echo), bool(asked.stream))
    return wish, texts, num_each


def _encode_all(worker: CompletionWorker, texts: Sequence[str | list[int]], wish: Wish) -> list[Prompt]:
    prompts = []
    for number, text in enumerate(texts):
        name = "The prompt" if len(texts) == 1 else f"prompt[{number}]"
        prompt = worker.encode(text, name)
        worker.check_room(prompt, wish, name)
        prompts.append(prompt)
    return prompts


def _note_usage(work: _Work) -> None:
    work.facts.num_prompt_tokens = sum(len(prompt.ids) for prompt in work.prompts)
    work.facts.num_completion_tokens = work.num_tokens


async def _answer(request: Request, work: _Work) -> Response:
    """The whole answer at once."""
    found: dict[int, Piece] = {}

    async def collect() -> None:
        async with asyncio.timeout(work.seconds):
            async for piece in work.pieces():
                found[piece.index] = piece

    await while_attended(request, collect())
    choices = [_choice(found[index], work.wish) for index in range(work.num_completions)]
    return JSONResponse({**_head(work), "choices": choices, "usage": work.usage})


async def _next(pieces: AsyncIterator[Piece]) -> Piece:
    return await anext(pieces)


async def _stream(
    work: _Work, first: Piece, pieces: AsyncIterator[Piece], asked: CompletionRequest
) -> AsyncIterator[str]:
    """The answer as server-sent events."""
    head = _head(work)
    with_usage = asked.stream_options is not None and asked.stream_options.include_usage
    more = {"usage": None} if with_usage else {}
    try:
        yield _event({**head, "choices": [_choice(first, work.wish)], **more})
        async for piece in pieces:
            yield _event({**head, "choices": [_choice(piece, work.wish)], **more})
        if with_usage:
            yield _event({**head, "choices": [], "usage": work.usage})
        yield "data: [DONE]\n\n"
    except Exception as error:  # the status is sent: what is wrong stands in the stream
        yield _event(describe_failure(error).body)


def _head(work: _Work) -> dict[str, Any]:
    return {
        "id": f"cmpl-{uuid.uuid4().hex}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": work.model,
    }


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _choice(piece: Piece, wish: Wish) -> dict[str, Any]:
    return {
        "text": piece.text,
        "index": piece.index,
        "logprobs": None if wish.num_top is None else _logprobs(piece.tokens),
        "finish_reason": piece.finish_reason,
    }


def _logprobs(tokens: Sequence[Token]) -> dict[str, Any]:
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [token.score for token in tokens],
        "top_logprobs": [dict(token.top) or None for token in tokens],
        "text_offset": [token.offset for token in tokens],
    }
