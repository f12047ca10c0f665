"""Engine: prompts, as texts or as ids -> completions.

The one place where a tokenizer, a model and a way to choose tokens meet. It knows nothing of tasks: what a prompt asks,
and how its completion is to be read, is for its callers.

Shapes in comments: B rows, T new tokens, S tokens seen so far including the new ones, V vocabulary.
"""

import hashlib
import random
import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, overload

import torch

from biogpt.decoding.constraint import ConstraintState, TokenConstraint
from biogpt.decoding.settings import GenerationSettings, change_settings
from biogpt.decoding.text_stream import Continuation
from biogpt.engine.beams import search_beams
from biogpt.engine.drafting import Choices
from biogpt.engine.loading import load_for_engine
from biogpt.engine.network import Network, Segment
from biogpt.engine.processor import check_dtype
from biogpt.engine.prompts import check_prompt, shorten
from biogpt.engine.scheduler import MAX_PROMPT_TOKENS, Row, Scheduler, StopReason
from biogpt.engine.search import ScoredSequence, SearchRequest, search_sequences
from biogpt.errors import InputError, is_out_of_memory
from biogpt.model.checkpoint import assemble_model, load_tokenizer, resolve_model
from biogpt.model.config import BioGptConfig
from biogpt.model.loading import choose_device
from biogpt.model.stored import StoredModel
from biogpt.text.tokenizer import BioGptTokenizer

if TYPE_CHECKING:
    from biogpt.model.modeling import BioGptForCausalLM

DEFAULT_SETTINGS = GenerationSettings()

CACHE_BYTES = 2**30
"""What the cache of keys and values takes at the most, unless a single text needs more: more texts wait."""

_SEARCHED = 192  # tokens behind a prompt for which a search's cache has room at first


@dataclass(frozen=True)
class Completion:
    """What a model wrote after a prompt.

    Examples:
        >>> engine = biogpt.Engine.from_pretrained("mini")
        >>> completion = engine.generate("Aspirin reduces the risk of", max_new_tokens=2, temperature=0)[0]
        >>> completion.text, completion.stop_reason
        (' cardiovascular disease', 'length')
    """

    prompt: str
    """The prompt as it was given."""
    text: str
    """The continuation alone, without special tokens; `prompt + text` is the whole, spaces included."""
    token_ids: tuple[int, ...]
    """The ids that were generated, without the end token."""
    tokens: tuple[str, ...]
    """The vocabulary's tokens of these ids."""
    token_scores: tuple[float, ...]
    """Log-probability (nats) of each of `token_ids`, then of the end token where there is one, each under the model's
    own distribution given all before it: before temperature, top-k, top-p and what was forbidden."""
    score: float
    """The mean of `token_scores`."""
    stop_reason: StopReason
    """`end`: the model ended the text. `length`: `max_new_tokens` are there. `positions`: the model has none left."""


