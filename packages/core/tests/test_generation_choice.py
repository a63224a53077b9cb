"""Strategies by name: the core's, a plugin's, and what is said when there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from fake_dists import Site
from toy_causal import toy_causal

from formers.errors import GenerationArgumentError
from formers.generation.strategies import Strategy, choose
from formers.generation.strategies.choice import builtin
from formers.plugins import discovery, hooks

IDS = torch.tensor([[3, 4, 5]])
PLUGIN = """
from formers import hookimpl
from formers.generation.strategies import Generated

class Constant:
    def __init__(self, name, priority, token):
        self.name, self.priority, self.token = name, priority, token

    def decode(self, run):
        while not run.is_over:
            yield run.append(run.tokens.new_full((run.rows,), self.token))[:, None]
        return Generated(run.tokens)

@hookimpl
def formers_generation_strategies():
    return [Constant("always_nine", 0, 9), Constant("greedy_search", -1, 7), Constant("sample", 1, 8)]
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Nothing is installed but what the test puts here."""
    site = Site(tmp_path)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(discovery, "index", lambda: discovery.scan([str(site)]))
    monkeypatch.setattr(hooks, "call", hooks.Hooks().call)
    yield site
    discovery.refresh()


@pytest.fixture
def plugin(site: Site) -> None:
    site.dist("formers-nine", hooks={"nine": "strategies_of_nine"})
    site.module("strategies_of_nine", PLUGIN)


def test_each_of_the_core_s_has_a_name_of_its_own() -> None:
    strategies = builtin()
    assert all(isinstance(one, Strategy) for one in strategies)
    assert len({one.name for one in strategies}) == len(strategies)
    assert {one.priority for one in strategies} == {0}


@pytest.mark.usefixtures("plugin")
def test_a_plugin_adds_a_strategy() -> None:
    found = toy_causal().generate(IDS, max_new_tokens=3, custom_generate="always_nine")
    assert found.tolist() == [[3, 4, 5, 9, 9, 9]]


@pytest.mark.usefixtures("plugin")
def test_the_highest_priority_runs() -> None:
    model = toy_causal()
    assert model.generate(IDS, max_new_tokens=2, do_sample=True).tolist() == [[3, 4, 5, 8, 8]]
    assert model.generate(IDS, max_new_tokens=2).tolist() != [[3, 4, 5, 7, 7]]


@pytest.mark.usefixtures("site")
def test_contrastive_search_is_a_package_to_install() -> None:
    with pytest.raises(GenerationArgumentError, match="pip install formers-decoding-contrastive"):
        toy_causal().generate(IDS, penalty_alpha=0.6, top_k=4)


@pytest.mark.usefixtures("site")
def test_a_misspelt_name() -> None:
    with pytest.raises(GenerationArgumentError, match="Did you mean 'beam_search'"):
        choose("beam_serch")
