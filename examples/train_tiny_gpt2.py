"""Train a tiny GPT-2 on the text of Python's own manual: about two minutes on two cores, in a plain PyTorch loop.

    python examples/train_tiny_gpt2.py tiny-gpt2
    formers run text-generation --model tiny-gpt2 "The with statement"

The text is what ``help("topics")`` shows; every Python has it. Same seed, same machine: same model.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import torch
from torch import Tensor

from formers import PreTrainedTokenizerBase
from formers_gpt2 import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

VOCABULARY = 1024
LENGTH = 128  # tokens of a window, and positions of the model
BATCH = 16
WARM_UP = 40
HELD_OUT = 0.05  # of the text, never trained on
EVERY = 10  # steps between two looks at the loss


def read_corpus() -> list[str]:
    """The articles of the manual, in one order for every run."""
    return [text.strip() for _, text in sorted(topics.items())]


def tokens_of(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> Tensor:
    """All texts one after another, each with an end token behind it: int64 [tokens]."""
    rows = tokenizer(texts)["input_ids"]
    return torch.tensor([token for row in rows for token in (*row, tokenizer.eos_token_id)])


def new_model(tokenizer: PreTrainedTokenizerBase) -> GPT2LMHeadModel:
    """A model of about a million weights."""
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=LENGTH,
        n_embd=128,
        n_layer=4,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return GPT2LMHeadModel(config)


def windows(tokens: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Stretches of the text that begin anywhere: int64 [count, LENGTH]."""
    starts = torch.randint(len(tokens) - LENGTH + 1, (count, 1), generator=generator)
    return tokens[starts + torch.arange(LENGTH)]


def learning_rate(step: int, steps: int, highest: float) -> float:
    """Up in a straight line, then down along half a cosine to a tenth."""
    if step < WARM_UP:
        return highest * (step + 1) / WARM_UP
    done = (step - WARM_UP) / max(1, steps - WARM_UP)
    return highest * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))


@torch.no_grad()
def held_out_loss(model: GPT2LMHeadModel, tokens: Tensor) -> float:
    """Nats for each predicted token of text that the model was not trained on."""
    model.eval()
    total, count = 0.0, 0
    for rows in tokens[: len(tokens) // LENGTH * LENGTH].view(-1, LENGTH).split(BATCH):
        (term,) = model.loss_terms(input_ids=rows, labels=rows).values()
        total, count = total + float(term.sum), count + int(term.count)
    model.train()
    return total / count


class Progress:
    """One line about the training, rewritten on a terminal, and now and then a new one elsewhere."""

    def __init__(self, steps: int) -> None:
        self._steps, self._started = steps, time.perf_counter()
        self._rewrites = sys.stdout.isatty()

    def show(self, step: int, loss: float) -> None:
        """Print where training is after ``step`` steps, and the mean loss of the last ones."""
        seconds = time.perf_counter() - self._started
        speed = step * BATCH * LENGTH / seconds
        left = round(seconds / step * (self._steps - step))
        line = (
            f"step {step:>4} of {self._steps}   loss {loss:6.3f}   {speed:>7,.0f} tokens/s   "
            f"{left // 60}:{left % 60:02} left"
        )
        if self._rewrites:
            print(f"\r{line}", end="" if step < self._steps else "\n", flush=True)
        elif step % (10 * EVERY) == 0 or step == self._steps:
            print(line, flush=True)


def train(model: GPT2LMHeadModel, tokens: Tensor, steps: int, highest: float, seed: int) -> None:
    """The loop. The labels are the inputs: the model compares each position with the token behind it."""
    generator = torch.Generator().manual_seed(seed)
    decayed = [weight for weight in model.parameters() if weight.dim() > 1]
    others = [weight for weight in model.parameters() if weight.dim() <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": 0.1},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98))
    progress = Progress(steps)
    losses: list[float] = []
    model.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, highest)
        rows = windows(tokens, BATCH, generator)
        loss = model(rows, labels=rows).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if len(losses) == EVERY or step + 1 == steps:
            progress.show(step + 1, sum(losses) / len(losses))
            losses.clear()


def main() -> None:
    """Read the command line; make a tokenizer and a model; train; save."""
    parser = argparse.ArgumentParser(description="Train a tiny GPT-2 on the text of Python's own manual.")
    parser.add_argument("folder", type=Path, help="where to save the model and its tokenizer")
    parser.add_argument("--steps", type=int, default=1000, help=f"of {BATCH} x {LENGTH} tokens each (1000)")
    parser.add_argument("--learning-rate", type=float, default=2.5e-3, help="the highest one (0.0025)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.steps < 1:
        parser.error("--steps must be at least 1")

    torch.manual_seed(arguments.seed)
    texts = read_corpus()
    tokenizer = GPT2Tokenizer().train_new_from_iterator(texts, VOCABULARY, show_progress=False)
    tokens = tokens_of(tokenizer, texts)
    boundary = round(len(tokens) * (1 - HELD_OUT))
    learnt, held_out = tokens[:boundary], tokens[boundary:]
    model = new_model(tokenizer)
    print(
        f"{len(texts)} articles, {len(learnt):,} tokens to learn from, {len(held_out):,} held out; "
        f"{model.num_parameters():,} weights"
    )
    print(f"before   held-out loss {held_out_loss(model, held_out):.3f} nats for each token")
    train(model, learnt, arguments.steps, arguments.learning_rate, arguments.seed)
    print(f"after    held-out loss {held_out_loss(model, held_out):.3f} nats for each token")
    tokenizer.save_pretrained(arguments.folder)
    model.save_pretrained(arguments.folder)
    print(f'saved. Now try: formers run text-generation --model {arguments.folder} "The with statement"')


if __name__ == "__main__":
    main()
