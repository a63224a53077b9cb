from __future__ import annotations

import pytest
import torch

import formers
import formers_attention_blockwise
from formers.attention import AttentionRequest
from formers.attention.select import select
from formers_attention_blockwise import Blockwise

REQUEST = AttentionRequest("any architecture", "encode", "cpu", torch.float32, 2, 8)


def test_every_architecture_knows_the_name() -> None:
    assert isinstance(select(REQUEST, "blockwise").implementation, Blockwise)


def test_it_is_never_chosen_without_being_asked_for() -> None:
    assert select(REQUEST, "auto").implementation.name == "sdpa"


def test_switched_off_the_name_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORMERS_DISABLE_PLUGINS", "formers-attention-blockwise")
    formers.refresh_plugins()
    with pytest.raises(formers.AttentionUnsupported, match="there is no attention called 'blockwise'"):
        select(REQUEST, "blockwise")
    monkeypatch.undo()
    formers.refresh_plugins()


def test_every_public_name_can_be_imported() -> None:
    for name in formers_attention_blockwise.__all__:
        assert getattr(formers_attention_blockwise, name) is not None
    assert set(formers_attention_blockwise.__all__) <= set(dir(formers_attention_blockwise))
    with pytest.raises(AttributeError, match="Blokwise"):
        formers_attention_blockwise.Blokwise  # noqa: B018
