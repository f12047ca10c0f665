"""Completion worker: prompts of all requests to one language model, token by token in one batch.

Between two forward passes rows join and leave: a request need not wait for another to end, and a row whose client has
gone is freed at once. Here ids become text: what is handed to a stream is final, stop texts never appear in it, and the
pieces of a stream, joined, are what an answer in one piece holds.
"""

import logging
import secrets
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from biogpt.decoding.text_stream import WORD_END, Continuation
from biogpt.engine.prompts import check_prompt, shorten
from biogpt.errors import is_out_of_memory
from biogpt.server.failures import ApiError
from biogpt.server.rows import Row, Sampling, TokenScore, seeded_uniforms
from biogpt.server.tickets import OnBatch, Ticket, Worker

if TYPE_CHECKING:
    from biogpt.engine.engine import Engine
    from biogpt.server.row_batch import RowBatch

_logger = logging.getLogger(__name__)

_MAX_CHARACTERS_A_TOKEN = 64  # a text of more cannot fit, and need not be split into tokens to know it


@dataclass(frozen=True)
class Prompt:
    """A prompt that fits the model."""

    text: str
    ids: tuple[int, ...]
    """What the model reads, with the `</s>` that begins a text."""
    num_given: int
    """How many of the last ids the client knows of: without the `</s>`, unless it was among the given ids."""


@dataclass(frozen=True)
class Wish:
    """What a request wants of all its completions."""

    max_new_tokens: int = 16
    sampling: Sampling = field(default_factory=Sampling)
    seed: int | None = None
    """None: another one each time."""
    stop: tuple[str, ...] = ()
    num_top: int | None = None
    """How many of the most probable tokens to give with each token; None: no scores are wanted."""
    echo: bool = False
    is_streamed: bool = False


@dataclass(frozen=True)
class Token:
    """A token as a client sees it."""

    text: str
    score: float | None
    top: tuple[tuple[str, float], ...]
    offset: int
    """Where in the text (prompt and completion, where the prompt is echoed) stands what became final with it."""


@dataclass(frozen=True)
class Piece:
    """A part of a completion: all of it, or what a stream gives next."""

    index: int
    """Which completion of the request it belongs to."""
    text: str
    tokens: tuple[Token, ...] = ()
    """Those of this part, where scores are wanted."""
    finish_reason: Literal["stop", "length"] | None = None
    """None: it goes on."""
    num_tokens: int = 0
    """Of the whole completion, at its end: the generated ones, with the end token."""


@dataclass(eq=False)
class _Completion:
    """One completion, from its prompt to its text."""

    index: int
    prompt: Prompt
    wish: Wish
    ticket: Ticket
    row: Row
    continuation: Continuation
    num_sent: int = 0
    """Characters of the completion that were handed over."""
    tokens: list[Token] = field(default_factory=list)
    """Those that were not handed over yet."""
    num_seen: int = 0
    """How many of the row's new ids were turned into text."""
    is_begun: bool = False


