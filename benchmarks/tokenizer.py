"""Tokenizers of both libraries on real sentences: single calls, ten thousand at once, and one very long text.

Nothing is reported unless both give the same answer.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import transformers

from benchmarks import processes, turns
from benchmarks.report import Row
from benchmarks.sentences import sentences
from formers import AutoTokenizer

NUMBER = 10_000
SINGLE = 200  # sentences that are encoded one by one
MEGABYTE = 1_000_000
MEBIBYTE = 1024 * 1024
QUESTION = "What does the documentation say about this?"
CUT: dict[str, Any] = {"padding": True, "truncation": True, "max_length": 128, "return_tensors": "pt"}

# The highest resident size while one text is encoded, over the size before; see benchmarks/memory.py. The time is the
# processor's: these processes cannot take turns, and nothing in them runs side by side.
LONG = """
import json, sys, time
from {library} import AutoTokenizer
def status(field):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))
with open(sys.argv[1] + "/text") as file:
    text = file.read()[:{size}]
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
tokenizer("warm up")
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before, started = status("VmRSS"), time.process_time()
rows = tokenizer(text)
seconds = time.process_time() - started
print(json.dumps(dict(seconds=seconds, peak=status("VmHWM") - before, tokens=len(rows["input_ids"]))))
"""


class Work(NamedTuple):
    """Something to do with a tokenizer, and how to name it in the table."""

    name: str
    run: Callable[[Any], list[Any]]


def rows(checkpoint: Path, repeats: int) -> list[Row]:
    """The tokenizer rows; ``checkpoint`` is a folder with a tokenizer."""
    transformers.logging.set_verbosity_error()
    ours = AutoTokenizer.from_pretrained(str(checkpoint))
    theirs = transformers.AutoTokenizer.from_pretrained(str(checkpoint))
    texts = sentences(NUMBER)
    ids = theirs(texts)["input_ids"]
    few = texts[:: NUMBER // SINGLE]
    found = [single(work, ours, theirs, 8 * repeats) for work in single_calls(few, ids[:: NUMBER // SINGLE])]
    found += [batch(work, ours, theirs, repeats) for work in batches(texts, ids)]
    return found + long_text(checkpoint, texts, max(1, repeats // 3))


def single_calls(texts: list[str], ids: list[list[int]]) -> list[Work]:
    """Calls with one text, or one row of ids."""
    to_length = {**CUT, "padding": "max_length", "max_length": 64}
    return [
        Work("tokenizer(text)", lambda t: [t(text) for text in texts]),
        Work("the same, as tensors", lambda t: [t(text, return_tensors="pt") for text in texts]),
        Work("the same, cut and padded to 64", lambda t: [t(text, **to_length) for text in texts]),
        Work("tokenizer(text, text)", lambda t: [t(QUESTION, text) for text in texts]),
        Work("tokenizer.encode(text)", lambda t: [t.encode(text) for text in texts]),
        Work("tokenizer.tokenize(text)", lambda t: [t.tokenize(text) for text in texts]),
        Work("tokenizer.decode(ids)", lambda t: [t.decode(row) for row in ids]),
    ]


def batches(texts: list[str], ids: list[list[int]]) -> list[Work]:
    """Calls with many texts, or many rows of ids."""
    parts = [texts[start : start + 64] for start in range(0, len(texts), 64)]
    return [
        Work(f"{NUMBER:,} sentences", lambda t: [t(texts)]),
        Work("the same, with offsets", lambda t: [t(texts, return_offsets_mapping=True)]),
        Work("the same, padded tensors", lambda t: [t(texts, **CUT)]),
        Work("the same, 64 at a time", lambda t: [t(part, **CUT) for part in parts]),
        Work(f"batch_decode of {NUMBER:,} rows", lambda t: [t.batch_decode(ids)]),
    ]


def single(work: Work, ours: Any, theirs: Any, rounds: int) -> Row:
    """A row about one call, in microseconds."""
    measured = compare(work, ours, theirs, rounds)
    scale = 1000 / SINGLE
    return speed_row(work.name, measured, scale, "us", ">= 1.0 x transformers' speed, aim 1.5 x")


def batch(work: Work, ours: Any, theirs: Any, rounds: int) -> Row:
    """A row about one batch, in milliseconds."""
    measured = compare(work, ours, theirs, rounds, warm_up=1)
    return speed_row(work.name, measured, 1, "ms", ">= 1.0 x transformers' speed")


def speed_row(name: str, measured: turns.Turns, scale: float, unit: str, budget: str) -> Row:
    """A row whose figure is how fast formers is."""
    speed = 1 / measured.ratio
    ours, theirs = scale * measured.ours, scale * measured.theirs
    return Row(name, ours, theirs, speed, unit, f"{speed:.2f} x its speed", budget, speed >= 1)


def compare(work: Work, ours: Any, theirs: Any, rounds: int, warm_up: int = turns.WARM_UP) -> turns.Turns:
    """Let both do the work in turns, after both have agreed on the answer."""
    if plain(work.run(ours)) != plain(work.run(theirs)):
        raise SystemExit(f"{work.name}: formers and transformers give different answers.")
    return turns.take_turns(lambda: work.run(ours), lambda: work.run(theirs), rounds, warm_up=warm_up)


def plain(answers: list[Any]) -> list[Any]:
    """Answers that can be compared: encodings as dicts, tensors as lists."""
    return [
        {name: getattr(value, "tolist", lambda value=value: value)() for name, value in answer.items()}
        if hasattr(answer, "items")
        else answer
        for answer in answers
    ]


def long_text(checkpoint: Path, texts: list[str], repeats: int) -> list[Row]:
    """Time and memory of one text of 10 MB, in fresh processes, beside those of its first half (Linux only)."""
    sizes = (5 * MEGABYTE, 10 * MEGABYTE)
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for path in (*checkpoint.glob("tokenizer*"), checkpoint / "config.json"):
            (Path(folder) / path.name).write_bytes(path.read_bytes())
        text = " ".join(texts)
        (Path(folder) / "text").write_text(text * (sizes[-1] // len(text) + 1), "ascii", "ignore")
        for _ in range(repeats):
            for size in sizes:
                for library in ("formers", "transformers"):
                    said = processes.run(LONG.format(library=library, size=size), folder)
                    found.setdefault((library, size), []).append(json.loads(said.splitlines()[-1]))
    if len({values[0]["tokens"] for (_, size), values in found.items() if size == sizes[-1]}) > 1:
        raise SystemExit("10 MB in one text: formers and transformers give different numbers of tokens.")

    def row(name: str, field: str, scale: float, unit: str) -> Row:
        middle = {key: statistics.median(said[field] for said in values) for key, values in found.items()}
        half, ours = (middle["formers", size] * scale for size in sizes)
        theirs = middle["transformers", sizes[-1]] * scale
        figure = f"{ours / half:.2f} x that of 5 MB"
        budget = "linear: < 3 x that of 5 MB"
        return Row(
            f"10 MB in one text, {name}", ours, theirs, theirs / ours, unit, figure, budget, ours < 3 * half
        )

    return [row("time", "seconds", 1000, "ms"), row("peak memory", "peak", 1 / MEBIBYTE, "MiB")]
