"""App: the routes of the server, as an ASGI application.

    app = biogpt.server.app.create_app()

Routes only translate: requests become jobs of a model's worker, results become answers. `biogpt serve` runs it with
uvicorn, Ray Serve takes it as an ingress; see docs/serve.md.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

import biogpt
from biogpt.errors import suggest
from biogpt.server import completions, extraction
from biogpt.server.failures import ApiError, describe_failure
from biogpt.server.gate import Gate
from biogpt.server.limits import Limits
from biogpt.server.metrics import CONTENT_TYPE, Metrics
from biogpt.server.schemas import ErrorAnswer, Health, ModelCard, ModelList
from biogpt.server.served_models import Device, ServedModels, find_models, import_models

_logger = logging.getLogger(__name__)

_DESCRIPTION = """Completions and extraction by BioGPT models. Errors have the shape of OpenAI's. Where the server has
an API key, send it as `Authorization: Bearer KEY`."""

_PAGE_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass
class State:
    """What routes share."""

    models: ServedModels
    limits: Limits
    metrics: Metrics
    is_warm: bool = False
    is_stopping: bool = False

    @property
    def status(self) -> str:
        if self.is_stopping:
            return "stopping"
        return "ready" if self.is_warm else "starting"


def create_app(
    models: Sequence[str] = (),
    tasks: Sequence[str] = (),
    *,
    device: str = "auto",
    dtype: str = "auto",
    batch_size: int = 8,
    api_key: str = "",
    allowed_hosts: Sequence[str] = (),
    limits: Limits | None = None,
) -> FastAPI:
    """The server as an ASGI application.

    Args:
        models: what to serve: bundled models, directories or hub ids. Each is loaded when it is first asked for.
        tasks: tasks whose bundled models to serve. Without models and tasks, all bundled models are served.
        device: where to run, in PyTorch's terms; `auto`: `cuda` where there is one, else `cpu`.
        dtype: the type to compute in; see `Engine.from_pretrained`. Completions have no int8; `auto` is float32 for
            them on a CPU.
        batch_size: texts or completions that a model works on at once.
        api_key: what clients must send as `Authorization: Bearer KEY`; empty: they need none.
        allowed_hosts: names by which the server may be called (`Host`); none: any.
        limits: of what a client may ask for.

    Raises:
        InputError, CheckpointError: there is no such model, task or type, or completions were to be computed in int8.

    Example:
        >>> from biogpt.server.app import create_app
        >>> app = create_app(tasks=["ncbi_disease"])
    """
    limits = limits or Limits()
    metrics = Metrics()
    served = find_models(models, tasks, metrics, limits, Device(device, batch_size, dtype))
    state = State(served, limits, metrics)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        threading.Thread(target=_warm_up, args=(state,), daemon=True).start()
        yield
        state.is_stopping = True
        await asyncio.to_thread(served.close, limits.shutdown_seconds)

    app = FastAPI(
        title="biogpt",
        version=biogpt.__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own page loads its parts from elsewhere
        redoc_url=None,
        responses={"4XX": {"model": ErrorAnswer}, "5XX": {"model": ErrorAnswer}},
    )
    app.state.server = state
    _add_routes(app, state)
    app.include_router(completions.make_router(served, limits))
    app.include_router(extraction.make_router(served, limits))
    _add_error_handlers(app)
    app.add_middleware(Gate, limits=limits, metrics=metrics, api_key=api_key, allowed_hosts=tuple(allowed_hosts))
    return app


def _warm_up(state: State) -> None:
    """Import what takes seconds while the server answers already; models are loaded when they are asked for."""
    import_models()
    state.is_warm = True


def _add_routes(app: FastAPI, state: State) -> None:
    @app.get("/health", tags=["server"], response_model=Health, responses={503: {"model": Health}})
    def health() -> Response:
        """Whether the server can be asked: 200 when it is ready, 503 while it starts or stops."""
        models = {model.name: "loaded" if model.is_loaded else "not loaded" for model in state.models}
        body = {"status": state.status, "version": biogpt.__version__, "models": models}
        return JSONResponse(body, 200 if state.status == "ready" else 503)

    @app.get("/metrics", tags=["server"], response_class=Response)
    def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(state.metrics.render(), media_type=CONTENT_TYPE)

    @app.get("/v1/models", tags=["models"])
    def list_models() -> ModelList:
        """The models that the server answers with."""
        return ModelList(data=[ModelCard(**model.describe()) for model in state.models])

    @app.get("/v1/models/{name:path}", tags=["models"])
    def get_model(name: str) -> ModelCard:
        """One of them."""
        for model in state.models:
            if model.name == name:
                return ModelCard(**model.describe())
        known = [model.name for model in state.models]
        message = f"There is no such model.{suggest(name[:60], known)} Expected one of {', '.join(known)}."
        raise ApiError(404, message, param="model", code="model_not_found")

    files = _page_files()

    def send_file(name: str) -> Response:
        if name not in files:
            raise ApiError(404, "There is no such file.", code="not_found")
        content, type = files[name]
        return Response(content, media_type=type)

    @app.get("/", include_in_schema=False)
    def page() -> Response:
        return send_file("index.html")

    @app.get("/docs", include_in_schema=False)
    def docs() -> Response:
        return send_file("docs.html")

    @app.get("/page/{name}", include_in_schema=False)
    def page_file(name: str) -> Response:
        return send_file(name)


def _page_files() -> dict[str, tuple[bytes, str]]:
    """The files of the page by name. Only these can be asked for: no path is made of what a request says."""
    found = {}
    for file in resources.files("biogpt.server").joinpath("page").iterdir():
        ending = "." + file.name.rpartition(".")[2]
        if ending in _PAGE_TYPES:
            found[file.name] = (file.read_bytes(), _PAGE_TYPES[ending])
    return found


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(ApiError)
    async def answer_failure(request: Request, error: ApiError) -> Response:
        return JSONResponse(error.body, error.status, error.headers)

    @app.exception_handler(biogpt.BioGptError)
    async def answer_error(request: Request, error: biogpt.BioGptError) -> Response:
        failure = describe_failure(error)
        return JSONResponse(failure.body, failure.status, failure.headers)

    @app.exception_handler(RequestValidationError)
    async def answer_invalid(request: Request, error: RequestValidationError) -> Response:
        return JSONResponse(_describe_invalid(error).body, 400)

    @app.exception_handler(RecursionError)
    async def answer_nested(request: Request, error: RecursionError) -> Response:
        return JSONResponse(ApiError(400, "The JSON is nested too deeply.").body, 400)

    @app.exception_handler(HTTPException)
    async def answer_http(request: Request, error: HTTPException) -> Response:
        if isinstance(error.__cause__, ApiError):  # what stopped the body from being read
            return await answer_failure(request, error.__cause__)
        messages = {404: "There is no such address. See /docs.", 405: "That method is not known here. See /docs."}
        message = messages.get(error.status_code, str(error.detail))
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code)
        return JSONResponse(ApiError(error.status_code, message, code=code).body, error.status_code, error.headers)


def _describe_invalid(error: RequestValidationError) -> ApiError:
    """The first thing that is wrong with a request, by its field; what it holds is not repeated."""
    first: dict[str, Any] = dict(error.errors()[0])
    place = [part for part in first["loc"] if part not in ("body", "query")]
    if first["type"] == "json_invalid":
        return ApiError(400, "The body is not JSON.", code="invalid_json")
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
    if first["type"] == "extra_forbidden":
        return ApiError(400, f"Unknown field '{name[:80]}'. See /docs for the fields.", param=name[:80])
    message = str(first["msg"]).removeprefix("Value error, ")
    return ApiError(400, f"{name[:80]}: {message}." if name else f"{message}.", param=name[:80] or None)
