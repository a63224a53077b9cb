"""Tier ``model``: what ``forward`` takes and what it gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

from formers.errors import AttentionUnsupported
from formers.modeling import PreTrainedModel
from formers.outputs import ModelOutput
from formers.testing.batches import Rows, run
from formers.testing.checks import Cases, NotApplicable, check, require
from formers.testing.models import Head, equal, tensors_of
from formers.testing.subject import Subject

LENGTH = 5
_TOKENS = ("AutoModelForMaskedLM", "AutoModelForCausalLM")
_SHAPES: dict[str, Callable[[Any], dict[str, tuple[int, ...]]]] = {
    "AutoModel": lambda config: {"last_hidden_state": (2, -1, config.hidden_size)},
    "AutoModelForTextEncoding": lambda config: {"last_hidden_state": (2, LENGTH, config.hidden_size)},
    "AutoModelForMaskedLM": lambda config: {"logits": (2, LENGTH, config.vocab_size)},
    "AutoModelForCausalLM": lambda config: {"logits": (2, LENGTH, config.vocab_size)},
    "AutoModelForSeq2SeqLM": lambda config: {"logits": (2, -1, config.vocab_size)},
    "AutoModelForSequenceClassification": lambda config: {"logits": (2, config.num_labels)},
    "AutoModelForTokenClassification": lambda config: {"logits": (2, LENGTH, config.num_labels)},
    "AutoModelForQuestionAnswering": lambda config: {"start_logits": (2, LENGTH), "end_logits": (2, LENGTH)},
    "AutoModelForMultipleChoice": lambda config: {"logits": (2, 2)},
    "AutoModelForNextSentencePrediction": lambda config: {"logits": (2, 2)},
}
"""The fields that callers of an Auto class rely on, and their shapes; -1 is any size."""


def _called(subject: Subject, head: Head, **more: Any) -> tuple[PreTrainedModel, dict[str, Any], Any]:
    models = subject.models
    model = models.build(head)
    inputs = Rows(models, head, (LENGTH, LENGTH)).batch().inputs
    with torch.no_grad():
        return model, inputs, run(model, inputs, **more)


@check("model.outputs")
def outputs(subject: Subject, cases: Cases) -> None:
    """Every class gives the fields, in the shapes, that its Auto class stands for."""
    for head in subject.models.heads:
        for auto in head.autos:
            with cases(head, auto):
                model, _, output = _called(subject, head)
                require(isinstance(output, ModelOutput), f"a {type(output).__name__} is no ModelOutput")
                if auto not in _SHAPES:
                    raise NotApplicable(f"nothing is laid down about the outputs of {auto}")
                for name, shape in _SHAPES[auto](model.config).items():
                    found = output.get(name)
                    require(found is not None, f"there is no {name}")
                    same = len(found.shape) == len(shape) and all(
                        wanted in (-1, size) for size, wanted in zip(found.shape, shape, strict=True)
                    )
                    require(same, f"{name} has shape {tuple(found.shape)}; expected {shape}")


@check("model.hidden_states")
def hidden_states(subject: Subject, cases: Cases) -> None:
    """On request every layer's states and attention probabilities come out, and never empty."""
    for head in subject.models.heads:
        with cases(head):
            asked = {"output_hidden_states", "output_attentions"}
            require(asked <= head.arguments, f"forward has no {', '.join(sorted(asked - head.arguments))}")
            model, _, plain = _called(subject, head)
            output = _called(subject, head, output_hidden_states=True, output_attentions=True)[2]
            config = model.config
            states = [name for name in output if name.endswith("hidden_states")]
            attentions = [name for name in output if name.endswith("attentions")]
            require(states and attentions, f"the output has {', '.join(output)}")
            require(not set(plain) & {*states, *attentions}, "they come without being asked for")
            layers = {config.num_hidden_layers, getattr(config, "num_decoder_layers", None)}
            for name in states:
                require(len(output[name]) - 1 in layers, f"{name}: {len(output[name])} for {layers} layers")
                require(
                    all(one.shape[-1] == config.hidden_size for one in output[name]),
                    f"{name} has other widths",
                )
            for name in attentions:
                require(len(output[name]) in layers, f"{name}: {len(output[name])} for {layers} layers")
                for probs in output[name]:
                    require(
                        probs is not None and probs.shape[1] == config.num_attention_heads, f"{name}: shape"
                    )
                    ones = probs.sum(-1)
                    torch.testing.assert_close(
                        ones, torch.ones_like(ones), msg=f"{name} does not add up to 1"
                    )


