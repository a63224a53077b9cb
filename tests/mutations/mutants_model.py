from __future__ import annotations

import json
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from bench import Bench, mutant
from torch import nn

from formers.layout import Layout
from formers.testing import Subject
from formers_gpt2 import GPT2LMHeadModel, GPT2Model

LM = "AutoModelForCausalLM"


@mutant("model.meta")
def allocates(bench: Bench) -> Subject:
    """A matrix is allocated although loading will replace it."""
    return bench.subject("gpt2", auto={"AutoModel": "broken_classes:AllocatingModel"})


@mutant("model.seeded")
def lucky(bench: Bench) -> Subject:
    """A weight comes from a generator of its own."""
    return bench.subject("gpt2", auto={"AutoModel": "broken_classes:LuckyModel"})


@mutant("model.initialised_again")
def not_initialised(bench: Bench) -> Subject:
    """_init_weights knows nothing of a weight that the class made itself."""
    return bench.subject("gpt2", auto={"AutoModel": "broken_classes:AllocatingModel"})


@mutant("model.ties")
def untied(bench: Bench) -> Subject:
    """tie_weights does nothing."""
    return bench.subject("gpt2", auto={LM: "broken_classes:UntyingModel"})


@mutant("model.copies")
def shared_copy(bench: Bench) -> Subject:
    """A deep copy is the model itself."""
    bench.patch.setattr(GPT2Model, "__deepcopy__", lambda self, memo: self, raising=False)
    return bench.subject("gpt2", "AutoModel")


@mutant("model.auto")
def other_class(bench: Bench) -> Subject:
    """from_config gives an object of another class."""
    bench.patch.setattr(
        GPT2LMHeadModel, "from_config", classmethod(lambda cls, config, **_: GPT2Model(config)), raising=False
    )
    return bench.subject("gpt2", LM)


@mutant("model.embeddings")
def forgets_old_tokens(bench: Bench) -> Subject:
    """Resizing draws the embeddings of all tokens anew."""

    def anew(self: Any, values: Any, result: Any) -> Any:
        self.get_input_embeddings().weight.data.normal_()
        return result

    bench.method(GPT2Model, "resize_token_embeddings", after=anew)
    return bench.subject("gpt2", "AutoModel")


@mutant("model.outputs")
def one_token_less(bench: Bench) -> Subject:
    """The logits lack the last position."""

    def cut(self: Any, values: Any, output: Any) -> Any:
        output.logits = output.logits[:, :-1]
        return output

    bench.forward(GPT2LMHeadModel, after=cut)
    return bench.subject("gpt2", LM)


@mutant("model.hidden_states")
def one_layer_less(bench: Bench) -> Subject:
    """The states of the last layer are left out."""

    def cut(self: Any, values: Any, output: Any) -> Any:
        if output.hidden_states is not None:
            output.hidden_states = output.hidden_states[:-2]
        return output

    bench.forward(GPT2LMHeadModel, after=cut)
    return bench.subject("gpt2", LM)


@mutant("model.return_dict")
def always_an_object(bench: Bench) -> Subject:
    """return_dict=False is ignored."""
    bench.patch.setattr(GPT2LMHeadModel, "_returns_output", lambda self, given: True)
    return bench.subject("gpt2", LM)


@mutant("model.signature")
def swallows(bench: Bench) -> Subject:
    """forward takes any keyword and drops it."""
    original = GPT2LMHeadModel.forward

    def forward(self: Any, input_ids: Any = None, attention_mask: Any = None, **rest: Any) -> Any:
        known = {name: value for name, value in rest.items() if name != "atention_mask"}
        return original(self, input_ids, attention_mask=attention_mask, **known)

    bench.patch.setattr(GPT2LMHeadModel, "forward", forward)
    return bench.subject("gpt2", LM)


@mutant("model.wrong_inputs")
def patient(bench: Bench) -> Subject:
    """Ids outside the vocabulary are cut to the last one."""

    def clamp(self: Any, values: dict[str, Any]) -> None:
        if values.get("input_ids") is not None:
            values["input_ids"] = values["input_ids"].clamp(max=self.config.vocab_size - 1)

    bench.forward(GPT2Model, before=clamp)
    return bench.subject("gpt2", "AutoModel")


