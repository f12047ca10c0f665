"""Predictor: examples -> predictions, by one fine-tuned model, whatever its head.

A language model writes the target and the task reads it; a token-classification head tags words; a sequence-
classification head weighs the choices. Here a task and a model meet; how texts become examples, and what becomes of
predictions, is for the callers.

Shapes in comments: B rows, T tokens, L labels.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Self

import torch

from biogpt.decoding.constraint import TokenConstraint, compile_constraint
from biogpt.decoding.settings import GenerationSettings
from biogpt.engine.cores import count_processes, count_side_by_side, map_side_by_side
from biogpt.engine.engine import Completion, Engine
from biogpt.engine.loading import load_any_for_engine
from biogpt.engine.network import Network, Segment
from biogpt.engine.processor import check_dtype
from biogpt.engine.search import ScoredSequence
from biogpt.errors import CheckpointError, InputError
from biogpt.extraction.calibration import calibrate, search_threshold
from biogpt.extraction.item_scores import score_items
from biogpt.extraction.tagging import read_mentions, tag_groups
from biogpt.extraction.task_models import TaskModel, find_task_model
from biogpt.model.checkpoint import load_tokenizer
from biogpt.model.loading import choose_device
from biogpt.model.stored import StoredModel
from biogpt.tasks.encoding import encode_prompt_or_cut, encode_words, head_labels, learned_ids
from biogpt.tasks.example import Example, Item, Prediction
from biogpt.tasks.kinds.labels import label_slot
from biogpt.tasks.task import Task
from biogpt.tasks.task_directory import TASK_FILE
from biogpt.text.tokenizer import BioGptTokenizer

if TYPE_CHECKING:  # a language model is asked without these classes, whose import takes longer than reading it
    from typing_extensions import TypeIs

    from biogpt.model.modeling import (
        BioGptForCausalLM,
        BioGptForSequenceClassification,
        BioGptForTokenClassification,
    )

    Model = BioGptForCausalLM | BioGptForTokenClassification | BioGptForSequenceClassification

NO_LABEL = "empty"
"""The choice that says that no other one holds, as in HoC."""

LABEL_THRESHOLD = 0.5
"""The probability from which on a label holds, where several may and the model has no `threshold`."""

_TOKENS_PER_PASS = 1024  # more do not fit into the processor's own caches, and are read more slowly
_TOKENS_PER_TEXT = 256  # of a batch: texts are shorter and longer
_MAX_FILLED = 0.06  # tokens that make rows as long as others, as a share of all

_NUM_BATCHES = 4  # examples of that many batches are sorted by length, so that a batch's rows are about as long


class Predictor:
    """Predicts with one model.

    Args:
        task: what the model was fine-tuned for.
        model: in evaluation mode, on the device where it is to run.
        tokenizer: the model's own.
        batch_size: how many texts are read at once. More is faster and takes more memory. Where all relations
            above a threshold are searched for, each has up to 1 / `threshold` beginnings of a sentence.
        is_int8: compute in int8.

    Raises:
        CheckpointError: the model's labels are not the task's.
    """

    def __init__(
        self,
        task: Task,
        model: "Model | StoredModel",
        tokenizer: BioGptTokenizer,
        batch_size: int = 8,
        *,
        is_int8: bool = False,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"Got batch_size {batch_size}, expected at least 1.")
        self.task = task
        self._model: Model | None = None  # a language model is the engine's
        self._labels: Mapping[int, str] = model.config.id2label
        self._hidden_size: int = model.config.hidden_size
        self._is_multiple: bool = model.config.problem_type == "multi_label_classification"
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self._engine: Engine | None = None
        if _is_language_model(model):
            self._engine = Engine(model, tokenizer, batch_size, is_int8=is_int8)
            self._network = self._engine.network
        else:
            _check_labels(task, model)
            self._model = None if is_int8 else model
            self._network = Network(model, is_int8)

    @property
    def model(self) -> "Model":
        """The model.

        Raises:
            InputError: it is computed in int8: its own weights are not kept.
        """
        if self._engine is not None and not self._network.is_int8:
            return self._engine.model
        if self._model is None:
            raise InputError(
                "The predictor computes in int8 and keeps no model in float32. Make it with dtype='float32'."
            )
        return self._model

    @property
    def window_size(self) -> int:
        """Predictions come in groups of so many examples. What is in a group can, by the rounding of floating-point
        sums, touch the last digits of its scores; whoever resumes a run begins with a whole group."""
        return _NUM_BATCHES * self.batch_size

    @property
    def group_size(self) -> int:
        """Documents that are best asked about together: windows for all that runs side by side."""
        num_side_by_side = count_side_by_side(self._network.device)
        num_windows = 1 if num_side_by_side == 1 else 2 * num_side_by_side
        # The sentences of a few documents fill a window.
        return num_windows * (self.batch_size if self.task.kind.reads_sentences else self.window_size)

    @property
    def num_processes(self) -> int:
        """How many processes, each with the model, are best asked side by side about many documents."""
        return count_processes(self._network.device, self._hidden_size)

    @property
    def _searches(self) -> bool:
        """Whether all relations above the threshold are searched for, one text after the other."""
        return self.task.kind.threshold_of == "sequences" and bool(self.task.inference.threshold)

    @classmethod
    def load(
        cls,
        model: str | Path | None = None,
        task: str | Path | Task | None = None,
        device: str = "auto",
        batch_size: int = 8,
        dtype: str = "auto",
    ) -> Self:
        """A predictor by the names of a model and of a task; see `Extractor.from_pretrained`."""
        return cls.of(find_task_model(model, task), device, batch_size, dtype)

    @classmethod
    def of(cls, found: TaskModel, device: str = "auto", batch_size: int = 8, dtype: str = "auto") -> Self:
        """A predictor with a model that `find_task_model` has found.

        Raises:
            InputError: the model was not fine-tuned for a task, or there is no such device or type.
            CheckpointError: its files are damaged or do not fit together.
        """
        check_dtype(dtype)
        place = choose_device(device)
        loaded, is_int8 = load_any_for_engine(found.path, place, dtype)
        tokenizer = load_tokenizer(found.path, loaded.config.vocab_size)
        if not found.is_tuned and _is_language_model(loaded) and not learned_ids(tokenizer):
            raise InputError(
                f"The model '{found.name}' was fine-tuned neither for the task '{found.task.name}' nor for another: "
                f"it has no {TASK_FILE} and no soft prompt. Make one of it: biogpt finetune --task {found.task.name} "
                f"--data DIR --model {found.name} --output DIR."
            )
        return cls(found.task, loaded, tokenizer, batch_size, is_int8=is_int8)

    def with_batch_size(self, batch_size: int) -> Self:
        """The predictor with another batch size; the model is shared."""
        if batch_size < 1:
            raise InputError(f"Got batch_size {batch_size}, expected at least 1.")
        other = copy.copy(self)
        other.batch_size = batch_size
        if self._engine is not None:
            other._engine = self._engine.with_batch_size(batch_size)
        return other

    def with_task(self, task: Task) -> Self:
        """The predictor with another form of its task, such as one with another threshold; the model is shared."""
        other = copy.copy(self)
        other.task = task
        return other

    def predict(self, examples: Iterable[Example], constrained: bool = True) -> Iterator[Prediction]:
        """Predict, in the examples' order.

        Args:
            examples: read as predictions are asked for, `window_size` at a time, and a few such groups ahead where
                several run side by side.
            constrained: hold what is generated to the task's schema. A head knows nothing else anyway.

        Returns:
            For each example what was predicted, with scores from 0 to 1: of a generated item the geometric mean of
            the probabilities of the tokens that fill its slots, or, where relations are searched above a
            threshold (`task.inference.threshold`), the probability of its sentence among all that are allowed; of a
            mention the mean probability of its tags; of a label that a head gives its probability.
        """
        remaining = iter(examples)
        windows = iter(lambda: list(islice(remaining, self.window_size)), [])
        made = map_side_by_side(lambda window: self._predict_window(window, constrained), windows, self._network.device)
        yield from chain.from_iterable(made)

    def _predict_window(self, window: Sequence[Example], constrained: bool) -> list[Prediction]:
        if self._engine is not None:
            return self._generate(self._engine, window, constrained)
        if self.task.kind.labels_words:
            return self._tag(window)
        return self._classify(window)

    def _search(self, engine: Engine, window: Sequence[Example]) -> list[Prediction]:
        """All relations above the probability threshold, with the probability of each."""
        prompts, are_cut = self._encode_prompts(window)
        constraints = self._compile_constraints(window, prompts)
        assert constraints is not None
        found = engine.search_each(
            prompts, [each.once() for each in constraints], search_threshold(self.task.inference)
        )
        return [
            self._read_sequences(sequences, example, is_cut)
            for sequences, example, is_cut in zip(found, window, are_cut, strict=True)
        ]

    def _read_sequences(self, sequences: Sequence[ScoredSequence], example: Example, is_cut: bool) -> Prediction:
        """The relations that some sequences state. The prediction's text is what would state them all."""
        entities = [name for name, slot in self.task.schema.slots.items() if slot.is_entity]
        found: dict[tuple[str, ...], Item] = {}
        problems: list[str] = []
        for sequence in sequences:
            read = self.task.parse(self._decode(sequence.ids), example)
            problems += read.problems
            for item in read.items:
                if len(entities) > 1 and len({item.slots[name] for name in entities}) == 1:
                    continue  # nothing is related to itself
                # The likelier one comes first: of one relation that is spelled in two ways (Moses leaves signs on
                # words), and of one whose names stand only within the other's ("lithium" in "lithium carbonate").
                if not any(_is_within(item, other, entities) for other in found.values()):
                    score = calibrate(sequence.probability, self.task.inference)
                    found.setdefault(tuple(item.slots.values()), replace(item, score=score))
        items = tuple(found.values())
        text = self.task.target(replace(example, items=items))
        return Prediction(example.id, items, tuple(problems), text, is_cut)

    def _generate(self, engine: Engine, window: Sequence[Example], constrained: bool) -> list[Prediction]:
        if constrained and self._searches:
            return self._search(engine, window)
        prompts, are_cut = self._encode_prompts(window)
        order = sorted(range(len(window)), key=lambda index: len(prompts[index]))
        limit = self.task.inference.target_limit or engine.max_positions
        settings = GenerationSettings(temperature=0, max_new_tokens=limit)
        ordered = [prompts[index] for index in order]
        constraints = self._compile_constraints([window[index] for index in order], ordered) if constrained else None
        completions = engine.generate_ids(ordered, settings, constraints)
        made = {
            index: self._read_completion(completion, window[index])
            for index, completion in zip(order, completions, strict=True)
        }
        return [replace(made[index], is_source_cut=is_cut) for index, is_cut in enumerate(are_cut)]

    def _encode_prompts(self, window: Sequence[Example]) -> tuple[list[list[int]], list[bool]]:
        """The prompt of each example, and of which the source was cut."""
        encoded = [encode_prompt_or_cut(self.task, self.tokenizer, example) for example in window]
        return [prompt for prompt, _ in encoded], [is_cut for _, is_cut in encoded]

    def _compile_constraints(
        self, examples: Sequence[Example], prompts: Sequence[Sequence[int]]
    ) -> list[TokenConstraint] | None:
        """The constraint of each completion; None where the task lets anything be written."""
        constraints = []
        for example, prompt in zip(examples, prompts, strict=True):
            grammar = self.task.grammar(example)
            if grammar is None:
                return None
            constraints.append(compile_constraint(grammar, self.tokenizer, prompt))
        return constraints

    def _read_completion(self, completion: Completion, example: Example) -> Prediction:
        prediction = self.task.parse(completion.text, example)
        items = score_items(self.task.schema, prediction.items, completion.tokens, completion.token_scores)
        problems = prediction.problems
        if completion.stop_reason != "end":
            problems += (f"the model did not end its text: it was cut off after {len(completion.token_ids)} tokens",)
        return replace(prediction, items=items, problems=problems)

    def _decode(self, token_ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(token_ids), skip_special_tokens=True))

    def _tag(self, window: Sequence[Example]) -> list[Prediction]:
        parts = [encode_words(self.task, self.tokenizer, example) for example in window]
        logits = self._run([(part.input_ids, part.places) for encoded in parts for part in encoded])
        groups = tag_groups(self._labels, self.task.schema.slots["label"].choices)
        predictions = []
        position = 0
        for example, encoded in zip(window, parts, strict=True):
            words = torch.cat(logits[position : position + len(encoded)])  # (words, L)
            position += len(encoded)
            items = read_mentions(example, words, groups, self.task.inference)
            predictions.append(Prediction(example.id, items))
        return predictions

    def _classify(self, window: Sequence[Example]) -> list[Prediction]:
        rows, are_cut = self._encode_prompts(window)
        logits = torch.cat(self._run([(ids, [len(ids) - 1]) for ids in rows]))  # (B, L)
        probabilities = logits.sigmoid() if self._is_multiple else logits.softmax(dim=-1)
        return [
            Prediction(example.id, self._choose_labels(values, self._is_multiple), is_source_cut=is_cut)
            for example, values, is_cut in zip(window, probabilities.tolist(), are_cut, strict=True)
        ]

    def _choose_labels(self, probabilities: Sequence[float], is_multiple: bool) -> tuple[Item, ...]:
        scores = {self._labels[index]: value for index, value in enumerate(probabilities)}
        if not is_multiple:
            chosen = [max(scores, key=lambda name: scores[name])]
        else:
            threshold = self.task.inference.threshold or LABEL_THRESHOLD
            chosen = [name for name, value in scores.items() if value > threshold and name != NO_LABEL]
            if not chosen and NO_LABEL in scores:
                chosen = [NO_LABEL]
        slot = label_slot(self.task.schema)
        return tuple(Item({slot: name}, score=scores[name]) for name in chosen)

    def _run(self, rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[torch.Tensor]:
        """The logits of each row on the CPU at the tokens that are asked for, (tokens, L).

        Rows of about the same length are read together, as many as have `_TOKENS_PER_PASS` tokens.
        """
        order = sorted(range(len(rows)), key=lambda index: len(rows[index][0]))
        room = min(_TOKENS_PER_PASS, self.batch_size * _TOKENS_PER_TEXT)
        logits: list[torch.Tensor] = [torch.empty(0)] * len(rows)
        first = 0
        while first < len(order):
            batch: list[int] = []
            for index in order[first:]:
                if batch and (len(batch) + 1) * len(rows[index][0]) > room:
                    break
                batch.append(index)
            first += len(batch)
            values = self._network.score(_fill_up([rows[index] for index in batch])).cpu()
            for index, each in zip(batch, torch.split(values, [len(rows[index][1]) for index in batch]), strict=True):
                logits[index] = each
        return logits


def _fill_up(rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Segment]:
    """Rows in the order of their lengths as segments of few different lengths, which are read faster.

    What stands behind a row's last token changes nothing before it.
    """
    segments: list[Segment] = []
    group: list[tuple[Sequence[int], Sequence[int]]] = []
    for place, row in enumerate(rows):
        group.append(row)
        width = len(row[0])
        next_width = len(rows[place + 1][0]) if place + 1 < len(rows) else 0
        num_filled = sum(next_width - len(ids) for ids, _ in group)
        if not next_width or num_filled > _MAX_FILLED * next_width * (len(group) + 1):
            segments += [Segment([*ids, *[ids[0]] * (width - len(ids))], kept=places) for ids, places in group]
            group = []
    return segments


def _is_within(item: Item, other: Item, entities: Sequence[str]) -> bool:
    """Whether two relations are alike but for names of the first that stand only within those of the second."""
    return all(
        item.slots[name] == other.slots[name]
        or (
            name in entities
            and bool(item.spans[name])
            and all(
                any(first <= start and end <= last for first, last in other.spans[name])
                for start, end in item.spans[name]
            )
        )
        for name in item.slots
    )


def _is_language_model(model: "Model | StoredModel") -> "TypeIs[BioGptForCausalLM | StoredModel]":
    return hasattr(model, "output_projection")


def _check_labels(task: Task, model: "Model") -> None:
    """Raise unless the head's labels are those of the task."""
    from biogpt.model.modeling import BioGptForSequenceClassification, BioGptForTokenClassification

    head = BioGptForTokenClassification if task.kind.labels_words else BioGptForSequenceClassification
    got = sorted(model.config.id2label.values())
    expected = sorted(head_labels(task))
    is_known = task.kind.labels_words and bool(tag_groups(model.config.id2label, task.schema.slots["label"].choices))
    if not isinstance(model, head) or not (got == expected or is_known):
        raise CheckpointError(
            f"The model is a {type(model).__name__} with the labels {', '.join(got[:8])}, which do not fit the task "
            f"'{task.name}': expected {', '.join(expected[:8]) or 'a model that generates'}. Name a model of this task."
        )
