from __future__ import annotations

import json
import time
from typing import Any

from bench import Bench, mutant

from formers.config import PreTrainedConfig
from formers.testing import Subject
from formers_gpt2 import GPT2Config


@mutant("config.model_type")
def other_type(bench: Bench) -> Subject:
    """The configuration class is for another model type than the manifest."""
    return bench.subject("gpt2", config="broken_classes:OtherTypeConfig")


@mutant("config.tiny")
def dropout(bench: Bench) -> Subject:
    """The tiny configuration has dropout."""
    return bench.subject("gpt2", tiny="broken_classes:tiny_dropping")


@mutant("config.round_trip")
def forgetful(bench: Bench) -> Subject:
    """to_dict leaves out the number of layers."""
    return bench.subject(
        "gpt2", config="broken_classes:ForgetfulConfig", tiny="broken_classes:tiny_forgetful"
    )


def _written(bench: Bench, change: Any) -> Subject:
    """Change what is written to config.json."""

    def edit(self: Any, values: Any, text: str) -> str:
        return json.dumps(change(json.loads(text)), indent=2, sort_keys=True) + "\n"

    bench.method(GPT2Config, "to_json_string", after=edit)
    return bench.subject("gpt2")


@mutant("config.unknown_keys")
def dropped_keys(bench: Bench) -> Subject:
    """Keys that the class does not know are dropped on writing."""
    return _written(
        bench, lambda values: {key: value for key, value in values.items() if not key.startswith("a_")}
    )


@mutant("config.bytes")
def dated(bench: Bench) -> Subject:
    """config.json holds the time of writing."""
    return _written(bench, lambda values: {**values, "written_at": time.time_ns()})


@mutant("config.auto")
def another_class(bench: Bench) -> Subject:
    """What is read from data becomes a configuration of no architecture."""
    original = PreTrainedConfig._from_data.__func__  # type: ignore[attr-defined]
    bench.patch.setattr(
        GPT2Config,
        "_from_data",
        classmethod(lambda cls, values: original(PreTrainedConfig, values)),
        raising=False,
    )
    return bench.subject("gpt2")


@mutant("config.validation")
def anything_goes(bench: Bench) -> Subject:
    """A number of tokens may be a text."""
    return bench.subject("gpt2", config="broken_classes:LooseConfig", tiny="broken_classes:tiny_loose")


@mutant("config.names")
def names_of_its_own(bench: Bench) -> Subject:
    """The width has a name of its own, and none that the core knows."""
    return bench.subject(
        "gpt2", config="broken_classes:UnmappedConfig", tiny="broken_classes:tiny_unmapped", auto={}
    )