@mutant("model.attention_names")
def any_name(bench: Bench) -> Subject:
    """An unknown attention name is taken for no name."""
    bench.patch.setattr(GPT2Model, "set_attn_implementation", lambda self, name: None)
    return bench.subject("gpt2", "AutoModel")


@mutant("model.head_mask")
def head_mask_dropped(bench: Bench) -> Subject:
    """head_mask has no effect."""
    bench.forward(GPT2Model, before=lambda self, values: values.pop("head_mask", None))
    return bench.subject("gpt2", "AutoModel")


@mutant("model.prune_heads")
def wrong_head(bench: Bench) -> Subject:
    """The other head of each layer is removed."""

    def other(self: Any, values: dict[str, Any]) -> None:
        values["heads_to_prune"] = {
            layer: [1 - head for head in heads] for layer, heads in values["heads_to_prune"].items()
        }

    bench.method(GPT2Model, "prune_heads", before=other)
    return bench.subject("gpt2", "AutoModel")


@mutant("model.no_globals")
def draws(bench: Bench) -> Subject:
    """Running the model moves the process's random generator."""
    bench.forward(GPT2Model, before=lambda self, values: torch.rand(1) and None)
    return bench.subject("gpt2", "AutoModel")


@mutant("model.threads")
def class_wide(bench: Bench) -> Subject:
    """The dtype to load in is kept on the class, where another thread changes it."""
    original = GPT2Model.from_pretrained.__func__  # type: ignore[attr-defined]

    def from_pretrained(cls: Any, *args: Any, dtype: Any = None, **kwargs: Any) -> Any:
        cls._dtype_to_load = dtype
        time.sleep(0.05)
        return original(cls, *args, dtype=cls._dtype_to_load, **kwargs)

    bench.patch.setattr(GPT2Model, "_dtype_to_load", None, raising=False)
    bench.patch.setattr(GPT2Model, "from_pretrained", classmethod(from_pretrained))
    return bench.subject("gpt2", "AutoModel")


@mutant("model.data_is_not_code")
def obeys(bench: Bench) -> Subject:
    """A module that the folder names is run."""
    original = GPT2Model.from_pretrained.__func__  # type: ignore[attr-defined]

    def from_pretrained(cls: Any, folder: Path, *args: Any, **kwargs: Any) -> Any:
        if "auto_map" in json.loads((Path(folder) / "config.json").read_text("utf-8")):
            exec((Path(folder) / "evil.py").read_text("utf-8"), {})
        return original(cls, folder, *args, **kwargs)

    bench.patch.setattr(GPT2Model, "from_pretrained", classmethod(from_pretrained))
    return bench.subject("gpt2", "AutoModel")


@mutant("model.quiet")
def chatty(bench: Bench) -> Subject:
    """Every call warns of something."""
    bench.forward(GPT2Model, before=lambda self, values: warnings.warn("by the way", stacklevel=2))
    return bench.subject("gpt2", "AutoModel")


@mutant("numerics.gradients_reach")
def unused(bench: Bench) -> Subject:
    """A weight takes no part in the answers."""
    return bench.subject("gpt2", auto={"AutoModel": "broken_classes:AllocatingModel"})


@mutant("numerics.gradient_checkpointing")
def keeps_everything(bench: Bench) -> Subject:
    """Layers are run once although gradient checkpointing is on."""
    import formers_gpt2.modeling

    def run_layer(stack: Any, layer: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return layer(*args, **kwargs)

    bench.patch.setattr(formers_gpt2.modeling, "run_layer", run_layer)
    return bench.subject("gpt2", "AutoModel")


@mutant("numerics.packed")
def one_document(bench: Bench) -> Subject:
    """Packed documents read each other."""

    def merge(self: Any, values: dict[str, Any]) -> None:
        layout = values.get("attention_mask")
        if isinstance(layout, Layout) and layout.is_packed:
            total = layout.tokens
            values["position_ids"] = layout.positions()
            values["attention_mask"] = Layout.packed(torch.tensor([0, total]), total, total)

    bench.forward(GPT2Model, before=merge)
    return bench.subject("gpt2", "AutoModel", capabilities={"packed"})