@check("model.return_dict")
def return_dict(subject: Subject, cases: Cases) -> None:
    """``return_dict=False``, as an argument or in the configuration, gives the same as a tuple."""
    for head in subject.models.heads:
        with cases(head), torch.no_grad():
            require("return_dict" in head.arguments, "forward has no return_dict")
            model, inputs, output = _called(subject, head)
            expected = list(tensors_of(output).values())
            for given in ({"return_dict": False}, {}):
                model.config.return_dict = bool(given)
                found = run(model, inputs, **given)
                require(type(found) is tuple, f"it gave a {type(found).__name__}")
                require(
                    len(found) == len(output.to_tuple()),
                    f"{len(found)} values for {len(output.to_tuple())} fields",
                )
                tensors = [one for one in found if isinstance(one, torch.Tensor)]
                named = [one for one in output.to_tuple() if isinstance(one, torch.Tensor)]
                for one, other in zip(tensors, named, strict=True):
                    equal(one, other, "a value of the tuple")
            require(len(expected) > 0, "the output has no tensor")


@check("model.signature", law=5)
def signature(subject: Subject, cases: Cases) -> None:
    """``forward`` names its arguments: a misspelt one is an error, a head with labels takes the number of items."""
    for head in subject.models.heads:
        with cases(head), torch.no_grad():
            parameters = inspect.signature(head.cls.forward).parameters.values()
            swallowing = [one.name for one in parameters if one.kind is inspect.Parameter.VAR_KEYWORD]
            model, inputs, _ = _called(subject, head)
            require(head.cls.main_input_name in head.arguments, f"forward has no {head.cls.main_input_name}")
            try:
                model(**inputs, atention_mask=None)
            except TypeError:
                pass
            else:
                raise AssertionError(f"a misspelt argument goes unnoticed: {swallowing or 'it is dropped'}")
            if head.has_labels:
                require("num_items_in_batch" in head.arguments, "forward has no num_items_in_batch")


@check("model.wrong_inputs", law=5)
def wrong_inputs(subject: Subject, cases: Cases) -> None:
    """A mask of another shape, and ids outside the vocabulary, are errors that say so."""
    for head in subject.models.heads:
        with cases(head, "attention_mask"):
            if "attention_mask" not in head.arguments:
                raise NotApplicable("forward has no attention_mask")
            model, inputs, _ = _called(subject, head)
            _refused(
                model, {**inputs, "attention_mask": inputs["attention_mask"][..., :-2]}, "attention_mask"
            )
        with cases(head, "input_ids"):
            if "input_ids" not in head.arguments:
                raise NotApplicable("forward has no input_ids")
            model, inputs, _ = _called(subject, head)
            ids = inputs["input_ids"].clone()
            ids[..., 0] = model.config.vocab_size + 5
            _refused(model, {**inputs, "input_ids": ids}, "input_ids")


def _refused(model: PreTrainedModel, inputs: dict[str, Any], name: str) -> None:
    try:
        with torch.no_grad():
            run(model, inputs)
    except (ValueError, IndexError) as error:
        text = str(error)
        short = name.removeprefix("attention_").removeprefix("input_")
        require(name in text or short in text, f"the message does not name {name}: {text}")
    else:
        raise AssertionError(f"a wrong {name} goes unnoticed")


@check("model.attention_names", law=5)
def attention_names(subject: Subject, cases: Cases) -> None:
    """An unknown attention name is an error, when it is set and when a model is loaded."""
    head = subject.models.base
    model, folder = subject.models.saved(head)
    for label, attempt in (
        ("set", lambda: model.set_attn_implementation("eagre")),
        ("loaded", lambda: head.load(folder, attn_implementation="eagre")),
    ):
        with cases(label):
            try:
                attempt()
            except (AttentionUnsupported, ValueError) as error:
                require("eagre" in str(error), f"the message does not name it: {error}")
            else:
                raise AssertionError("attn_implementation='eagre' goes unnoticed")
