"""Schemas: what requests may say, and what answers look like. Unknown fields are refused by name.

The descriptions are what `/docs` shows.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_TOP_SCORES = 5
MAX_STOPS = 4

_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "best_of": (1,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "suffix": ("",),
}
"""Fields of OpenAI's that change nothing with these values, and that are refused with others."""


class Request(BaseModel):
    """What all requests share."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)


class StreamOptions(Request):
    """What a stream says besides."""

    include_usage: bool = Field(False, description="Have the last chunk say how many tokens there were.")


TokenId = Annotated[int, Field(ge=0, le=2**31 - 1)]


class CompletionRequest(Request):
    """A prompt to continue, as OpenAI's `POST /v1/completions` has it."""

    model: str | None = Field(None, description="One of `/v1/models`; by default the first that completes.")
    prompt: Annotated[
        str | list[str] | list[TokenId] | list[list[TokenId]],
        Field(
            description="A text or several, or ids of the model's own vocabulary. Ids are read behind a `</s>`, which "
            "begins every text of BioGPT, unless they begin with it.",
            examples=["Aspirin reduces the risk of"],
        ),
    ]
    max_tokens: int | None = Field(16, ge=0, description="Of each completion; 0 to score the prompt, with `echo`.")
    temperature: float | None = Field(
        1, ge=0, le=10, description="Below 1: more deterministic, above 1: more random, 0: the most probable token."
    )
    top_p: float | None = Field(1, gt=0, le=1, description="Among the most probable tokens of this joint probability.")
    top_k: int | None = Field(
        None, ge=0, le=2**31 - 1, description="Among this many most probable tokens; 0: all. Not OpenAI's."
    )
    n: int | None = Field(1, ge=1, le=1024, description="Completions of each prompt.")
    stop: str | list[str] | None = Field(None, description=f"Up to {MAX_STOPS} texts where to stop, left out.")
    seed: int | None = Field(None, ge=-(2**63), lt=2**63, description="The same seed, the same text.")
    stream: bool | None = Field(False, description="Hand the text over as it is made, as server-sent events.")
    stream_options: StreamOptions | None = None
    logprobs: int | None = Field(
        None, ge=0, le=MAX_TOP_SCORES, description="Give each token's log-probability, and those of the most probable."
    )
    echo: bool | None = Field(False, description="Give the prompt back before its completion.")
    user: str | None = Field(None, description="Taken and not used.")

    @model_validator(mode="before")
    @classmethod
    def _refuse_unsupported(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        for name, neutral in _NEUTRAL.items():
            if name in values and values[name] is not None and values[name] not in neutral:
                raise ValueError(f"'{name}' is not supported by this server: leave it out")
        return {name: value for name, value in values.items() if name not in _NEUTRAL}


class TopLogprobs(BaseModel):
    """Scores of tokens, in lists of equal length."""

    tokens: list[str] = Field(description="The vocabulary's tokens; `</w>` ends a word.")
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int] = Field(description="Where in `text` stands what became final with the token.")


class CompletionChoice(BaseModel):
    """One completion."""

    text: str
    index: int
    logprobs: TopLogprobs | None = None
    finish_reason: Literal["stop", "length"] | None


class CompletionUsage(BaseModel):
    """How many tokens were read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class CompletionAnswer(BaseModel):
    """Completions, as OpenAI has them."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage | None = None


class DocumentIn(Request):
    """A text to extract from: title and abstract, or `text`; or the named fields that a task reads."""

    id: str | int | None = Field(None, description="What to call it; by default its number.")
    title: str | None = None
    abstract: str | None = None
    text: str | None = None
    fields: dict[str, str] | None = Field(
        None, description="For a task that reads several, such as PubMedQA's `question` and `context`."
    )


Probability = Annotated[float, Field(ge=0, le=1)]


class ExtractOptions(Request):
    """How to extract."""

    threshold: Probability | None = Field(
        None, description="Leave out what has a lower score; by default the model's own threshold."
    )
    link: bool = Field(False, description="Look names up in MeSH for identifiers.")


class ExtractRequest(Request):
    """Texts to extract from."""

    model: str | None = Field(None, description="One of `/v1/models` that extracts.")
    task: str | None = Field(None, description="A task, in place of a model.", examples=["ncbi_disease"])
    documents: Annotated[
        list[DocumentIn],
        Field(min_length=1, examples=[[{"id": "1", "text": "Cystic fibrosis is inherited."}]]),
    ]
    options: ExtractOptions = ExtractOptions.model_validate({})


Offset = Annotated[int, Field(ge=0)]


class EntityOut(Request):
    """Something that a text names."""

    type: str
    name: str
    spans: list[tuple[Offset, Offset]] = Field(
        default=[], description="Start and end of each mention, in characters (Unicode code points) of `text`."
    )
    identifier: str = ""
    score: Probability | None = None


class RelationOut(Request):
    """A relation between entities."""

    type: str
    roles: dict[str, EntityOut]
    values: dict[str, str] = {}
    score: Probability | None = None


class LabelOut(Request):
    """A label of a text as a whole, or an answer."""

    slot: str
    value: str
    score: Probability | None = None


class ExtractionOut(Request):
    """What was extracted from one document."""

    id: str
    format_version: Literal[1] = 1
    text: str = Field(description="What the spans count.")
    entities: list[EntityOut] = []
    relations: list[RelationOut] = []
    labels: list[LabelOut] = []
    warnings: list[str] = []
    annotator: str = ""


class ExtractUsage(BaseModel):
    """How much was read."""

    documents: int
    characters: int


class ExtractAnswer(BaseModel):
    """What was extracted, document by document, in their order."""

    object: Literal["extraction"] = "extraction"
    model: str
    task: str
    documents: list[ExtractionOut]
    usage: ExtractUsage


class ExportRequest(Request):
    """Documents and what was extracted from them, to be written in a format. No model is asked."""

    documents: Annotated[list[DocumentIn], Field(min_length=1)]
    extractions: Annotated[
        list[ExtractionOut], Field(min_length=1, description="One for each document, as `/v1/extract` gives them.")
    ]


class ModelCard(BaseModel):
    """A model that the server answers with."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    does: Literal["completions", "extraction"]
    title: str
    quality: str = Field(description="How good it was measured to be.")
    caveats: list[str]
    loaded: bool


class ModelList(BaseModel):
    """All models of the server."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class Health(BaseModel):
    """Whether the server can be asked."""

    status: Literal["starting", "ready", "stopping"]
    version: str
    models: dict[str, Literal["loaded", "not loaded"]]


class ErrorDetail(BaseModel):
    """What is wrong."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorAnswer(BaseModel):
    """An error, as OpenAI has them."""

    error: ErrorDetail
