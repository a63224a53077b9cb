from __future__ import annotations

import pytest
import torch
from toy import ToyConfig, ToyModel

LOW = torch.finfo(torch.float32).min


def model(is_decoder: bool = False) -> ToyModel:
    return ToyModel(ToyConfig(is_decoder=is_decoder))


def test_a_padding_mask_becomes_additive_and_broadcastable() -> None:
    mask = model().get_extended_attention_mask(torch.tensor([[1, 1, 0]]), (1, 3))
    assert torch.equal(mask, torch.tensor([[[[0.0, 0.0, LOW]]]]))


def test_a_decoder_hides_the_future_too() -> None:
    mask = model(is_decoder=True).get_extended_attention_mask(torch.tensor([[0, 1, 1]]), (1, 3))
    assert torch.equal(mask[0, 0] == 0, torch.tensor([[0, 0, 0], [0, 1, 0], [0, 1, 1]]).bool())


def test_columns_before_the_inputs_are_the_past() -> None:
    mask = model(is_decoder=True).get_extended_attention_mask(torch.ones(1, 5), (1, 2))
    assert torch.equal(mask[0, 0] == 0, torch.tensor([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]).bool())


def test_a_mask_per_query_serves_every_head() -> None:
    given = torch.tensor([[[1, 0], [1, 1]]])
    mask = model().get_extended_attention_mask(given, (1, 2))
    assert mask.shape == (1, 1, 2, 2)
    assert torch.equal(mask[0, 0] == 0, given[0].bool())


def test_inverting_follows_the_dtype_of_the_model() -> None:
    mask = model().half().invert_attention_mask(torch.tensor([[1, 0]]))
    assert mask.dtype == torch.float16
    assert mask.flatten().tolist() == [0.0, torch.finfo(torch.float16).min]


@pytest.mark.parametrize("shape", [(2,), (3, 2)])
@pytest.mark.parametrize("chunked", [False, True])
def test_head_masks_get_a_dimension_per_layer(shape: tuple[int, ...], chunked: bool) -> None:
    mask = model().get_head_mask(torch.ones(shape), 3, is_attention_chunked=chunked)
    assert isinstance(mask, torch.Tensor)
    assert mask.shape == (3, 1, 2, 1, 1) + ((1,) if chunked else ())


def test_no_head_mask_is_a_none_for_each_layer() -> None:
    assert model().get_head_mask(None, 3) == [None, None, None]


@pytest.mark.parametrize("bad", [torch.ones(2), torch.ones(1, 1, 1, 1, 1)])
def test_masks_of_other_ranks_are_refused(bad: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="shape"):
        model().get_extended_attention_mask(bad, (1, 3))
    with pytest.raises(ValueError, match="head_mask"):
        model().get_head_mask(torch.ones(1, 2, 2), 3)
