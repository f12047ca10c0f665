"""What a server does under load: documents a second, latencies, memory, beside `predict` on the same texts.

    python benchmarks/serve_load.py CDR_TestSet.PubTator.txt --task bc5cdr --clients 32
    python benchmarks/serve_load.py CDR_TestSet.PubTator.txt --mixed 10000

Starts `biogpt serve` on a free port, so that both share the machine, as a user's would. Each of the clients sends one
document at a time and waits for its answer. With `--mixed`, requests of all kinds are sent instead, bad ones among
them, and every answer is checked.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import record

from biogpt import Extractor, read_documents

WINDOWS = 10  # parts of a mixed run whose memory is noted


@contextmanager
def serving(arguments: list[str]) -> Iterator[tuple[str, subprocess.Popen[str], Path]]:
    """A server in a process of its own: its address, the process, and the file with its log."""
    log = Path(f"serve-load-{time.time_ns()}.log")
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "biogpt", "serve", "--port", "0", *arguments], stderr=file, text=True
        )
    try:
        while "listening on" not in (text := log.read_text(encoding="utf-8")):
            if process.poll() is not None:
                raise SystemExit(f"The server ended: {text}")
            time.sleep(0.1)
        yield text.split()[3].rstrip(","), process, log
    finally:
        process.terminate()
        process.wait(60)
        log.unlink()


def memory_of(process: "subprocess.Popen[str]") -> int:
    """Resident MiB."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) // 1024