class CompletionWorker(Worker):
    """Completes for all requests to one model.

    Args:
        engine: the model and its tokenizer; only this worker's thread runs the model.
        name: the model's.
        max_waiting: see `Worker`.
        on_batch: see `OnBatch`.
        num_cores: of this machine that a pass uses.
    """

    def __init__(self, engine: "Engine", name: str, max_waiting: int, on_batch: OnBatch, num_cores: int) -> None:
        super().__init__(name, max_waiting)
        self._num_cores = num_cores
        self.max_positions: int = engine.max_positions
        self._engine = engine
        self._model = engine.model  # made here, where no other thread imports at the same time
        self._tokenizer = engine.tokenizer
        self._tokenizer_lock = threading.Lock()
        self._num_ids: int = engine.config.vocab_size
        self._end_id: int = engine.tokenizer.eos_token_id  # `</s>`, which begins a text, too
        self._on_batch = on_batch
        self._waiting: deque[_Completion] = deque()
        self._active: dict[Row, _Completion] = {}
        self._max_rows: int = engine.batch_size

    @property
    def num_active(self) -> int:
        """How many rows are in the batch."""
        return len(self._active)

    def encode(self, prompt: str | Sequence[int], name: str) -> Prompt:
        """A prompt that can be completed. Called outside the event loop, because long texts take a while.

        Args:
            prompt: a text, or ids.
            name: what to call it in messages.

        Raises:
            ApiError, InputError: it cannot be completed.
        """
        if isinstance(prompt, str):
            check_prompt(prompt)
            if len(prompt) > _MAX_CHARACTERS_A_TOKEN * self.max_positions:
                raise self._too_long(name, f"{len(prompt):,} characters")
            with self._tokenizer_lock:
                ids = tuple(self._tokenizer(prompt, verbose=False)["input_ids"])
            num_given = len(ids) - 1
            if not num_given:
                raise ApiError(
                    400,
                    f"{name} ({shorten(prompt)}) has no character that the tokenizer keeps, expected some text.",
                    param="prompt",
                )
        else:
            wrong = next((index for index in prompt if not 0 <= index < self._num_ids), None)
            if wrong is not None or not prompt:
                got = "no ids" if wrong is None else f"the id {wrong}"
                raise ApiError(
                    400,
                    f"{name} has {got}, expected at least one id, each from 0 to {self._num_ids - 1}.",
                    param="prompt",
                )
            ids = tuple(prompt) if prompt[0] == self._end_id else (self._end_id, *prompt)
            num_given = len(prompt)
        if len(ids) > self.max_positions:
            raise self._too_long(name, f"{len(ids):,} tokens")
        with self._tokenizer_lock:
            text = prompt if isinstance(prompt, str) else self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return Prompt(str(text), ids, num_given)

    def _too_long(self, name: str, got: str) -> ApiError:
        return ApiError(
            400,
            f"{name} has {got}, expected at most {self.max_positions - 1:,} tokens: the model has "
            f"{self.max_positions:,} positions. Shorten the prompt.",
            param="prompt",
            code="context_length_exceeded",
        )

    def check_room(self, prompt: Prompt, wish: Wish, name: str) -> None:
        """Raise an `ApiError` where no token fits behind a prompt and one is wanted."""
        if wish.max_new_tokens and len(prompt.ids) >= self.max_positions:
            raise self._too_long(name, f"{len(prompt.ids):,} tokens")

    def submit(self, ticket: Ticket, prompts: Sequence[Prompt], num_each: int, wish: Wish) -> None:
        """Have prompts completed; each completion comes back over the ticket, in pieces where it is streamed.

        Args:
            ticket: of the request.
            prompts: from `encode`.
            num_each: completions of each prompt.
            wish: what is wanted of them.
        """
        seed = secrets.randbits(32) if wish.seed is None else wish.seed
        completions = [
            self._begin(ticket, prompt, wish, seed, number, place * num_each + number)
            for place, prompt in enumerate(prompts)
            for number in range(num_each)
        ]
        with self._condition:
            self._waiting.extend(completions)
            self._wake()

    def _begin(self, ticket: Ticket, prompt: Prompt, wish: Wish, seed: int, number: int, index: int) -> _Completion:
        row = Row(
            prompt_ids=prompt.ids,
            max_new_tokens=min(wish.max_new_tokens, self.max_positions - len(prompt.ids)),
            sampling=wish.sampling,
            uniforms=seeded_uniforms(seed, number, prompt.text),
            num_top=wish.num_top,
            scores_prompt=wish.echo and wish.num_top is not None,
        )
        tokens = self._tokenizer.convert_ids_to_tokens(list(prompt.ids))
        continuation = Continuation(prompt.text, tokens, self._tokenizer.all_special_tokens)
        return _Completion(index, prompt, wish, ticket, row, continuation)

    def _run(self) -> None:
        import torch  # takes a while

        from biogpt.server.row_batch import RowBatch

        torch.set_num_threads(self._num_cores)  # of this thread
        batch = RowBatch(self._model, self._tokenizer)
        while True:
            with self._condition:
                while not (self._waiting or self._active or self._is_closed):
                    self._max_rows = self._engine.batch_size
                    self._condition.wait()
                if self._is_closed and not (self._waiting or self._active):
                    return
                joining = self._take()
            try:
                self._advance(batch, joining)
            except Exception as error:
                completions = [*self._active.values(), *joining]
                _logger.info("A pass of %d rows failed: %s", len(completions), type(error).__name__)
                self._active.clear()
                batch = RowBatch(self._model, self._tokenizer)
                if is_out_of_memory(error) and len(completions) > 1:
                    self._set_back(completions)
                    continue
                for completion in completions:
                    _fail(completion, error)

    def _set_back(self, completions: Sequence[_Completion]) -> None:
        """Go on with half as many rows at once, until none is left: memory was too short for so many.

        What the rows have written stays; they are read again when they join.
        """
        self._max_rows = (len(completions) + 1) // 2
        for completion in completions:
            if completion.row.is_stopped:
                self._deliver_alone(completion)
        with self._condition:
            self._waiting.extendleft(each for each in reversed(completions) if not each.row.is_stopped)

    def _take(self) -> list[_Completion]:
        """The completions that join: a row of each waiting request in turn, as many as there is room for."""
        room = self._max_rows - len(self._active)
        if room <= 0 or not self._waiting:
            return []
        by_ticket: dict[Ticket, deque[_Completion]] = {}
        for completion in self._waiting:
            if not completion.ticket.is_cancelled:
                by_ticket.setdefault(completion.ticket, deque()).append(completion)
        joining: list[_Completion] = []
        while by_ticket and len(joining) < room:
            for ticket in list(by_ticket)[: room - len(joining)]:
                joining.append(by_ticket[ticket].popleft())
                if not by_ticket[ticket]:
                    del by_ticket[ticket]
        self._waiting = deque(completion for left in by_ticket.values() for completion in left)
        return joining

    def _advance(self, batch: "RowBatch", joining: Sequence[_Completion]) -> None:
        gone = {row for row, completion in self._active.items() if completion.ticket.is_cancelled}
        batch.drop(lambda row: row in gone)
        for row in gone:
            del self._active[row]
        batch.step()
        if joining:
            batch.add([completion.row for completion in joining])
            self._active.update({completion.row: completion for completion in joining})
        if not self._active:
            return
        self._on_batch(len(self._active))
        for completion in list(self._active.values()):
            self._deliver_alone(completion)
            if completion.row.is_stopped:
                del self._active[completion.row]

    def _deliver_alone(self, completion: _Completion) -> None:
        """Deliver; where that fails, only this completion does."""
        try:
            self._deliver(completion)
        except Exception as error:
            _logger.info("A completion failed: %s", type(error).__name__)
            _fail(completion, error)

    def _deliver(self, completion: _Completion) -> None:
        """Turn the newest token into text; hand over what is final and wanted by now."""
        row, wish = completion.row, completion.wish
        continuation = completion.continuation
        if not completion.is_begun:
            completion.is_begun = True
            if wish.echo:
                tokens = self._prompt_tokens(completion)
                if wish.is_streamed:
                    self._send(completion, completion.prompt.text, tokens)
                else:
                    completion.tokens += tokens
        is_followed = wish.is_streamed or bool(wish.stop) or wish.num_top is not None
        if is_followed or row.is_stopped:
            self._read_new(completion)
        if row.is_stopped:
            continuation.finish()
        stop_at = _find_stop(continuation.text, wish.stop)
        # What may be the beginning of a stop text is held back.
        num_held = max((len(stop) - 1 for stop in wish.stop), default=0)
        final = len(continuation.text) - num_held
        if stop_at is not None:
            row.is_stopped = True
            completion.tokens, _ = self._split_tokens(completion, stop_at)
            self._finish(completion, continuation.text[:stop_at], "stop")
        elif row.is_stopped:
            is_ended = row.new_ids[-1:] == [self._end_id]
            self._finish(completion, continuation.text, "stop" if is_ended else "length")
        elif wish.is_streamed and final > completion.num_sent:
            sent, completion.tokens = self._split_tokens(completion, final)
            self._send(completion, continuation.text[completion.num_sent : final], sent)
            completion.num_sent = final

    def _read_new(self, completion: _Completion) -> None:
        """Take the row's new ids into the text, and note their scores where those are wanted."""
        row, wish = completion.row, completion.wish
        new_ids = row.new_ids[completion.num_seen :]
        written = [token_id for token_id in new_ids if token_id != self._end_id]
        if wish.num_top is not None:
            offset = len(completion.continuation.text) + (len(completion.prompt.text) if wish.echo else 0)
            scores = row.scores[completion.num_seen :][: len(written)]
            completion.tokens += [self._as_token(score, offset) for score in scores]
        completion.continuation.add(self._tokenizer.convert_ids_to_tokens(written))
        completion.num_seen = len(row.new_ids)

    def _split_tokens(self, completion: _Completion, place: int) -> tuple[list[Token], list[Token]]:
        """The tokens that were not handed over, before and from a place in the completion's text on."""
        shift = len(completion.prompt.text) if completion.wish.echo else 0
        before = [token for token in completion.tokens if token.offset < shift + place]
        return before, completion.tokens[len(before) :]

    def _send(self, completion: _Completion, text: str, tokens: Sequence[Token]) -> None:
        completion.ticket.deliver(Piece(completion.index, text, tuple(tokens)))

    def _finish(self, completion: _Completion, text: str, reason: Literal["stop", "length"]) -> None:
        """Hand over what is left of a completion."""
        rest = text[completion.num_sent :]
        if completion.wish.echo and not completion.wish.is_streamed:
            rest = completion.prompt.text + rest
        num_tokens = len(completion.row.new_ids)
        completion.ticket.deliver(Piece(completion.index, rest, tuple(completion.tokens), reason, num_tokens))

    def _as_token(self, score: TokenScore, offset: int) -> Token:
        names = self._tokenizer.convert_ids_to_tokens([score.id, *(token_id for token_id, _ in score.top)])
        top = tuple((name, value) for name, (_, value) in zip(names[1:], score.top, strict=True))
        return Token(names[0], score.score, top, offset)

    def _prompt_tokens(self, completion: _Completion) -> list[Token]:
        """The prompt's tokens that the client knows of, each with its place in the prompt."""
        prompt = completion.prompt
        place = 0
        tokens = []
        for score in completion.row.prompt_scores[-prompt.num_given :]:
            token = self._as_token(score, place)
            text = token.text.removesuffix(WORD_END)
            # The tokenizer may change signs and blanks, so that a token is looked for, close by, and maybe not found.
            found = prompt.text.find(text, place, place + len(text) + 8)
            start = place if found < 0 else found
            place = place if found < 0 else found + len(text)
            tokens.append(Token(token.text, token.score, token.top, start))
        return tokens


def _fail(completion: _Completion, error: Exception) -> None:
    """Have a completion's request answered by an error; its other rows are dropped."""
    completion.row.is_stopped = True
    completion.ticket.is_cancelled = True
    completion.ticket.deliver(error)


def _find_stop(text: str, stop: Sequence[str]) -> int | None:
    """Where the first of the stop texts begins."""
    return min((place for each in stop if (place := text.find(each)) >= 0), default=None)
