"""The recipe of the specification, as typed into a notebook or a script, and the same in workers that are spawned."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from fake_dists import Site, python

import formers
from formers import FormersError
from formers.plugins import registry

MODULE = """
import torch
from formers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel


class NewModelConfig(PreTrainedConfig):
    model_type = "new-model"

    def __init__(self, size=3, **kwargs):
        super().__init__(**kwargs)
        self.size = size


class NewModel(PreTrainedModel):
    config_class = NewModelConfig

    def __init__(self, config):
        super().__init__(config)
        self.linear = torch.nn.Linear(config.size, config.size)


def register():
    AutoConfig.register("new-model", NewModelConfig)
    AutoModel.register(NewModelConfig, NewModel)


def load(folder):
    return type(AutoModel.from_pretrained(folder)).__qualname__
"""
SCRIPT = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor

import formers
import recipe

if __name__ == "__main__":
    recipe.register()
    recipe.NewModel(recipe.NewModelConfig()).save_pretrained({folder!r})
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        print(type(pool.submit(recipe.load, {folder!r}).exception()).__name__)
    exported = formers.exported_registrations()
    print(len(exported), exported)
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=exported) as pool:
        print(pool.submit(recipe.load, {folder!r}).result())
"""


def test_spawned_workers_know_what_was_registered(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.module("recipe", MODULE)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(folder=str(tmp_path / "model")))
    printed = python(f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')", site).stdout
    assert printed.splitlines() == [
        "UnknownModelTypeError",
        "2 <2 registrations, of model types new-model>",
        "NewModel",
    ]


class Config(formers.PreTrainedConfig):
    model_type = "exported-test"


class Tokenizer(formers.PreTrainedTokenizerFast):
    pass


def test_everything_that_was_registered_is_repeated() -> None:
    with registry.temporary_registrations():
        formers.register(formers.Architecture("exported-too", api="1.0", config="nowhere:Config"))
        formers.AutoConfig.register("exported-test", Config)
        formers.AutoTokenizer.register(Config, fast_tokenizer_class=Tokenizer)
        repeat = pickle.loads(pickle.dumps(formers.exported_registrations()))
        expected = registry.session()
    assert not registry.session().holds("exported-test")
    with registry.temporary_registrations():
        repeat(7)  # the number of a worker
        repeat(7)
        found = registry.session()
    assert found.configs == expected.configs
    assert found.classes == expected.classes
    assert {name: one.architecture for name, one in found.architectures.items()} == {
        name: one.architecture for name, one in expected.architectures.items()
    }


def test_classes_that_a_worker_cannot_import_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Inside(formers.PreTrainedConfig):
        model_type = "inside"

    with registry.temporary_registrations():
        formers.AutoConfig.register("inside", Inside)
        with pytest.raises(
            FormersError, match=r"Inside is registered, .* inside a function. Move it to a module"
        ):
            formers.exported_registrations()
        Inside.__module__ = "__main__"
        main = type(pytest)("__main__")
        monkeypatch.setitem(__import__("sys").modules, "__main__", main)
        with pytest.raises(FormersError, match="in a notebook"):
            formers.exported_registrations()