def cpu_seconds_of(process: "subprocess.Popen[str]") -> float:
    """What a process has used of all cores: tells its work from that of others on the machine."""
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def percentiles(seconds: list[float]) -> dict[str, float]:
    """p50, p95 and the longest, in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {"p50_ms": round(1000 * cuts[49]), "p95_ms": round(1000 * cuts[94]), "max_ms": round(1000 * max(seconds))}


async def send_each(url: str, bodies: list[dict[str, Any]], num_clients: int) -> tuple[float, list[float], list[Any]]:
    """Send requests from so many clients; how long all and each took, and the answers."""
    waiting = iter(enumerate(bodies))
    seconds: list[float] = [0.0] * len(bodies)
    answers: list[Any] = [None] * len(bodies)

    async def send(client: httpx.AsyncClient) -> None:
        for number, body in waiting:
            began = time.perf_counter()
            answer = await client.post("/v1/extract", json=body)
            answer.raise_for_status()
            seconds[number] = time.perf_counter() - began
            answers[number] = answer.json()["documents"]

    async with httpx.AsyncClient(base_url=url, timeout=600, limits=httpx.Limits(max_connections=None)) as client:
        began = time.perf_counter()
        await asyncio.gather(*(send(client) for _ in range(num_clients)))
        return time.perf_counter() - began, seconds, answers


async def send_beside_a_slow_one(url: str, bodies: list[dict[str, Any]], num_requests: int) -> dict[str, Any]:
    """Latencies of one client alone, and beside a request with all documents."""

    async def one_by_one(client: httpx.AsyncClient) -> list[float]:
        seconds = []
        for body in bodies[:num_requests]:
            began = time.perf_counter()
            (await client.post("/v1/extract", json=body)).raise_for_status()
            seconds.append(time.perf_counter() - began)
        return seconds

    documents = [document for body in bodies for document in body["documents"]]
    async with httpx.AsyncClient(base_url=url, timeout=600) as client:
        alone = await one_by_one(client)
        slow = asyncio.ensure_future(client.post("/v1/extract", json={**bodies[0], "documents": documents}))
        await asyncio.sleep(0.5)
        beside = await one_by_one(client)
        was_running = not slow.done()
        (await slow).raise_for_status()
    return {"alone": percentiles(alone), "beside": percentiles(beside), "slow_was_running": was_running}


def measure(
    path: Path, task: str, num_clients: int, num_documents: int, batch_size: int, repeats: int
) -> dict[str, Any]:
    """Documents a second of clients and of one process that reads the same texts, in turns."""
    documents = list(read_documents(path))[:num_documents]
    texts = [document.text for document in documents]
    bodies = [{"task": task, "documents": [{"id": document.id, "text": document.text}]} for document in documents]
    common = ["--task", task, "--batch-size", str(batch_size), "--set", "max_documents=100000"]
    common += ["--set", "request_seconds=3600"]
    extractor = Extractor.from_pretrained(task=task, batch_size=batch_size)
    extractor(texts[0])
    served, predicted, served_cpu, predicted_cpu, seconds = [], [], [], [], []
    with serving(common) as (url, process, _):
        asyncio.run(send_each(url, bodies[:1], 1))  # the model is loaded
        for _ in range(repeats):
            cpu_began = cpu_seconds_of(process)
            all_seconds, latencies, answers = asyncio.run(send_each(url, bodies, num_clients))
            served.append(all_seconds)
            served_cpu.append(cpu_seconds_of(process) - cpu_began)
            seconds += latencies
            began, cpu_began = time.perf_counter(), time.process_time()
            expected = list(extractor.pipe(texts))
            predicted.append(time.perf_counter() - began)
            predicted_cpu.append(time.process_time() - cpu_began)
        beside = asyncio.run(send_beside_a_slow_one(url, bodies, 20))
    num_equal = sum(
        [entity["name"] for entity in answer[0]["entities"]] == [entity.name for entity in extraction.entities]
        and len(answer[0]["relations"]) == len(extraction.relations)
        for answer, extraction in zip(answers, expected, strict=True)
    )
    return {
        "task": task,
        "documents": len(documents),
        "clients": num_clients,
        "repeats": repeats,
        "served_per_second": round(len(documents) / statistics.median(served), 2),
        "predicted_per_second": round(len(documents) / statistics.median(predicted), 2),
        "ratio": round(statistics.median(own / all_ for own, all_ in zip(predicted, served, strict=True)), 3),
        "ratios": [round(own / all_, 3) for own, all_ in zip(predicted, served, strict=True)],
        "served_per_cpu_second": round(len(documents) / statistics.median(served_cpu), 2),
        "predicted_per_cpu_second": round(len(documents) / statistics.median(predicted_cpu), 2),
        **percentiles(seconds),
        "equal_answers": num_equal,
        "one_client": beside,
    }


def make_request(number: int, texts: list[str]) -> tuple[str, bytes, int]:
    """A route, a body and the status that must come back."""
    choice = random.Random(number)
    text = choice.choice(texts)[:300]
    kinds: list[tuple[str, Any, int]] = [
        ("/v1/extract", {"task": "ncbi_disease", "documents": [{"id": number, "text": text}]}, 200),
        ("/v1/extract?format=pubtator", {"task": "bc5cdr", "documents": [{"id": number, "text": text}]}, 200),
        ("/v1/completions", {"prompt": text[:60] or "A", "max_tokens": 8, "seed": number}, 200),
        ("/v1/completions", {"prompt": text[:60] or "A", "max_tokens": 8, "stream": True}, 200),
        ("/v1/completions", {"prompt": 7}, 400),
        ("/v1/completions", {"prompt": "A", "best_of": 3}, 400),
        ("/v1/extract", {"task": "none", "documents": [{"text": text}]}, 404),
        ("/v1/extract", {"task": "bc5cdr", "documents": [{"text": "x" * 200_000}]}, 400),
        ("/v1/extract/file?task=ncbi_disease&name=a.jsonl", b'{"id": "1", "text": "Ataxia."}\nno JSON\n', 200),
        ("/v1/nothing", {}, 404),
        ("/v1/completions", b"{", 400),
    ]
    route, body, status = choice.choice(kinds)
    return route, body if isinstance(body, bytes) else json.dumps(body).encode(), status


async def send_mixed(url: str, texts: list[str], number: int, num_clients: int, first: int) -> Counter[str]:
    """Send requests of all kinds, and count what came back."""
    waiting = iter(range(first, first + number))
    counts: Counter[str] = Counter()

    async def send(client: httpx.AsyncClient) -> None:
        for index in waiting:
            route, body, status = make_request(index, texts)
            answer = await client.post(route, content=body, headers={"content-type": "application/json"})
            is_whole = "stream" not in json.loads(body if body[-1:] == b"}" else b"{}") or "[DONE]" in answer.text
            counts["as expected" if answer.status_code == status and is_whole else f"wrong {answer.status_code}"] += 1

    async with httpx.AsyncClient(base_url=url, timeout=600, limits=httpx.Limits(max_connections=None)) as client:
        await asyncio.gather(*(send(client) for _ in range(num_clients)))
    return counts


def measure_mixed(path: Path, number: int, num_clients: int) -> dict[str, Any]:
    """Whether all of many requests are answered, whether memory stays flat, and what is in the log."""
    texts = [document.text for document in read_documents(path)]
    counts: Counter[str] = Counter()
    memory = []
    with serving([]) as (url, process, log):
        for window in range(WINDOWS):
            size = number // WINDOWS
            counts += asyncio.run(send_mixed(url, texts, size, num_clients, window * size))
            memory.append(memory_of(process))
        lines = log.read_text(encoding="utf-8").splitlines()
    num_with_text = sum(any(text[:40] in line for text in texts[:200]) for line in lines)
    num_logged = sum(line.startswith("{") for line in lines)
    return {
        "requests": number,
        "answers": dict(counts),
        "memory_mib": memory,
        "log_lines": num_logged,
        "log_lines_with_texts": num_with_text,
    }


def main() -> None:
    """Measure, print, and with --output keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=Path, help="a file that read_documents reads")
    parser.add_argument("--task", default="ncbi_disease")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--limit", type=int, default=200, help="documents")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3, help="of clients and one process, in turns")
    parser.add_argument("--mixed", type=int, default=0, metavar="N", help="send N requests of all kinds instead")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    if given.mixed:
        measured = measure_mixed(given.documents, given.mixed, given.clients)
    else:
        measured = measure(given.documents, given.task, given.clients, given.limit, given.batch_size, given.repeats)
    print(json.dumps(measured, indent=2))
    if given.output:
        record.write_result("serve_load", measured, given.output)


if __name__ == "__main__":
    main()
