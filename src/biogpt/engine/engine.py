"""Engine: prompts, as texts or as ids -> completions.

The one place where a tokenizer, a model and a way to choose tokens meet. It knows nothing of tasks: what a prompt asks,
and how its completion is to be read, is for its callers.

Shapes in comments: B rows, T new tokens, S tokens seen so far including the new ones, V vocabulary.
"""

import hashlib
import logging
import random
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, repeat
from pathlib import Path
from typing import Any, Literal, Self, overload

import torch
from transformers import GenerationConfig

from biogpt.decoding.constraint import ConstraintState, TokenConstraint
from biogpt.decoding.sampling import choose_greedily, draw
from biogpt.decoding.settings import GenerationSettings, change_settings
from biogpt.decoding.text_stream import Continuation
from biogpt.engine.padding import check_numbers, pad_left
from biogpt.engine.prompts import check_prompt, shorten
from biogpt.engine.search import ScoredSequence, search_sequences
from biogpt.errors import InputError, suggest
from biogpt.model.cache import make_cache
from biogpt.model.checkpoint import load_tokenizer, resolve_model
from biogpt.model.loading import choose_device, load_causal_lm
from biogpt.model.modeling import BioGptForCausalLM
from biogpt.text.tokenizer import BioGptTokenizer

_logger = logging.getLogger(__name__)

StopReason = Literal["end", "length", "positions"]

DEFAULT_SETTINGS = GenerationSettings()

DTYPES = {"auto": torch.float32, "float32": torch.float32, "bfloat16": torch.bfloat16}


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
    """The vocabulary's pieces of these ids."""
    token_scores: tuple[float, ...]
    """Log-probability (nats) of each of `token_ids`, then of the end token where there is one, each under the model's
    own distribution given all before it: before temperature, top-k, top-p and what was forbidden."""
    score: float
    """The mean of `token_scores`."""
    stop_reason: StopReason
    """`end`: the model ended the text. `length`: `max_new_tokens` are there. `positions`: the model has none left."""


@dataclass
class _Row:
    """One completion in the making."""

    prompt: str
    prompt_ids: list[int]
    max_new_tokens: int
    limit_reason: StopReason  # why max_new_tokens is what it is
    uniforms: random.Random
    state: ConstraintState | None = None  # of its constraint
    new_ids: list[int] = field(default_factory=list)  # with the end token, where there is one
    scores: list[float] = field(default_factory=list)  # of new_ids, but for those that were forced last
    unread_ids: list[int] = field(default_factory=list)  # what the model has to read next
    num_forced: int = 0  # how many of them were forced
    stop_reason: StopReason | None = None

    def begin(self, end_id: int) -> None:
        """Have the prompt read, and what must follow it."""
        self.unread_ids = list(self.prompt_ids)
        self._force(end_id)

    def take(self, token_id: int, scores: Sequence[float], end_id: int) -> int:
        """Go on by one token.

        Args:
            token_id: what was chosen.
            scores: of the tokens that were forced before it, and of itself.
            end_id: ends the row.

        Returns:
            How many tokens that the model has read are void from here on, the last ones.
        """
        self.new_ids.append(token_id)
        self.scores += scores
        num_void = self.state.accept(token_id) if self.state else 0
        if num_void:
            # The token before the void ones is read again: what followed it was chosen by what the model said there.
            del self.new_ids[-num_void:], self.scores[-num_void:]
        self.unread_ids = [[*self.prompt_ids, *self.new_ids][-1]]
        if self.new_ids[-1] == end_id:
            self.stop_reason = "end"
        elif len(self.new_ids) >= self.max_new_tokens:
            self.stop_reason = self.limit_reason
        if self.stop_reason:
            self.unread_ids = []
        self._force(end_id)
        return num_void

    def _force(self, end_id: int) -> None:
        """Take what must come next, short of the end, so that it is read in one pass."""
        forced = []
        if self.state:
            forced = [index for index in self.state.fast_forward() if index != end_id]
            for index in forced:
                self.state.accept(index)
        self.new_ids += forced
        self.unread_ids += forced
        self.num_forced = len(forced)


