"""Tier ``generation``: ``generate`` gives what ``forward`` says, whatever the route."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from formers.errors import GenerationError
from formers.modeling import PreTrainedModel
from formers.testing.batches import Rows, run
from formers.testing.checks import Cases, check, require
from formers.testing.models import Head, close, seeded
from formers.testing.subject import Subject

NEW = 6


class Prompt:
    """A model that generates and prompts of two lengths; without an end of text, so that all lengths are known."""

    def __init__(self, subject: Subject, head: Head, seed: int = 0) -> None:
        models = subject.models
        self.model: Any = models.build(head, seed=seed)
        with seeded(seed), torch.no_grad():
            for parameter in self.model.parameters():
                parameter.normal_(0.0, 0.6)  # around zero: else one token is the best everywhere
        settings: Any = self.model.generation_config
        settings.eos_token_id, settings.do_sample = None, False
        settings.pad_token_id = settings.pad_token_id or 0
        self.crosses = models.is_encoder_decoder
        self.rows = Rows(models, head, (5, 3))
        self.inputs = self._without_target(self.rows.batch("left").inputs)

    def _without_target(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in inputs.items() if name in ("input_ids", "attention_mask")}

    def row(self, index: int) -> dict[str, Tensor]:
        """One prompt by itself."""
        return self._without_target(self.rows.rows[index])

    def new(self, **settings: Any) -> Tensor:
        """The new tokens of both rows, [2 * num_return_sequences, NEW]."""
        return self.generate(self.inputs, **settings)

    def generate(self, inputs: dict[str, Any], **settings: Any) -> Tensor:
        """The new tokens of some inputs."""
        found = self.model.generate(**inputs, **{"max_new_tokens": NEW, **settings})
        start = 1 if self.crosses else inputs["input_ids"].shape[1]
        return found[:, start:]  # type: ignore[no-any-return]

    def scores(self, index: int, new: Tensor) -> Tensor:
        """What ``forward`` scores after one prompt and each of some new tokens, without a cache."""
        row = self.row(index)
        if self.crosses:
            start = torch.tensor([[_start_of(self.model)]])
            target = torch.cat((start, new[None]), dim=1)
            return run(self.model, {**row, "decoder_input_ids": target}, use_cache=False).logits[0]  # type: ignore[no-any-return]
        ids = torch.cat((row["input_ids"], new[None]), dim=1)
        logits = run(self.model, {"input_ids": ids}, use_cache=False).logits[0]
        return logits[row["input_ids"].shape[1] - 1 :]  # type: ignore[no-any-return]

    def by_hand(self, index: int, count: int = NEW) -> Tensor:
        """The best token, again and again."""
        new = torch.zeros(0, dtype=torch.int64)
        with torch.no_grad():
            for _ in range(count):
                new = torch.cat((new, self.scores(index, new)[-1].argmax()[None]))
        return new


def _start_of(model: PreTrainedModel) -> int:
    config = model.config
    start = getattr(config, "decoder_start_token_id", None)
    return int(config.bos_token_id if start is None else start)


def prompts(subject: Subject) -> list[tuple[Head, Prompt]]:
    """A prompt for each class that generates."""
    return [(head, Prompt(subject, head)) for head in subject.models.generating()]


@check("generation.greedy", needs=("decoder",))
def greedy(subject: Subject, cases: Cases) -> None:
    """Greedy decoding is the best token of ``forward``, again and again."""
    for head, prompt in prompts(subject):
        with cases(head):
            for index in range(2):
                found = prompt.generate(prompt.row(index))[0]
                require(torch.equal(found, prompt.by_hand(index)), f"row {index}: {found.tolist()}")


@check("generation.batch", needs=("decoder",), law=2)
def batch(subject: Subject, cases: Cases) -> None:
    """Prompts of different lengths in one batch continue as each does alone."""
    for head, prompt in prompts(subject):
        with cases(head):
            output = prompt.model.generate(
                **prompt.inputs, max_new_tokens=NEW, return_dict_in_generate=True, output_logits=True
            )
            together = output.sequences[:, -NEW:]
            scores = torch.stack(output.logits, dim=1)
            for index in range(2):
                require(torch.equal(together[index], prompt.by_hand(index)), f"row {index} is another text")
                with torch.no_grad():
                    alone = prompt.scores(index, together[index])[:-1]
                close(scores[index].double(), alone.double(), f"logits of row {index}")


@check("generation.caches", needs=("decoder",), law=4)
def caches(subject: Subject, cases: Cases) -> None:
    """Without a cache, and with a static one, the tokens are the same."""
    for head, prompt in prompts(subject):
        expected = torch.stack([prompt.by_hand(index) for index in range(2)])
        for settings in ({"use_cache": True}, {"use_cache": False}, {"cache_implementation": "static"}):
            with cases(head, settings):
                require(torch.equal(prompt.new(**settings), expected), "the tokens are others")


@check("generation.one_beam", needs=("decoder",))
def one_beam(subject: Subject, cases: Cases) -> None:
    """One beam is greedy decoding."""
    for head, prompt in prompts(subject):
        with cases(head):
            expected = torch.stack([prompt.by_hand(index) for index in range(2)])
            found = prompt.new(num_beams=1)
            require(torch.equal(found, expected), "num_beams=1 is not greedy decoding")


def _likelihood(prompt: Prompt, index: int, new: Tensor) -> float:
    logits = prompt.scores(index, new)[:-1].log_softmax(-1)
    return float(logits.gather(1, new[:, None]).sum())


@check("generation.beam_scores", needs=("decoder",))
def beam_scores(subject: Subject, cases: Cases) -> None:
    """The score of a beam is the mean log-probability of its tokens, computed again without a cache."""
    for head, prompt in prompts(subject):
        with cases(head), torch.no_grad():
            output = prompt.model.generate(
                **prompt.inputs, max_new_tokens=NEW, num_beams=3, length_penalty=1.0,
                return_dict_in_generate=True, output_scores=True,
            )  # fmt: skip
            start = 1 if prompt.crosses else prompt.inputs["input_ids"].shape[1]
            for index in range(2):
                new = output.sequences[index, start:]
                mean = torch.tensor(_likelihood(prompt, index, new) / NEW, dtype=torch.float64)
                found = output.sequences_scores[index].double()
                require(
                    abs(float(found - mean)) < 1e-4, f"row {index}: {float(found):.5f}, not {float(mean):.5f}"
                )


@check("generation.logits", needs=("decoder",), law=4)
def logits(subject: Subject, cases: Cases) -> None:
    """The logits of the steps are those of ``forward`` on the whole text."""
    for head, prompt in prompts(subject):
        with cases(head), torch.no_grad():
            output = prompt.model.generate(
                **prompt.inputs, max_new_tokens=NEW, return_dict_in_generate=True, output_logits=True
            )
            start = 1 if prompt.crosses else prompt.inputs["input_ids"].shape[1]
            found = torch.stack(output.logits, dim=1)
            for index in range(2):
                new = output.sequences[index, start:]
                close(found[index].double(), prompt.scores(index, new)[:-1].double(), f"row {index}")


@check("generation.seeds", needs=("decoder",))
def seeds(subject: Subject, cases: Cases) -> None:
    """Sampling depends on the seed alone."""
    for head, prompt in prompts(subject):
        with cases(head), torch.random.fork_rng(devices=[]):
            texts = []
            for seed in (0, 0, 1, 2, 3):
                torch.manual_seed(seed)
                texts.append(prompt.new(do_sample=True, temperature=5.0, top_k=0))
            require(torch.equal(texts[0], texts[1]), "the same seed gives another text")
            require(
                any(not torch.equal(texts[0], other) for other in texts[2:]), "no seed gives another text"
            )


@check("generation.stream", needs=("decoder",))
def stream(subject: Subject, cases: Cases) -> None:
    """What is streamed, step by step, is what ``generate`` returns."""
    for head, prompt in prompts(subject):
        with cases(head):
            steps = list(prompt.model.stream(**prompt.inputs, max_new_tokens=NEW))
            tokens = torch.cat([step.ids for step in steps], dim=1)
            require(torch.equal(tokens[:, -NEW:], prompt.new()), "the streamed tokens are others")


@check("generation.not_a_number", needs=("decoder",), law=5)
def not_a_number(subject: Subject, cases: Cases) -> None:
    """Scores that are no numbers end generation with an error, not with a text."""
    for head, prompt in prompts(subject):
        with cases(head):
            with torch.no_grad():
                for parameter in prompt.model.parameters():
                    parameter.fill_(float("nan"))
            try:
                prompt.new()
            except (GenerationError, ValueError):
                continue
            raise AssertionError("a text was generated from NaN")
