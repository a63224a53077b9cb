"""A forward that is captured for buckets of tokens, with the stand-in for the device of ``test_captured_steps``."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from captured_device import Recorder
from torch import Tensor

import formers_bert
from formers import FormersError
from formers.modeling.capturing import CapturedForward, bucket_of


def bert(kind: Any = formers_bert.BertModel) -> Any:
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = formers_bert.BertConfig(**sizes, intermediate_size=32, initializer_range=0.4, num_labels=3)
    return kind(config).eval()


def batch(*lengths: int, left: bool = False) -> dict[str, Tensor]:
    longest = max(lengths)
    mask = (torch.arange(longest) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(1, 40, (len(lengths), longest), generator=torch.Generator().manual_seed(sum(lengths)))
    return {"input_ids": ids, "attention_mask": mask.flip(1) if left else mask}


@pytest.mark.parametrize("left", [False, True])
def test_results_are_those_of_the_model(left: bool) -> None:
    model, recorder = bert(), Recorder()
    fast = CapturedForward(model, recorder=recorder)
    for lengths in ((40, 12, 7), (3, 30, 90), (100, 100, 1)):
        given = batch(*lengths, left=left)
        found = fast(**given, output_hidden_states=True)
        with torch.no_grad():
            wanted = model(**given, output_hidden_states=True)
        real = given["attention_mask"].bool()
        torch.testing.assert_close(found.last_hidden_state[real], wanted.last_hidden_state[real])
        assert not found.last_hidden_state[~real].any()
        torch.testing.assert_close(found.pooler_output, wanted.pooler_output)
        assert len(found.hidden_states) == 3
    assert (recorder.captures, recorder.replays) == (1, 3)  # all fit into 256 tokens


def test_each_bucket_and_number_of_rows_has_a_graph() -> None:
    model, recorder = bert(), Recorder()
    fast = CapturedForward(model, recorder=recorder, kept=2)
    first = batch(200, 50)
    kept = fast(**first).last_hidden_state
    before = kept.clone()
    fast(**batch(200, 60))  # 512 tokens
    fast(**batch(100, 90))
    assert torch.equal(kept, before)
    assert recorder.captures == 2
    fast(**batch(10, 9, 8))
    assert recorder.captures == 3
    fast(**batch(200, 60))
    assert recorder.captures == 4  # the third had taken its place
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.data = parameter.data.clone()
    fast(**batch(200, 60))
    assert recorder.captures == 5
    assert [bucket_of(tokens) for tokens in (1, 4096, 4097)] == [256, 256, 1024]


@pytest.mark.parametrize("name", ["BertForSequenceClassification", "BertForMaskedLM"])
def test_heads(name: str) -> None:
    model = bert(getattr(formers_bert, name))
    given = batch(20, 7)
    found = CapturedForward(model, recorder=Recorder())(**given, token_type_ids=given["input_ids"] % 2).logits
    with torch.no_grad():
        wanted = model(**given, token_type_ids=given["input_ids"] % 2).logits
    if wanted.dim() == 3:
        real = given["attention_mask"].bool()
        found, wanted = found[real], wanted[real]
    torch.testing.assert_close(found, wanted)


def test_what_is_refused() -> None:
    model = bert()
    with pytest.raises(
        FormersError, match=r"CapturedForward\(BertModel\): only a CUDA device records graphs"
    ):
        CapturedForward(model)
    fast = CapturedForward(model, recorder=Recorder())
    with pytest.raises(ValueError, match="is for inference"):
        fast(**batch(3, 2), labels=torch.zeros(2))
    model.train()
    with pytest.raises(ValueError, match="is for inference"):
        fast(**batch(3, 2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="captures on a CUDA device")
def test_on_a_gpu() -> None:
    model = bert().cuda()
    fast = CapturedForward(model)
    for lengths in ((40, 12, 7), (3, 30, 90)):
        given = {name: tensor.cuda() for name, tensor in batch(*lengths).items()}
        with torch.no_grad():
            wanted = model(**given).pooler_output
        torch.testing.assert_close(fast(**given).pooler_output, wanted, rtol=1e-4, atol=1e-4)