class Engine:
    """Completes texts with one model.

    Args:
        model: in evaluation mode, on the device where it shall run.
        tokenizer: the model's own.
        batch_size: how many completions are made at once. More is faster and takes more memory; it does not change what
            comes out (beyond the rounding of floating-point sums).

    Examples:
        >>> engine = biogpt.Engine.from_pretrained("mini")
        >>> engine.generate("Aspirin reduces the risk of", max_new_tokens=2, temperature=0)[0].text
        ' cardiovascular disease'
    """

    def __init__(self, model: BioGptForCausalLM, tokenizer: BioGptTokenizer, batch_size: int = 8) -> None:
        if batch_size < 1:
            raise InputError(f"Got batch_size {batch_size}, expected at least 1.")
        self.model = model
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self.max_positions: int = model.config.max_position_embeddings
        self._end_id: int = tokenizer.eos_token_id
        self._pad_id: int = tokenizer.pad_token_id
        # Never written: they are no text. The end token is a special token, too, but the one that means something here.
        self._forbidden_ids = sorted(set(tokenizer.all_special_ids) - {self._end_id})

    @classmethod
    def from_pretrained(
        cls, model: str | Path = "mini", *, dtype: str = "auto", device: str = "auto", batch_size: int = 8
    ) -> Self:
        """An engine with a model from disk or from the Hugging Face hub.

            >>> engine = biogpt.Engine.from_pretrained("mini")
            >>> engine.generate("Aspirin reduces the risk of", max_new_tokens=8)[0].stop_reason
            'length'

        Args:
            model: `mini` (bundled), a directory, or a hub id such as `microsoft/biogpt`.
            dtype: the type to compute in, `float32` or `bfloat16`; `auto` is `float32`.
            device: where to run, in PyTorch's terms; `auto`: `cuda` where there is one, else `cpu`.
            batch_size: see the class.

        Raises:
            InputError: there is no such type or device.
            CheckpointError: there is no such model, or its files are damaged or do not fit together.
        """
        if dtype not in DTYPES:
            raise InputError(
                f"Unknown dtype '{dtype}'.{suggest(str(dtype), DTYPES)} Expected one of {', '.join(DTYPES)}."
            )
        place = choose_device(device)
        path = resolve_model(model)
        loaded = load_causal_lm(path)
        tokenizer = load_tokenizer(path, loaded.config.vocab_size)
        loaded.to(device=place, dtype=DTYPES[dtype])
        _logger.info("Loaded %s on %s: %s parameters", model, place, f"{loaded.num_parameters():,}")
        return cls(loaded, tokenizer, batch_size)

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
            changes: single settings by name; they win over `settings`.

        Raises:
            InputError: a prompt cannot be completed, or not with these settings; raised before any is.
        """
        settings = change_settings(settings, changes)
        if settings.num_return_sequences > 1:
            raise InputError(
                f"Got num_return_sequences {settings.num_return_sequences} for prompts given as ids, expected 1. "
                "Repeat the call with other seeds, or leave out num_return_sequences."
            )
        if constraints is not None:
            _check_rules(constraints, len(prompts), settings)
        for number, ids in enumerate(prompts, start=1):
            self._check_ids(ids, f"Prompt {number}")
            self._check_room(len(ids), f"Prompt {number}", settings)
        held: list[tuple[Sequence[int], TokenConstraint | None]] = list(zip(prompts, constraints or repeat(None)))  # noqa: B905
        for ids, constraint in held:
            if constraint:
                constraint.begin(self._room(ids, settings))  # whether that is enough
        rows = (
            self._make_row(
                self.tokenizer.decode(list(ids), skip_special_tokens=True), list(ids), settings, 0, constraint
            )
            for ids, constraint in held
        )
        return (
            self._complete(row, self.tokenizer.decode(row.new_ids, skip_special_tokens=True))
            for row in self._finish(rows, settings)
        )

    @torch.inference_mode()
    def score_ids(self, prompt_ids: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[list[float]]:
        """How probable the model holds each of several continuations of one prompt.

        The prompt is read once, however many continuations there are. `batch_size` of them are read at once, those of
        similar length together.

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
        device = self.model.device
        prompt_cache = make_cache(self.model.config)
        prompt = torch.tensor([list(prompt_ids)], device=device)
        first = self.model(input_ids=prompt, cache=prompt_cache, logits_to_keep=1).logits.float()  # (1, 1, V)
        layers = [(layer.keys, layer.values) for layer in prompt_cache.layers]  # (1, H, S, D) each
        scores: dict[int, list[float]] = {}
        by_length = sorted(range(len(continuations)), key=lambda index: len(continuations[index]))
        for start in range(0, len(by_length), self.batch_size):
            batch = by_length[start : start + self.batch_size]
            width = len(continuations[batch[-1]])
            # Padding stands on the right, where no scored token can see it: no mask is needed.
            targets = torch.full((len(batch), width), self._pad_id, device=device)  # (B, T)
            for row, index in enumerate(batch):
                targets[row, : len(continuations[index])] = torch.tensor(list(continuations[index]), device=device)
            logits = first.expand(len(batch), -1, -1)  # (B, 1, V)
            if width > 1:
                cache = tuple(
                    (keys.expand(len(batch), -1, -1, -1), values.expand(len(batch), -1, -1, -1))
                    for keys, values in layers
                )
                later = self.model(input_ids=targets[:, :-1], cache=cache).logits.float()
                logits = torch.cat([logits, later], dim=1)  # (B, T, V)
            values = logits.log_softmax(dim=-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1).tolist()
            scores |= {index: row[: len(continuations[index])] for index, row in zip(batch, values, strict=True)}
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
        state = constraint.begin(self.max_positions - len(prompt_ids))
        return search_sequences(self.model, prompt_ids, state, threshold, self._pad_id)

    def stream(self, prompt: str, settings: GenerationSettings = DEFAULT_SETTINGS, **changes: Any) -> Iterator[str]:
        """Complete one prompt, handing over the text as it is made.

        The pieces never change afterwards: joined, they are `generate(prompt, settings)[0].text`.

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
        num_ids = self.model.config.vocab_size
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
    ) -> _Row:
        """The prompt's completion number `index`, not begun."""
        # The seed covers the prompt, so that a text's completions do not depend on the texts around it, and the hash
        # keeps the numbers of different prompts independent.
        seed = hashlib.sha256(f"{settings.seed} {index} {prompt}".encode()).digest()
        room = self._room(ids, settings)
        return _Row(
            prompt=prompt,
            prompt_ids=ids,
            max_new_tokens=room,
            limit_reason="length" if settings.max_new_tokens == room else "positions",
            uniforms=random.Random(int.from_bytes(seed)),
            state=constraint.begin(room) if constraint else None,
        )

    def _generate_encoded(
        self, encoded: Sequence[tuple[str, list[int]]], settings: GenerationSettings
    ) -> Iterator[list[Completion]]:
        rows = (
            self._make_row(prompt, ids, settings, index)
            for prompt, ids in encoded
            for index in range(settings.num_return_sequences)
        )
        finished = self._finish(rows, settings)
        while completions := [
            self._complete(row, self._text(row)) for row in islice(finished, settings.num_return_sequences)
        ]:
            yield completions

    def _finish(self, rows: Iterator[_Row], settings: GenerationSettings) -> Iterator[_Row]:
        """Rows with their new ids, in order, batch by batch."""
        is_beam_search = settings.num_beams > 1
        while batch := list(islice(rows, settings.num_return_sequences if is_beam_search else self.batch_size)):
            if is_beam_search:
                self._search_beams(batch, settings)
            else:
                for _ in self._advance(batch, settings):
                    pass
            yield from batch

    def _stream_row(self, row: _Row, settings: GenerationSettings) -> Iterator[str]:
        continuation = self._continue(row)
        for _ in self._advance([row], settings):
            if text := continuation.add(self._pieces(row.new_ids[-1:])):
                yield text
        if text := continuation.finish():
            yield text

    def _advance(self, rows: Sequence[_Row], settings: GenerationSettings) -> Iterator[None]:
        """Give every row that has not stopped one more token at a time, until all have stopped."""
        for row in rows:
            row.begin(self._end_id)
        device = self.model.device
        attention_mask = torch.zeros((len(rows), 0), dtype=torch.long, device=device)  # (B, S)
        cache = make_cache(self.model.config)
        while any(row.stop_reason is None for row in rows):
            # A row that has less to read, or has stopped, reads padding first, which no one sees and which takes no
            # position. So the last token of each stands in the last column.
            input_ids, is_read = pad_left([row.unread_ids for row in rows], self._pad_id, device)  # (B, T) each
            attention_mask = torch.cat([attention_mask, is_read], dim=1)
            num_scored = 1 + max(row.num_forced for row in rows)
            with torch.inference_mode():
                output = self.model(
                    input_ids=input_ids,
                    attention_mask=attention_mask,
                    cache=cache,
                    logits_to_keep=num_scored,
                )
                logits = output.logits[:, -num_scored:].float()  # (B, K, V): K scored tokens, the new one the last
                next_ids = self._choose(logits[:, -1], rows, settings).unsqueeze(-1)  # (B, 1)
                scored_ids = torch.cat([input_ids[:, input_ids.shape[1] - num_scored + 1 :], next_ids], dim=1)
                scores = logits.log_softmax(dim=-1).gather(-1, scored_ids.unsqueeze(-1)).squeeze(-1)  # (B, K)
            for index, (row, (token_id,), values) in enumerate(
                zip(rows, next_ids.tolist(), scores.tolist(), strict=True)
            ):
                if row.stop_reason is None:
                    num_void = row.take(token_id, values[num_scored - 1 - row.num_forced :], self._end_id)
                    if num_void:
                        attention_mask[index, attention_mask[index].nonzero().squeeze(-1)[-num_void:]] = 0
            yield

    def _choose(self, logits: torch.Tensor, rows: Sequence[_Row], settings: GenerationSettings) -> torch.Tensor:
        """The next id of each row, (B,), out of its logits (B, V)."""
        check_numbers(logits)
        allowed = logits.clone()
        allowed[:, self._forbidden_ids] = float("-inf")
        for index, row in enumerate(rows):
            if row.state and row.stop_reason is None:
                ids = list(row.state.allowed())
                allowed[index] = float("-inf")
                allowed[index, ids] = logits[index, ids]
        too_short = [index for index, row in enumerate(rows) if len(row.new_ids) < settings.min_new_tokens]
        allowed[too_short, self._end_id] = float("-inf")
        if not settings.is_sampling:
            return choose_greedily(allowed)
        uniforms = torch.tensor([row.uniforms.random() for row in rows], dtype=torch.float64, device=logits.device)
        return draw(allowed, uniforms, settings.temperature, settings.top_k, settings.top_p)

    def _search_beams(self, rows: Sequence[_Row], settings: GenerationSettings) -> None:
        """Finish the rows of one prompt by a beam search, best first. Its beams are a batch already."""
        ids = rows[0].prompt_ids
        # Everything that changes the outcome is said here: what is not would come from the model's generation_config.
        config = GenerationConfig(
            max_new_tokens=rows[0].max_new_tokens,
            min_new_tokens=settings.min_new_tokens,
            num_beams=settings.num_beams,
            num_return_sequences=settings.num_return_sequences,
            do_sample=False,
            use_cache=True,
            early_stopping=True,  # as fairseq: done when there are as many finished texts as beams
            length_penalty=1.0,
            repetition_penalty=1.0,
            no_repeat_ngram_size=0,
            suppress_tokens=self._forbidden_ids,
            eos_token_id=self._end_id,
            pad_token_id=self._pad_id,
            bos_token_id=self.tokenizer.bos_token_id,
        )
        input_ids = torch.tensor([ids], device=self.model.device)
        sequences = self.model.generate(
            input_ids, attention_mask=torch.ones_like(input_ids), generation_config=config
        )  # (num_return_sequences, S), padded on the right
        for row, sequence in zip(rows, sequences.tolist(), strict=True):
            new_ids = sequence[len(ids) :]
            if self._end_id in new_ids:
                new_ids = new_ids[: new_ids.index(self._end_id) + 1]
            for token_id, value in zip(new_ids, *self.score_ids(ids, [new_ids]), strict=True):
                row.take(token_id, [value], self._end_id)

    def _complete(self, row: _Row, text: str) -> Completion:
        assert row.stop_reason is not None
        token_ids = row.new_ids[:-1] if row.stop_reason == "end" else row.new_ids
        return Completion(
            prompt=row.prompt,
            text=text,
            token_ids=tuple(token_ids),
            tokens=tuple(self._pieces(token_ids)),
            token_scores=tuple(row.scores),
            score=sum(row.scores) / len(row.scores),
            stop_reason=row.stop_reason,
        )

    def _text(self, row: _Row) -> str:
        """What must be written after the prompt to read well."""
        continuation = self._continue(row)
        continuation.add(self._pieces(row.new_ids))
        continuation.finish()
        return continuation.text

    def _continue(self, row: _Row) -> Continuation:
        return Continuation(row.prompt, self._pieces(row.prompt_ids), self.tokenizer.all_special_tokens)

    def _pieces(self, ids: Sequence[int]) -> list[str]:
        pieces: list[str] = self.tokenizer.convert_ids_to_tokens(list(ids))
        return pieces


def _check_rules(constraints: Sequence[TokenConstraint], num_prompts: int, settings: GenerationSettings) -> None:
    if len(constraints) != num_prompts:
        raise InputError(f"Got {len(constraints)} constraints for {num_prompts} prompts, expected one each.")
    for name, default in (("num_beams", 1), ("min_new_tokens", 0)):
        if getattr(settings, name) != default:
            raise InputError(
                f"Got constraints and {name} {getattr(settings, name)}, expected only one: a constraint decides "
                f"where a text ends, and holds one text, not beams. Leave out {name} or the constraints."
            )
