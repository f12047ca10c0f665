"""`biogpt serve` over HTTP: OpenAI's client, extraction, limits, and what becomes of clients that go away."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import openpyxl
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import serving
from tuned_models import DOCUMENTS, QUESTIONS
from typer.testing import CliRunner

from biogpt import Engine, Extractor
from biogpt.cli.app import app
from biogpt.server.app import create_app
from biogpt.server.gate import access_log
from biogpt.server.limits import Limits

PROMPT = "Aspirin reduces the risk of"
TEXTS = list(DOCUMENTS)


@pytest.fixture(scope="module")
def server(tiny_model_path, tuned_model_paths):
    """The address of a server with a language model and three task models, all tiny."""
    models = [tiny_model_path, *(tuned_model_paths[name] for name in ("bc5cdr", "bc5cdr_chem", "pubmedqa"))]
    limits = Limits(max_documents=8, max_document_characters=2000, max_completions=8, max_tokens=200)
    with serving(create_app([str(model) for model in models], device="cpu", limits=limits)) as url:
        yield url


@pytest.fixture(scope="module")
def http(server):
    with httpx.Client(base_url=server, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def model(tiny_model_path):
    return tiny_model_path.name


@pytest.fixture(scope="module")
def engine(tiny_model_path):
    return Engine.from_pretrained(tiny_model_path, device="cpu")


def test_openais_client_lists_the_models(client, model):
    listed = client.models.list().data
    assert [each.id for each in listed] == [model, "bc5cdr", "bc5cdr_chem", "pubmedqa"]
    assert client.models.retrieve("bc5cdr").extracts == "relations"
    with pytest.raises(openai.NotFoundError, match="no such model"):
        client.models.retrieve("gpt")


def test_a_completion_is_the_engines(client, model, engine):
    answer = client.completions.create(model=model, prompt=PROMPT, max_tokens=12, temperature=0.9, top_p=0.9, seed=5)
    (expected,) = engine.generate(PROMPT, max_new_tokens=12, temperature=0.9, top_p=0.9, top_k=0, seed=5)
    assert answer.choices[0].text == expected.text
    num_read = len(engine.tokenizer(PROMPT)["input_ids"])
    num_written = len(expected.token_scores)
    assert answer.usage.to_dict() == {
        "prompt_tokens": num_read,
        "completion_tokens": num_written,
        "total_tokens": num_read + num_written,
    }
    assert answer.choices[0].finish_reason == ("stop" if expected.stop_reason == "end" else "length")


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"echo": True, "logprobs": 3},
        {"n": 3, "stop": ["the", "of"]},
        {"logprobs": 2, "stop": ["of the", "e patients"]},
        {"prompt": ["The patients' blood", PROMPT], "echo": True},
    ],
)
def test_a_stream_equals_the_whole(client, model, wish):
    wish = {"model": model, "prompt": PROMPT, "max_tokens": 30, "seed": 2, **wish}
    whole = client.completions.create(**wish)
    stream = list(client.completions.create(**wish, stream=True, stream_options={"include_usage": True}))
    assert stream[-1].usage == whole.usage
    assert stream[-1].choices == []
    for choice in whole.choices:
        parts = [part for chunk in stream for part in chunk.choices if part.index == choice.index]
        assert "".join(part.text for part in parts) == choice.text
        assert [part.finish_reason for part in parts] == [None] * (len(parts) - 1) + [choice.finish_reason]
        if "logprobs" in wish:
            joined = {
                name: [value for part in parts for value in getattr(part.logprobs, name)]
                for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset")
            }
            assert joined["tokens"] == choice.logprobs.tokens
            assert joined["text_offset"] == choice.logprobs.text_offset
            assert joined["token_logprobs"] == pytest.approx(choice.logprobs.token_logprobs, abs=1e-3)
            assert [len(top or ()) for top in joined["top_logprobs"]] == [wish["logprobs"]] * len(joined["tokens"])


def test_stop_texts_end_a_text_and_are_left_out(client, model):
    whole = client.completions.create(model=model, prompt=PROMPT, max_tokens=60, temperature=0).choices[0].text
    word = whole.split()[2]
    stopped = client.completions.create(model=model, prompt=PROMPT, max_tokens=60, temperature=0, stop=[word])
    assert stopped.choices[0].text == whole[: whole.index(word)]
    assert stopped.choices[0].finish_reason == "stop"


def test_ids_echo_and_log_probabilities_serve_a_loglikelihood(client, model, engine):
    ids = engine.tokenizer(PROMPT)["input_ids"][1:]
    answer = client.completions.create(
        model=model, prompt=[ids, ids[:3]], max_tokens=1, logprobs=1, echo=True, temperature=0
    )
    for choice, given_ids in zip(answer.choices, (ids, ids[:3]), strict=True):
        scores = choice.logprobs.token_logprobs
        (expected,) = engine.score_ids([engine.tokenizer.eos_token_id], [given_ids])
        assert scores[: len(given_ids)] == pytest.approx(expected, abs=1e-4)
        assert len(scores) == len(given_ids) + 1 - (choice.finish_reason == "stop")
        assert choice.logprobs.tokens[: len(given_ids)] == engine.tokenizer.convert_ids_to_tokens(given_ids)
    scored = client.completions.create(model=model, prompt=PROMPT, max_tokens=0, logprobs=1, echo=True)
    assert scored.choices[0].text == PROMPT
    offsets = scored.choices[0].logprobs.text_offset
    assert PROMPT[offsets[0]] == "A"
    assert offsets == sorted(offsets)
    begun = client.completions.create(
        model=model, prompt=[engine.tokenizer.eos_token_id, *ids], max_tokens=0, logprobs=1, echo=True
    )
    assert begun.choices[0].logprobs.token_logprobs[0] is None


@pytest.mark.parametrize(
    ("wish", "param", "message"),
    [
        ({"suffix": "x"}, None, "'suffix' is not supported"),
        ({"best_of": 4}, None, "'best_of' is not supported"),
        ({"logit_bias": {"5": 1}}, None, "'logit_bias' is not supported"),
        ({"presence_penalty": 0.5}, None, "'presence_penalty' is not supported"),
        ({"extra_body": {"min_p": 0.1}}, "min_p", "Unknown field 'min_p'"),
        ({"temperature": -1}, "temperature", "temperature: Input should be greater than or equal to 0"),
        ({"max_tokens": 201}, "max_tokens", "expected at most 200"),
        ({"max_tokens": 0}, "max_tokens", "at least 1 without echo"),
        ({"n": 9}, "n", "expected at most 8"),
        ({"logprobs": 6}, "logprobs", "less than or equal to 5"),
        ({"stop": ["a"] * 5}, "stop", "at most 4"),
        ({"prompt": "word " * 200}, "prompt", "expected at most 95 tokens"),
        ({"prompt": " "}, None, "The prompt is empty"),
        ({"prompt": [10**6]}, "prompt", "has the id 1000000"),
        ({"prompt": []}, "prompt", "at least one prompt"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(client, model, wish, param, message):
    with pytest.raises(openai.BadRequestError, match=message) as refused:
        client.completions.create(**{"model": model, "prompt": PROMPT, **wish})
    assert refused.value.param == param
    assert refused.value.type == "invalid_request_error"


def test_a_model_that_is_not_served_is_not_looked_for(client, tmp_path):
    for name in ("gpt-4", "bc5cdr", str(tmp_path), "microsoft/biogpt"):
        with pytest.raises(openai.NotFoundError) as refused:
            client.completions.create(model=name, prompt=PROMPT)
        assert refused.value.code == "model_not_found"


def test_neutral_values_of_openais_other_fields_are_taken(client, model):
    more = {"best_of": 1, "frequency_penalty": 0, "presence_penalty": 0, "logit_bias": {}, "user": "me"}
    assert client.completions.create(model=model, prompt=PROMPT, max_tokens=2, **more).choices


def test_extraction_is_the_extractors(http, tuned_model_paths):
    expected = Extractor.from_pretrained(tuned_model_paths["bc5cdr"], device="cpu")(TEXTS)
    answer = http.post("/v1/extract", json={"task": "bc5cdr", "documents": [{"text": text} for text in TEXTS]})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["usage"] == {"documents": len(TEXTS), "characters": sum(map(len, TEXTS))}
    for number, (document, extraction) in enumerate(zip(found["documents"], expected, strict=True), start=1):
        assert document == {"id": str(number), **extraction.to_dict()}
    relations = [[one["roles"] for one in document["relations"]] for document in found["documents"]]
    pairs = [[(one["chemical"]["name"].lower(), one["disease"]["name"].lower()) for one in each] for each in relations]
    assert pairs == list(DOCUMENTS.values())


def test_a_threshold_of_a_request_holds_for_it_alone(http):
    body = {"model": "bc5cdr_chem", "documents": [{"text": TEXTS[0]}]}
    default = http.post("/v1/extract", json=body).json()["documents"][0]["entities"]
    none = http.post("/v1/extract", json={**body, "options": {"threshold": 1}}).json()["documents"][0]["entities"]
    assert default
    assert not none
    assert http.post("/v1/extract", json=body).json()["documents"][0]["entities"] == default


def read_rows(path):
    """The cells of a binary table."""
    if path.suffix == ".parquet":
        return pyarrow.parquet.read_table(path).to_pylist()
    return openpyxl.load_workbook(path, read_only=True).worksheets[0].iter_rows(values_only=True)


def test_identifiers_are_found_where_they_are_asked_for(http):
    body = {"model": "bc5cdr", "documents": [{"text": TEXTS[0]}], "options": {"link": True}}
    (relation,) = http.post("/v1/extract", json=body).json()["documents"][0]["relations"]
    assert relation["roles"]["chemical"]["identifier"].endswith("D002945")


def test_questions_have_named_fields(http):
    (question, context), answer = next(iter(QUESTIONS.items()))
    documents = [{"fields": {"question": question, "context": context}}]
    found = http.post("/v1/extract", json={"model": "pubmedqa", "documents": documents}).json()
    assert found["documents"][0]["labels"][0]["value"] == answer
    refused = http.post("/v1/extract", json={"model": "pubmedqa", "documents": [{"text": context}]})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "documents[0].fields"


FORMATS = "jsonl", "csv", "tsv", "pubtator", "bioc-xml", "bioc-json", "xlsx", "parquet", "doccano", "label-studio"


@pytest.mark.parametrize("format", FORMATS)
def test_formats_by_query_and_by_header(http, format, tmp_path):
    body = {"model": "bc5cdr", "documents": [{"id": "5", "title": "", "abstract": TEXTS[0]}]}
    by_query = http.post(f"/v1/extract?format={format}", json=body)
    by_header = http.post(
        "/v1/extract", json=body, headers={"accept": by_query.headers["content-type"].partition(";")[0]}
    )
    assert by_query.status_code == 200
    if format in ("xlsx", "parquet"):
        path = tmp_path / f"answer.{format}"
        path.write_bytes(by_query.content)
        assert "nephrotoxicity" in str(list(read_rows(path)))
    else:
        assert "nephrotoxicity" in by_query.text
    assert by_header.content == by_query.content
    exported = http.post(
        f"/v1/export?format={format}",
        json={"documents": body["documents"], "extractions": http.post("/v1/extract", json=body).json()["documents"]},
    )
    assert exported.content == by_query.content
    for documents in ([{"text": "x"}] * 9, [{"text": "x" * 2001}]):  # the limits are those of all formats
        refused = http.post(f"/v1/extract?format={format}", json={**body, "documents": documents})
        assert refused.status_code == 400
        assert "expected at most" in refused.json()["error"]["message"]


def test_a_file_comes_back_line_by_line_in_order(http):
    lines = [json.dumps({"id": f"d{number}", "text": TEXTS[number % 4]}) for number in range(50)]
    lines[20] = "no JSON"
    lines[30] = json.dumps({"id": "d30", "text": "word " * 500})
    with http.stream("POST", "/v1/extract/file?model=bc5cdr&name=x.jsonl", content="\n".join(lines)) as answer:
        records = [json.loads(line) for line in answer.iter_lines()]
    assert [record["id"] for record in records if "id" in record] == [f"d{n}" for n in range(50) if n != 20]
    assert [record["skipped"][:10] for record in records if "skipped" in record] == ["x.jsonl:21"]
    (long,) = (record for record in records if record.get("id") == "d30")
    assert long["error"]["code"] == "document_too_long"
    first = next(record for record in records if record.get("id") == "d0")
    assert first["relations"][0]["roles"]["disease"]["name"] == "nephrotoxicity"
    damaged = (
        b"<collection><document><id>1</id><passage><offset>0</offset><text>Aspirin.</text></passage></document><doc"
    )
    answer = http.post("/v1/extract/file?model=bc5cdr&name=x.xml", content=damaged)
    assert "error" in json.loads(answer.text.splitlines()[-1])


def test_pages_load_nothing_from_elsewhere(http):
    for path in ("/", "/docs"):
        answer = http.get(path)
        assert answer.headers["content-type"].startswith("text/html")
        assert "//" not in answer.text.replace("<!DOCTYPE", "")
        for file in answer.text.split('"')[1::2]:
            if file.startswith("/page/"):
                assert http.get(file).status_code == 200
    api = http.get("/openapi.json").json()
    assert {"/v1/completions", "/v1/extract", "/v1/extract/file", "/v1/models", "/health"} <= set(api["paths"])
    for path in ("/page/..%2fapp.py", "/page/app.py", "/page/%2e%2e/app.py"):
        assert http.get(path).status_code == 404


TEXT = st.text(max_size=20) | st.sampled_from([PROMPT, "bc5cdr", "</s>", "\x00", "😀"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def fields_of(schema, api):
    """Values for the fields of a schema: mostly of the right type, sometimes anything."""
    if "$ref" in schema:
        schema = api["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        return st.one_of([fields_of(each, api) for each in schema["anyOf"]])
    match schema.get("type"):
        case "object":
            known = {name: fields_of(each, api) | JSON for name, each in schema.get("properties", {}).items()}
            right = {name: fields_of(each, api) for name, each in schema.get("properties", {}).items()}
            needed = {name: right.pop(name) for name in schema.get("required", ())}
            return st.fixed_dictionaries(needed, optional=right) | st.fixed_dictionaries({}, optional=known)
        case "array":
            return st.lists(fields_of(schema.get("items", {}), api), max_size=3)
        case "string":
            return TEXT
        case "integer":
            return st.integers(-1, 20) | st.integers()
        case "number":
            return st.floats(0, 1) | st.floats()
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
    return JSON


def test_no_request_makes_the_server_fail(http):
    api = http.get("/openapi.json").json()
    routes = {
        path: operation["post"]["requestBody"]["content"]["application/json"]["schema"]
        for path, operation in api["paths"].items()
        if "application/json" in operation.get("post", {}).get("requestBody", {}).get("content", {})
    }
    assert len(routes) == 3
    requests = st.sampled_from(sorted(routes)).flatmap(
        lambda path: st.tuples(st.just(path), fields_of(routes[path], api))
    )

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(requests, st.sampled_from(["", "?format=csv", "?format=pubtator", "?format=x"]))
    def check(request, query):
        path, body = request
        answer = http.post(path + query, content=json.dumps(body), headers={"content-type": "application/json"})
        assert answer.status_code < 500, (body, answer.text)
        if answer.status_code >= 400:
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}

    check()
    for content in (b"", b"{", b"[" * 100_000, b'"\xff"', b'{"prompt": "\\ud800"}', b"null", b"1e999", b"{}" * 9):
        answer = http.post("/v1/completions", content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 400, (content[:20], answer.text)
        assert answer.json()["error"]["message"]


def test_many_clients_share_passes_and_all_are_answered(http, server, model, engine):
    before = http.get("/metrics").text

    def ask(number):
        kind = number % 4
        if kind == 0:
            prompt = f"{PROMPT} {number}"
            answer = http.post("/v1/completions", json={"prompt": prompt, "max_tokens": 20, "seed": number})
            return answer.status_code, answer.json()["choices"][0]["text"], prompt
        if kind == 1:
            return http.post("/v1/completions", json={"prompt": 5}).status_code, "", ""
        text = TEXTS[number % 3]
        answer = http.post("/v1/extract", json={"model": "bc5cdr", "documents": [{"id": number, "text": text}]})
        document = answer.json()["documents"][0]
        return answer.status_code, document["text"], document["id"]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(96)))
    for number, (status, text, other) in enumerate(answers):
        assert status == (400 if number % 4 == 1 else 200)
        if number % 4 == 0:
            (expected,) = engine.generate(other, max_new_tokens=20, temperature=1, top_k=0, top_p=1, seed=number)
            assert text == expected.text
        if number % 4 > 1:
            assert (text, other) == (TEXTS[number % 3], str(number))

    def figure(text, name):
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))

    after = http.get("/metrics").text
    rows = f'biogpt_batch_size_sum{{model="{model}"}}', f'biogpt_batch_size_count{{model="{model}"}}'
    assert figure(after, rows[0]) > 1.5 * figure(after, rows[1]), "rows of several requests are in one pass"
    assert figure(after, "biogpt_documents_total") - figure(before, "biogpt_documents_total") == 48
    assert figure(after, "biogpt_queue_requests") == 0


def wait_until(is_true, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if is_true():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("is_stream", [True, False])
def test_the_rows_of_a_client_that_goes_away_are_freed(tiny_model_path, is_stream, caplog, monkeypatch):
    monkeypatch.setattr(access_log, "propagate", True)
    # No end token within reach of the sampling: each takes as long as it may. So many that they are seen to run.
    body = {"prompt": [PROMPT] * 64, "max_tokens": 85, "temperature": 10, "stream": is_stream, "logprobs": 5}
    content = json.dumps(body).encode()
    head = ["POST /v1/completions HTTP/1.1", "host: x", "content-type: application/json"]
    with (
        caplog.at_level(logging.INFO, access_log.name),
        serving(create_app([str(tiny_model_path)], device="cpu")) as url,
        httpx.Client(base_url=url) as http,
    ):

        def active():
            lines = http.get("/metrics").text.splitlines()
            return sum(float(line.split()[-1]) for line in lines if line.startswith("biogpt_active_rows"))

        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as connection:
            connection.sendall("\r\n".join([*head, f"content-length: {len(content)}", "", ""]).encode() + content)
            assert wait_until(lambda: active() > 0)
        assert wait_until(lambda: active() == 0)
        assert wait_until(lambda: any("/v1/completions" in message for message in caplog.messages))
        records = [json.loads(message) for message in caplog.messages if "/v1/completions" in message]
    assert records[-1].get("completion_tokens", 0) < 64 * 85
    assert "Aspirin" not in caplog.text


def test_a_full_queue_and_a_slow_answer_have_their_status(tiny_model_path):
    limits = Limits(max_waiting=1, request_seconds=0.05)
    with (
        serving(create_app([str(tiny_model_path)], device="cpu", limits=limits)) as url,
        httpx.Client(base_url=url) as http,
    ):
        body = {"prompt": [PROMPT] * 64, "max_tokens": 90, "temperature": 10}
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: http.post("/v1/completions", json=body, timeout=30), range(6)))
        by_status = {answer.status_code: answer for answer in answers}
        assert set(by_status) == {429, 504}
        assert int(by_status[429].headers["retry-after"]) >= 1
        assert by_status[429].json()["error"]["code"] == "queue_full"
        assert by_status[504].json()["error"]["code"] == "timeout"
        assert http.get("/health").status_code == 200


def start(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "biogpt", "serve", "--device", "cpu", *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def test_a_process_says_where_it_listens_and_finishes_what_runs(tiny_model_path):
    with start("--model", tiny_model_path, "--port", "0", BIOGPT_API_KEY="secret") as process:
        line = process.stderr.readline()
        assert line.startswith("biogpt: listening on http://127.0.0.1:"), line
        url = line.split()[3].rstrip(",")
        with httpx.Client(base_url=url, timeout=30, headers={"authorization": "Bearer secret"}) as http:
            assert wait_until(lambda: http.get("/health").status_code == 200, 60)
            assert httpx.get(f"{url}/v1/models").status_code == 401
            assert http.get("/v1/models", headers={"host": "evil.example"}).status_code == 421
            taken = CliRunner().invoke(app, ["serve", "--port", url.rpartition(":")[2]])
            assert (taken.exit_code, taken.stderr.count("\n")) == (1, 1)
            assert "Cannot listen on 127.0.0.1" in taken.stderr
            body = {"prompt": ["A secret prompt"] * 12, "max_tokens": 80, "temperature": 10, "stream": True}
            with http.stream("POST", "/v1/completions", json=body) as answer:
                events = answer.iter_lines()
                next(events)
                process.send_signal(signal.SIGTERM)
                assert wait_until(lambda: not accepts(url))
                lines = [line for line in events if line]
            assert lines[-1] == "data: [DONE]"
        assert process.wait(30) == 0
        log = process.stderr.read()
    records = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert {record["status"] for record in records} >= {200, 401, 421}
    assert "secret" not in log
    assert log.endswith("biogpt: stopped.\n")


def accepts(url):
    try:
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "nothing"], "Unknown model 'nothing'"),
        (["--task", "nothing"], "'nothing'"),
        (["--set", "max_document=3"], "Did you mean 'max_documents'"),
        (["--host", "256.0.0.1"], "Cannot listen on 256.0.0.1"),
        (["--api-key", " "], "The API key is empty"),
    ],
)
def test_a_start_that_cannot_be_is_one_line(arguments, message, capsys):
    done = CliRunner().invoke(app, ["serve", "--port", "0", *arguments])
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


def test_without_the_extra_one_line_says_how_to_install_it(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("biogpt.server")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    done = CliRunner().invoke(app, ["serve"])
    assert done.exit_code == 1
    assert "[serve]" in done.stderr
