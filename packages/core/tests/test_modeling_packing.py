"""Which batches run without their padding, and what tells documents in one row apart."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from toy import ToyConfig, ToyModel

from formers import pack_batch
from formers.cache import DynamicCache
from formers.layout import Layout
from formers.modeling.inputs import documents_of, labels_of_documents, layout_of
from formers.modeling.packing import pack_inputs, packed_layout, unpack_states
from formers.modeling.thresholds import Threshold, threshold_for

MASK = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 1], [1, 0, 0, 1]])


@pytest.fixture
def model() -> ToyModel:
    made = ToyModel(ToyConfig()).eval()
    made.set_packing("always")
    return made


def padded(mask: Tensor = MASK) -> Layout:
    return Layout.padded(*mask.shape, mask)


def notes(model: ToyModel) -> dict[str, int]:
    return model.attention_report().packing


def test_a_padded_layout_becomes_a_packed_one_that_knows_where_it_came_from(model: ToyModel) -> None:
    given = padded()
    layout = packed_layout(model, given)
    assert layout.is_packed
    assert layout.origin is given
    assert layout.arranged is given
    assert layout.lengths == (2, 3, 2)
    assert layout.cu_seqlens.tolist() == [0, 2, 5, 7]
    assert layout.positions().tolist() == [0, 1, 0, 1, 2, 0, 3]  # a hole shifts nothing
    assert notes(model) == {"packed": 1}
    ids, labels = torch.arange(12).view(3, 4), None
    flat, nothing = pack_inputs(layout, ids=ids, labels=labels)
    assert flat.tolist() == [0, 1, 5, 6, 7, 8, 11]
    assert nothing is None
    (state,) = unpack_states(layout, (flat.float(),))
    assert torch.equal(state, ids.float() * MASK)


def test_what_does_not_need_it_or_cannot_stays_as_it_is(model: ToyModel) -> None:
    model.set_packing("never")
    given = padded()
    assert packed_layout(model, given) is given
    model.set_packing("always")
    for whole in (Layout.padded(2, 3), Layout.from_attention_mask(torch.ones(2, 3, 3), 2, 3)):
        assert packed_layout(model, whole) is whole
    assert notes(model) == {}
    filled = DynamicCache()
    filled.update(torch.zeros(3, 1, 2, 4), torch.zeros(3, 1, 2, 4), 0)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"need_probs": True}, "output_attentions"),
        ({"head_mask": torch.ones(2)}, "head_mask"),
        ({"cache": filled}, "earlier tokens"),
        ({"refused": "it is blue"}, "it is blue"),
        ({"gaps": False}, "in the middle of a row"),
    ]
    for asked, reason in cases:
        assert packed_layout(model, given, **asked) is given
        assert any(reason in note for note in notes(model)), reason
    assert packed_layout(model, given, cache=DynamicCache()).is_packed


def test_an_attention_that_cannot_serve_packed_batches_is_not_given_any(model: ToyModel) -> None:
    model.set_attn_implementation("varlen_cpu")
    given = padded()
    assert packed_layout(model, given).is_packed
    assert packed_layout(model.train(), given, needs=("probs",)) is given
    assert any("'varlen_cpu' cannot serve" in note for note in notes(model))


def test_an_accelerator_is_not_asked_about_a_small_batch(model: ToyModel) -> None:
    """Known lengths come from the CPU; others have to be waited for, which pays from some size on."""
    elsewhere = torch.device("meta")
    unknown = Layout(2, 3, mask=torch.ones(2, 3, dtype=torch.bool, device=elsewhere), device=elsewhere)
    assert unknown.lengths is None
    model.set_packing("auto")
    assert packed_layout(model, unknown) is unknown
    assert any("asking the accelerator" in note for note in notes(model))
    known = Layout.from_lengths([900, 400], 1000, device=elsewhere)
    packed = packed_layout(model, known)
    assert packed.lengths == (900, 400)
    assert packed.cu_seqlens.device == packed.places.device == elsewhere


def test_thresholds() -> None:
    threshold = Threshold(density=0.9, saved=100, tokens=5)
    assert threshold.against([8, 2], 10, 10) == ""
    assert "90% of the positions are real" in threshold.against([10, 9], 10, 10)
    assert "fewer than 5 tokens" in threshold.against([1, 2], 10, 10)
    assert "is small" in threshold.against([8, 2], 10, 1)
    assert threshold_for("cpu").tokens == 0
    assert threshold_for("cuda").waits_from > 0


def test_lengths_describe_padding_on_either_side() -> None:
    for side in ("left", "right"):
        layout = Layout.from_lengths([3, 0, 2], side=side)
        assert layout.lengths == (3, 0, 2)
        assert layout.length == 3
        assert layout.mask.sum(dim=1).tolist() == [3, 0, 2]
        assert layout.mask[2].tolist() == ([False, True, True] if side == "left" else [True, True, False])
    assert Layout.from_lengths([2, 2]).all_real_known
    for wrong in ([5], [-1]):
        with pytest.raises(ValueError, match="expected 0 to 4"):
            Layout.from_lengths(wrong, 4)


def test_packed_documents_may_leave_out_what_their_bounds_say() -> None:
    layout = Layout.packed(torch.tensor([0, 3, 3, 7]))
    assert (layout.length, layout.tokens, layout.lengths) == (4, 7, (3, 0, 4))


def test_documents_in_one_row() -> None:
    ids = torch.arange(7)[None]
    positions = torch.tensor([[0, 1, 2, 0, 0, 1, 2]])
    layout = layout_of(ids, None, documents_of(positions, None, 1, causal=True))
    assert layout.lengths == (3, 1, 3)
    assert layout.pack(ids).shape == (7,)
    assert torch.equal(layout.unpack(layout.pack(ids)), ids)
    given = torch.ones(1, 7)
    assert documents_of(positions, given, 1, causal=True) is given
    assert documents_of(positions, None, 2, causal=True) is None
    assert documents_of(positions, None, 1, DynamicCache(), causal=True) is None
    for other in ([0, 0, 0], [0, 1, 3], [1, 2, 0], [0, 1, 2], [0]):
        assert documents_of(torch.tensor([other]), None, 1, causal=True) is None


def test_documents_where_no_value_can_be_looked_at() -> None:
    """A mask keeps them apart, and their labels."""

    def work(positions: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        layout = documents_of(positions, None, 1, causal=True)
        found = labels_of_documents(labels, positions, None, layout)
        return layout.pairwise, found

    torch.compiler.reset()
    compiled = torch.compile(work, backend="aot_eager", fullgraph=True)
    labels = torch.tensor([[5, 6, 7, 8]])
    pairwise, found = compiled(torch.tensor([[0, 1, 0, 1]]), labels)
    assert pairwise[0, 0].int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]
    assert found.tolist() == [[-100, 6, -100, 8]]
    pairwise, found = compiled(torch.tensor([[0, 1, 2, 3]]), labels)
    assert torch.equal(pairwise[0, 0].int(), torch.ones(4, 4).tril().int())
    assert torch.equal(found, labels)
    torch.compiler.reset()


def test_a_bucket_holds_the_batch_and_a_document_of_filling() -> None:
    batch = {"input_ids": torch.arange(12).view(3, 4), "attention_mask": MASK, "labels": torch.ones(3, 4)}
    inputs, rows = pack_batch(batch, multiple_of=5, fill={"input_ids": 99})
    assert inputs["input_ids"].tolist() == [0, 1, 5, 6, 7, 8, 11, 99, 99, 99]
    assert inputs["labels"].tolist() == [1] * 7 + [-100] * 3
    assert inputs["position_ids"].tolist() == [0, 1, 0, 1, 2, 0, 3, 0, 0, 0]
    assert inputs["attention_mask"].cu_seqlens.tolist() == [0, 2, 5, 7, 10]
    assert inputs["attention_mask"].length == 5
    assert torch.equal(rows.unpack(inputs["input_ids"][: rows.tokens]), batch["input_ids"] * MASK)
    with pytest.raises(ValueError, match=r"attention_mask of shape \[batch, length\]; got none"):
        pack_batch({"input_ids": MASK})
    with pytest.raises(ValueError, match=r"labels of shape \(2, 4\) does not fit"):
        pack_batch({"attention_mask": MASK, "labels": torch.ones(2, 4)})