class Engine:
    """Completes texts with one model.

    Args:
        model: in evaluation mode, on the device where it is to run.
        tokenizer: the model's own.
        batch_size: how many completions are made side by side; one that is finished makes room for the next. More is
            faster and takes more memory; it does not change what comes out (beyond the rounding of floating-point
            sums). Their cache of keys and values takes `CACHE_BYTES` at the most: further ones wait.
        is_int8: compute in int8. The model's own weights are then not used any more but for its embeddings.
        is_drafting: guess several tokens at once where a choice is greedy, and verify them in one pass. It changes
            nothing that comes out.

    Examples:
        >>> engine = biogpt.Engine.from_pretrained("mini")
        >>> engine.generate("Aspirin reduces the risk of", max_new_tokens=2, temperature=0)[0].text
        ' cardiovascular disease'
    """

    def __init__(
        self,
        model: "BioGptForCausalLM | StoredModel",
        tokenizer: BioGptTokenizer,
        batch_size: int = 8,
        *,
        is_int8: bool = False,
        is_drafting: bool = True,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"Got batch_size {batch_size}, expected at least 1.")
        self.network: Network = Network(model, is_int8)
        self.config: BioGptConfig = model.config
        self._model = None if is_int8 else model  # else its weights would be held twice
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self.max_positions: int = model.config.max_position_embeddings
        self._is_drafting = is_drafting
        self._choices = Choices()  # threads may share it: it changes no output
        self._end_id: int = tokenizer.eos_token_id
        self._pad_id: int = tokenizer.pad_token_id
        # Never written: they are no text. The end token is a special token, too, but the one that means something here.
        self._forbidden_ids = sorted(set(tokenizer.all_special_ids) - {self._end_id})

    @property
    def model(self) -> "BioGptForCausalLM":
        """The model. The engine reads it from then on, so that what is changed in it changes here.

        Raises:
            InputError: it is computed in int8: its own weights are not kept.
        """
        if self._model is None:
            raise InputError(
                "The engine computes in int8 and keeps no model in float32. Use the engine itself, or make it with "
                "dtype='float32'."
            )
        if isinstance(self._model, StoredModel):
            from biogpt.model.modeling import BioGptForCausalLM  # takes longer to import than a small model to load

            model = assemble_model(BioGptForCausalLM, self.config, self._model.state_dict())
            model.to(dtype=self.network.dtype)
            self._model, self.network = model, Network(model)
            return model
        return self._model

    def with_batch_size(self, batch_size: int) -> Self:
        """The engine with another batch size; the weights are shared."""
        if batch_size < 1:
            raise InputError(f"Got batch_size {batch_size}, expected at least 1.")
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, batch_size=batch_size)
        return other

    def __reduce__(self) -> Any:
        raise InputError(
            "An engine cannot be pickled or copied: its weights are packed for this process. Make one in each process "
            "with Engine.from_pretrained."
        )

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path = "mini",
        *,
        dtype: str = "auto",
        device: str = "auto",
        batch_size: int = 8,
        num_threads: int | None = None,
    ) -> Self:
        """An engine with a model from disk or from the Hugging Face hub.

            >>> engine = biogpt.Engine.from_pretrained("mini")
            >>> engine.generate("Aspirin reduces the risk of", max_new_tokens=8)[0].stop_reason
            'length'

        Args:
            model: `mini` (bundled), a directory, or a hub id such as `microsoft/biogpt`.
            dtype: the type to compute in, `float32`, `bfloat16` or `int8`; `auto`: the fastest that the processor does
                well, see docs/engine.md. Small models, such as `mini`, are computed in `float32`.
            device: where to run, in PyTorch's terms; `auto`: `cuda` where there is one, else `cpu`.
            batch_size: see the class.
            num_threads: of PyTorch, in the whole process; by default as many as there are.

        Raises:
            InputError: there is no such type or device.
            CheckpointError: there is no such model, or its files are damaged or do not fit together.
        """
        check_dtype(dtype)
        set_num_threads(num_threads)
        place = choose_device(device)
        path = resolve_model(model)
        loaded, is_int8 = load_for_engine(path, place, dtype)
        tokenizer = load_tokenizer(path, loaded.config.vocab_size)
        return cls(loaded, tokenizer, batch_size, is_int8=is_int8)

    @classmethod
    def load(cls, name: str | Path = "mini", device: str | None = None, batch_size: int = 8) -> Self:
        """The former name of `from_pretrained`. Warns; goes with version 0.3."""
        warnings.warn("Engine.load is now Engine.from_pretrained.", FutureWarning, stacklevel=2)
        return cls.from_pretrained(name, device=device or "auto", batch_size=batch_size)

    @overload
    def generate(  # a string is a sequence of strings, too
        self, prompts: str, settings: GenerationSettings = ..., **changes: Any
    ) -> list[Completion]: ...

    @overload
    def generate(
        self, prompts: Sequence[str], settings: GenerationSettings = ..., **changes: Any
    ) -> list[list[Completion]]: ...

    def generate(
        self, prompts: str | Sequence[str], settings: GenerationSettings = DEFAULT_SETTINGS, **changes: Any
    ) -> list[Completion] | list[list[Completion]]:
        """Complete prompts.

        Args:
            prompts: one text, or several.
            settings: how; see `GenerationSettings`.
            changes: single settings by name, such as `max_new_tokens=20`; they win over `settings`.

        Returns:
            For one text its completions, `num_return_sequences` of them (a beam search's best first). For several texts
            a list of such lists, in their order.

        Raises:
            InputError: a prompt cannot be completed, or a setting is unknown or impossible; raised before any is.
        """
        settings = change_settings(settings, changes)
        if isinstance(prompts, str):
            return next(self.generate_each([prompts], settings))
        return list(self.generate_each(prompts, settings))

    def generate_each(
        self, prompts: Sequence[str], settings: GenerationSettings = DEFAULT_SETTINGS, **changes: Any
    ) -> Iterator[list[Completion]]:
        """As `generate` with several texts, but each text's completions are handed over when its batch is done.

        All prompts are checked before this returns, so an `InputError` comes before the first completion is begun.
        """
        settings = change_settings(settings, changes)
        encoded = [(prompt, self._encode(prompt, settings)) for prompt in prompts]
        return self._generate_encoded(encoded, settings)

    def generate_ids(
        self,
        prompts: Sequence[Sequence[int]],
        settings: GenerationSettings = DEFAULT_SETTINGS,
        constraints: Sequence[TokenConstraint] | None = None,
        *,
        return_exceptions: bool = False,
        **changes: Any,
    ) -> Iterator[Completion]:
        """Complete prompts that are ids already: special tokens and whatever else the model was trained to see.

        Completions are handed over in order, as their batch is done. Here `Completion.prompt` is the decoded prompt and
        `Completion.text` the decoded new ids on their own, both without special tokens.

        Args:
            prompts: the ids of each prompt, with the `</s>` that begins a text.
            settings: how; one completion each.
            constraints: one for each prompt. A constrained completion always ends with the end token, however few
                `max_new_tokens` there are, and tokens that must come are read together, in one pass.
            return_exceptions: a prompt that cannot be completed, or whose constraint fails on the way, gets its
                exception in place of a completion, and the others are completed all the same.
            changes: single settings by name; they win over `settings`.

        Raises:
            InputError: a prompt cannot be completed, or not with these settings; raised before any is.
            Exception: of a constraint that fails on the way, in its prompt's turn.
        """
        settings = change_settings(settings, changes)
        if settings.num_return_sequences > 1:
            raise InputError(
                f"Got num_return_sequences {settings.num_return_sequences} for prompts given as ids, expected 1. "
                "Repeat the call with other seeds, or leave out num_return_sequences."
            )
        if constraints is not None:
            _check_rules(constraints, len(prompts), settings)
        failed: dict[int, Exception] = {}
        held: list[tuple[Sequence[int], TokenConstraint | None]] = []
        for index, (ids, constraint) in enumerate(zip(prompts, constraints or repeat(None))):  # noqa: B905
            name = f"Prompt {index + 1}"
            try:
                self._check_ids(ids, name)
                self._check_room(len(ids), name, settings)
                if constraint:
                    _begin(constraint, self._room(ids, settings), name)  # whether that is enough
                held.append((ids, constraint))
            except Exception as error:
                if not return_exceptions:
                    raise
                failed[index] = error
        rows = (
            self._make_row(
                self.tokenizer.decode(list(ids), skip_special_tokens=True), list(ids), settings, 0, constraint
            )
            for ids, constraint in held
        )
        completions = (
            row.error or self._complete(row, self.tokenizer.decode(row.new_ids, skip_special_tokens=True))
            for row in self._finish(rows, settings)
        )
        return _merge(completions, len(prompts), failed, return_exceptions)

    @torch.inference_mode()
    def score_ids(self, prompt_ids: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[list[float]]:
        """How probable the model holds each of several continuations of one prompt.

        The prompt is read once, however many continuations there are. `batch_size` of them are read at once, those of
        similar length together; fewer where they are long.

        Args:
            prompt_ids: with the `</s>` that begins a text.
            continuations: the ids of each; with the end token where ending there is to count.

        Returns:
            For each continuation the log-probabilities (nats) of its ids, each given all before it.

        Raises:
            InputError: ids that the model lacks, or more than it has positions; raised before any is scored.
        """
        self._check_ids(prompt_ids, "The prompt")
        for number, ids in enumerate(continuations, start=1):
            self._check_ids(ids, f"Continuation {number}")
            if len(prompt_ids) + len(ids) - 1 > self.max_positions:
                raise InputError(
                    f"Continuation {number} has {len(ids)} tokens after {len(prompt_ids)} of the prompt, expected at "
                    f"most {self.max_positions + 1 - len(prompt_ids)}: the model has {self.max_positions} positions. "
                    "Shorten the prompt."
                )
        num_prompt = len(prompt_ids)
        cache = self.network.make_cache(1, num_prompt, CACHE_BYTES)
        first = self.network.score([Segment(prompt_ids)], cache)  # (1, V)
        scores: dict[int, list[float]] = {}
        by_length = sorted(range(len(continuations)), key=lambda index: len(continuations[index]))
        num_copies = 1
        max_places = CACHE_BYTES // self.network.bytes_per_token
        while len(scores) < len(by_length):
            batch: list[int] = []
            for index in by_length[len(scores) :][: self.batch_size]:
                num_ids = len(continuations[index])
                size = (len(batch) + 1) * num_ids
                if batch and (size > MAX_PROMPT_TOKENS or size + (len(batch) + 1) * num_prompt > max_places):
                    break
                batch.append(index)
            read = [index for index in batch if len(continuations[index]) > 1]
            later = first[:0]
            if read:
                cache.reserve(len(read), num_prompt + len(continuations[read[-1]]))
                for row in range(num_copies, len(read)):
                    cache.move(0, row, num_prompt)
                num_copies = min(max(num_copies, len(read)), cache.num_rows)
                segments = [
                    Segment(continuations[index][:-1], row, num_prompt, kept=len(continuations[index]) - 1)
                    for row, index in enumerate(read)
                ]
                later = self.network.score(segments, cache)  # (K, V)
            place = 0
            for index in batch:
                ids = list(continuations[index])
                logits = torch.cat([first, later[place : place + len(ids) - 1]])  # (T, V)
                place += len(ids) - 1
                values = logits[range(len(ids)), ids] - logits.logsumexp(dim=-1)
                scores[index] = values.tolist()
        return [scores[index] for index in range(len(continuations))]

    def search_sequences(
        self, prompt_ids: Sequence[int], constraint: TokenConstraint, threshold: float
    ) -> list[ScoredSequence]:
        """The sequences that a constraint allows after a prompt and whose probability reaches a threshold.

        Args:
            prompt_ids: with the `</s>` that begins a text.
            constraint: of the texts; see `TokenConstraint.once`.
            threshold: of a text among all that the constraint allows. There are at most 1 / `threshold` of them,
                and as many are read at once at the most.

        Returns:
            The most probable first.

        Raises:
            InputError: the prompt cannot be completed, or the probability is none.
        """
        if not 0 < threshold <= 1:
            raise InputError(f"Got threshold {threshold}, expected above 0 and at most 1.")
        self._check_ids(prompt_ids, "The prompt")
        self._check_room(len(prompt_ids), "The prompt", DEFAULT_SETTINGS)
        return next(self.search_each([prompt_ids], [constraint], threshold))

    def search_each(
        self,
        prompts: Sequence[Sequence[int]],
        constraints: Sequence[TokenConstraint],
        threshold: float,
        *,
        return_exceptions: bool = False,
    ) -> Iterator[list[ScoredSequence]]:
        """As `search_sequences` with many prompts, whose searches run side by side; in the prompts' order.

        All prompts and constraints are checked before this returns, so that no search is lost by another one's error.

        Args:
            prompts: the ids of each, with the `</s>` that begins a text.
            constraints: one for each prompt.
            threshold: see `search_sequences`.
            return_exceptions: a prompt that cannot be completed, or whose constraint fails on the way, gets its
                exception in place of sequences, and the others are searched all the same.

        Raises:
            InputError: a prompt cannot be completed, not within its constraint, or the probability is none.
            Exception: of a constraint that fails on the way, in its prompt's turn.
        """
        if not 0 < threshold <= 1:
            raise InputError(f"Got threshold {threshold}, expected above 0 and at most 1.")
        failed: dict[int, Exception] = {}
        begun: deque[tuple[Sequence[int], ConstraintState]] = deque()
        for index, (ids, constraint) in enumerate(zip(prompts, constraints, strict=True)):
            name = "The prompt" if len(prompts) == 1 else f"Prompt {index + 1}"
            try:
                self._check_ids(ids, name)
                self._check_room(len(ids), name, DEFAULT_SETTINGS)
                begun.append((ids, _begin(constraint, self.max_positions - len(ids), f"Prompt {index + 1}")))
            except Exception as error:
                if not return_exceptions:
                    raise
                failed[index] = error
        requests = (SearchRequest(*begun.popleft(), threshold) for _ in range(len(begun)))
        end_id = self._end_id if self._is_drafting else None
        num_tokens = max((len(ids) for ids, _ in begun), default=0) + _SEARCHED
        max_rows = min(self.batch_size, max(1, len(begun)))
        found = search_sequences(self.network, requests, max_rows, CACHE_BYTES, end_id, num_tokens, self._choices)
        return _merge(found, len(prompts), failed, return_exceptions)

    def stream(self, prompt: str, settings: GenerationSettings = DEFAULT_SETTINGS, **changes: Any) -> Iterator[str]:
        """Complete one prompt, handing over the text as it is made.

        The parts never change afterwards: joined, they are `generate(prompt, settings)[0].text`.

        Args:
            prompt: the text to continue.
            settings: how; one completion without beams, because beams settle on a text only at its end.
            changes: single settings by name; they win over `settings`.

        Raises:
            InputError: the prompt cannot be completed, or not with these settings; raised at once.
        """
        settings = change_settings(settings, changes)
        if settings.num_beams > 1 or settings.num_return_sequences > 1:
            raise InputError(
                f"Got num_beams {settings.num_beams} and num_return_sequences {settings.num_return_sequences}, "
                "expected 1 of each for a stream. Use generate, or correct the settings."
            )
        return self._stream_row(self._make_row(prompt, self._encode(prompt, settings), settings, 0), settings)

    def _encode(self, prompt: str, settings: GenerationSettings) -> list[int]:
        """The ids of a prompt that can be completed."""
        check_prompt(prompt)
        ids: list[int] = self.tokenizer(prompt, verbose=False)["input_ids"]
        if len(ids) < 2:  # nothing but the </s> that begins every text
            raise InputError(
                f"The prompt {shorten(prompt)} has no character that the tokenizer keeps, expected some text to "
                "continue. Give at least one word."
            )
        self._check_room(len(ids), f"The prompt {shorten(prompt)}", settings)
        return ids

    def _check_ids(self, ids: Sequence[int], name: str) -> None:
        num_ids = self.config.vocab_size
        if len(ids) == 0 or not all(0 <= index < num_ids for index in ids):
            wrong = next((index for index in ids if not 0 <= index < num_ids), "none")
            raise InputError(
                f"{name} has the id {wrong}, expected at least one id, each from 0 to {num_ids - 1}. Encode the prompt "
                "with the model's own tokenizer."
            )

    def _check_room(self, num_tokens: int, name: str, settings: GenerationSettings) -> None:
        num_needed = max(settings.min_new_tokens, 1)
        if num_tokens + num_needed > self.max_positions:
            raise InputError(
                f"{name} has {num_tokens} tokens, expected at most "
                f"{self.max_positions - num_needed}: the model has {self.max_positions} positions, and {num_needed} "
                "must be left for new tokens. Shorten the prompt"
                + (" or lower min_new_tokens." if num_needed > 1 else ".")
            )

    def _room(self, prompt_ids: Sequence[int], settings: GenerationSettings) -> int:
        """How many tokens there may be after a prompt."""
        return min(settings.max_new_tokens, self.max_positions - len(prompt_ids))

    def _make_row(
        self,
        prompt: str,
        ids: list[int],
        settings: GenerationSettings,
        index: int,
        constraint: TokenConstraint | None = None,
    ) -> Row:
        """The prompt's completion number `index`, not begun."""
        # The seed covers the prompt, so that a text's completions do not depend on the texts around it, and the hash
        # keeps the numbers of different prompts independent.
        seed = hashlib.sha256(f"{settings.seed} {index} {prompt}".encode()).digest()
        room = self._room(ids, settings)
        row = Row(
            prompt=prompt,
            prompt_ids=ids,
            max_new_tokens=room,
            limit_reason="length" if settings.max_new_tokens == room else "positions",
            uniforms=random.Random(int.from_bytes(seed)),
        )
        try:
            row.state = constraint.begin(room) if constraint else None
        except Exception as error:  # of this prompt alone
            row.error = error
        return row

    def _generate_encoded(
        self, encoded: Sequence[tuple[str, list[int]]], settings: GenerationSettings
    ) -> Iterator[list[Completion]]:
        rows = (
            self._make_row(prompt, ids, settings, index)
            for prompt, ids in encoded
            for index in range(settings.num_return_sequences)
        )
        finished = self._finish(rows, settings)
        while done := list(islice(finished, settings.num_return_sequences)):
            for row in done:
                if row.error is not None:
                    raise row.error
            yield [self._complete(row, self._text(row)) for row in done]

    def _finish(self, rows: Iterator[Row], settings: GenerationSettings) -> Iterator[Row]:
        """Rows with their new ids, in order."""
        if settings.num_beams == 1:
            yield from self._make_scheduler(settings).run(rows)
            return
        while batch := list(islice(rows, settings.num_return_sequences)):
            try:
                self._search_beams(batch, settings)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                for row in batch:
                    row.error = error
            yield from batch

    def _stream_row(self, row: Row, settings: GenerationSettings) -> Iterator[str]:
        continuation = self._continue(row)
        scheduler = self._make_scheduler(settings)
        scheduler.add(row)
        num_shown = 0
        while not row.is_finished:
            scheduler.step()
            new_ids = row.new_ids[num_shown:]
            num_shown += len(new_ids)
            if text := continuation.add(self._tokens_of(new_ids)):
                yield text
        if row.error is not None:
            raise row.error
        if text := continuation.finish():
            yield text

    def _make_scheduler(self, settings: GenerationSettings) -> Scheduler:
        return Scheduler(
            self.network,
            settings,
            end_id=self._end_id,
            forbidden_ids=self._forbidden_ids,
            max_rows=self.batch_size,
            max_bytes=CACHE_BYTES,
            is_drafting=self._is_drafting,
            choices=self._choices,
        )

    def _search_beams(self, rows: Sequence[Row], settings: GenerationSettings) -> None:
        """Finish the rows of one prompt by a beam search, best first."""
        ids = rows[0].prompt_ids
        found = search_beams(
            self.network,
            ids,
            num_beams=settings.num_beams,
            max_new_tokens=rows[0].max_new_tokens,
            min_new_tokens=settings.min_new_tokens,
            forbidden_ids=self._forbidden_ids,
            end_id=self._end_id,
        )
        found = found[: len(rows)]
        for row, new_ids, scores in zip(rows, found, self.score_ids(ids, found), strict=True):
            for token_id, value in zip(new_ids, scores, strict=True):
                row.take(token_id, [value], self._end_id)

    def _complete(self, row: Row, text: str) -> Completion:
        assert row.stop_reason is not None
        token_ids = row.new_ids[:-1] if row.stop_reason == "end" else row.new_ids
        return Completion(
            prompt=row.prompt,
            text=text,
            token_ids=tuple(token_ids),
            tokens=tuple(self._tokens_of(token_ids)),
            token_scores=tuple(row.scores),
            score=sum(row.scores) / len(row.scores),
            stop_reason=row.stop_reason,
        )

    def _text(self, row: Row) -> str:
        """What must be written after the prompt to read well."""
        continuation = self._continue(row)
        continuation.add(self._tokens_of(row.new_ids))
        continuation.finish()
        return continuation.text

    def _continue(self, row: Row) -> Continuation:
        return Continuation(row.prompt, self._tokens_of(row.prompt_ids), self.tokenizer.all_special_tokens)

    def _tokens_of(self, ids: Sequence[int]) -> list[str]:
        tokens: list[str] = self.tokenizer.convert_ids_to_tokens(list(ids))
        return tokens


def set_num_threads(num_threads: int | None) -> None:
    """Have PyTorch compute on so many threads, in the whole process; None: leave it as it is.

    Raises:
        InputError: less than one.
    """
    if num_threads is None:
        return
    if num_threads < 1:
        raise InputError(f"Got num_threads {num_threads}, expected at least 1.")
    torch.set_num_threads(num_threads)


def _begin(constraint: TokenConstraint, max_new_tokens: int, name: str) -> ConstraintState:
    """A constraint's state; the error where there can be none names the prompt."""
    try:
        return constraint.begin(max_new_tokens)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _check_rules(constraints: Sequence[TokenConstraint], num_prompts: int, settings: GenerationSettings) -> None:
    if len(constraints) != num_prompts:
        raise InputError(f"Got {len(constraints)} constraints for {num_prompts} prompts, expected one each.")
    for name, default in (("num_beams", 1), ("min_new_tokens", 0)):
        if getattr(settings, name) != default:
            raise InputError(
                f"Got constraints and {name} {getattr(settings, name)}, expected only one: a constraint decides "
                f"where a text ends, and holds one text, not beams. Leave out {name} or the constraints."
            )


def _merge(results: Iterator[Any], num: int, failed: Mapping[int, Exception], return_exceptions: bool) -> Iterator[Any]:
    """Results in the order of their prompts, with the exceptions of those that failed before they began; or raise."""
    for index in range(num):
        result = failed[index] if index in failed else next(results)
        if isinstance(result, Exception) and not return_exceptions:
            raise result
        yield result
