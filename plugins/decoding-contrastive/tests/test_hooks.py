from __future__ import annotations

import pytest
import torch
from one_head import one_head

import formers_decoding_contrastive
from formers import GenerationArgumentError, Strategy
from formers.generation.strategies import choose


def test_the_core_finds_the_strategy() -> None:
    found = choose("contrastive_search")
    assert isinstance(found, formers_decoding_contrastive.ContrastiveSearch)
    assert isinstance(found, Strategy)


@pytest.mark.usefixtures("without_plugin")
def test_without_the_plugin_the_error_says_what_to_install() -> None:
    with pytest.raises(GenerationArgumentError, match="pip install formers-decoding-contrastive"):
        one_head().generate(torch.tensor([[5, 3]]), penalty_alpha=0.6, top_k=4)


def test_every_public_name_can_be_imported() -> None:
    for name in formers_decoding_contrastive.__all__:
        assert getattr(formers_decoding_contrastive, name) is not None
    assert set(formers_decoding_contrastive.__all__) <= set(dir(formers_decoding_contrastive))
    with pytest.raises(AttributeError, match="Kontrastive"):
        formers_decoding_contrastive.KontrastiveSearch  # noqa: B018
