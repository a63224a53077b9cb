"""Train a tiny T5 to fill gaps in the text of Python's own manual: a few minutes on two cores.

    python examples/train_tiny_t5.py tiny-t5
    formers run text2text-generation --model tiny-t5 'A function <extra_id_0> a return statement'

The text is what ``help("topics")`` shows; every Python has it. The collator drops other spans of a piece each time that
it comes by. Same seed, same machine: same model.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from itertools import chain, count, islice
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from formers import BatchEncoding, PreTrainedTokenizerBase
from formers_t5 import DataCollatorForT5MLM, T5Config, T5ForConditionalGeneration, T5Tokenizer

VOCABULARY = 1024
SENTINELS = 16
INPUT_LENGTH = 96  # of what the encoder reads, each text cut so as to fill it
BATCH = 16
WARM_UP = 40
HELD_OUT = 0.05  # of the text, never trained on
EVERY = 50  # steps between two lines


def read_corpus() -> list[str]:
    """The articles of the manual, in one order for every run."""
    return [text.strip() for _, text in sorted(topics.items())]


def pieces_of(tokenizer: PreTrainedTokenizerBase, texts: list[str], length: int) -> list[list[int]]:
    """The texts one after another, cut into pieces of so many tokens; the rest at the end is left out."""
    tokens = list(chain.from_iterable(tokenizer(texts, add_special_tokens=False)["input_ids"]))
    return [tokens[start : start + length] for start in range(0, len(tokens) - length + 1, length)]


def new_model(tokenizer: PreTrainedTokenizerBase) -> T5ForConditionalGeneration:
    """A model of about a million weights, in the form of T5 1.1."""
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=128,
        d_kv=32,
        d_ff=256,
        num_layers=3,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )
    return T5ForConditionalGeneration(config)


@torch.no_grad()
def held_out_loss(model: T5ForConditionalGeneration, batches: list[BatchEncoding]) -> float:
    """Nats for each token of the labels, over text that the model was not trained on."""
    model.eval()
    terms = [term for batch in batches for term in model.loss_terms(**batch).values()]
    model.train()
    return sum(float(term.sum) for term in terms) / sum(int(term.count) for term in terms)


def without_end(loader: DataLoader[Any]) -> Iterator[BatchEncoding]:
    """All batches, again and again, each time in another order."""
    return chain.from_iterable(loader for _ in count())


def train(
    model: T5ForConditionalGeneration, batches: Iterator[BatchEncoding], steps: int, highest: float
) -> None:
    """The loop. The model makes what the decoder reads of the labels."""
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    losses: list[Tensor] = []
    started = time.perf_counter()
    model.train()
    for step, batch in enumerate(islice(batches, steps), start=1):
        for group in optimizer.param_groups:
            group["lr"] = highest * min(step / WARM_UP, 1 - 0.9 * step / steps)
        loss = model(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.detach())
        if step % EVERY == 0 or step == steps:
            left = round((time.perf_counter() - started) / step * (steps - step))
            mean = float(torch.stack(losses).mean())
            print(
                f"step {step:>4} of {steps}   loss {mean:6.3f}   {left // 60}:{left % 60:02} left", flush=True
            )
            losses.clear()


def main() -> None:
    """Read the command line; make a tokenizer, batches and a model; train; save."""
    parser = argparse.ArgumentParser(description="Train a tiny T5 on the text of Python's own manual.")
    parser.add_argument("folder", type=Path, help="where to save the model and its tokenizer")
    parser.add_argument("--steps", type=int, default=1500, help=f"of {BATCH} texts each (1500)")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="the highest one (0.002)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.steps < 1:
        parser.error("--steps must be at least 1")

    torch.manual_seed(arguments.seed)
    texts = read_corpus()
    tokenizer = T5Tokenizer(extra_ids=SENTINELS).train_new_from_iterator(
        texts, VOCABULARY, show_progress=False
    )
    collate = DataCollatorForT5MLM(tokenizer, input_length=INPUT_LENGTH, seed=arguments.seed)
    assert collate.tokens_length is not None  # as input_length is given
    pieces = pieces_of(tokenizer, texts, collate.tokens_length)
    boundary = round(len(pieces) * (1 - HELD_OUT))
    learnt: DataLoader[Any] = DataLoader(
        pieces[:boundary],  # type: ignore[arg-type]  # a list is a data set
        batch_size=BATCH,
        shuffle=True,
        drop_last=True,
        collate_fn=collate,
    )
    held_out = [collate(pieces[start : start + BATCH]) for start in range(boundary, len(pieces), BATCH)]
    model = new_model(tokenizer)
    print(
        f"{len(pieces)} pieces of {collate.tokens_length} tokens, {len(pieces) - boundary} of them held out; "
        f"{model.num_parameters():,} weights"
    )
    print(f"before   held-out loss {held_out_loss(model, held_out):.3f} nats for each token")
    train(model, without_end(learnt), arguments.steps, arguments.learning_rate)
    print(f"after    held-out loss {held_out_loss(model, held_out):.3f} nats for each token")
    model.generation_config.max_new_tokens = 20
    tokenizer.save_pretrained(arguments.folder)
    model.save_pretrained(arguments.folder)
    print(
        f"saved. Now try: formers run text2text-generation --model {arguments.folder} 'The <extra_id_0> statement'"
    )


if __name__ == "__main__":
    main()
