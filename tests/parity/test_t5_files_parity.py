"""T5's folders and weights are those of transformers 5.23: names, order, fresh values, saved files, mT5, Flan-T5."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from padded_batches import close, shapes
from safetensors.torch import load_file, save_file
from t5_models import CONFIGURATIONS, NAMES, SIZES, TASKS, make_batch, make_pair
from torch import Tensor

import formers
import formers_t5
from formers.errors import FormersWarning, MissingWeightsWarning, UnexpectedWeightsWarning
from formers_t5 import MT5Config, T5Config

pytestmark = pytest.mark.parity

AUTO = {
    "T5Model": "AutoModel",
    "T5ForConditionalGeneration": "AutoModelForSeq2SeqLM",
    "T5EncoderModel": "AutoModelForTextEncoding",
    "T5ForSequenceClassification": "AutoModelForSequenceClassification",
    "T5ForTokenClassification": "AutoModelForTokenClassification",
    "T5ForQuestionAnswering": "AutoModelForQuestionAnswering",
}
# 5.23 saves models with a head of their own as tied, and warns of it when it reads them.
SAVED_AS_TIED = pytest.mark.filterwarnings("ignore:.*stored with different values and therefore not tied")
HEADS_ALONE = [name for name in NAMES if name not in ("T5ForConditionalGeneration", "T5EncoderModel")]


def inputs_of(config: Any, name: str) -> dict[str, Tensor]:
    """Inputs without padding or labels."""
    tensors = make_batch(config, TASKS[name], "none").tensors
    return {key: value for key, value in tensors.items() if key.endswith("input_ids")}


def tensors_of(model: Any, inputs: dict[str, Tensor]) -> list[Tensor]:
    return [value for value in model(**inputs).to_tuple() if isinstance(value, Tensor)]


def read_by_us(name: str, folder: Path, **options: Any) -> Any:
    """Our model of a folder, of which every tensor was used."""
    model, report = getattr(formers_t5, name).from_pretrained(folder, output_loading_info=True, **options)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    return model


def read_by_them(oracle: Any, name: str, folder: Path, **options: Any) -> Any:
    model, info = getattr(oracle, name).from_pretrained(folder, output_loading_info=True, **options)
    assert not any(info.values()), info
    return model


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("name", NAMES)
def test_names_and_shapes_of_weights(oracle: Any, name: str, configuration: str) -> None:
    settings = SIZES | CONFIGURATIONS[configuration]
    ours = getattr(formers_t5, name)(T5Config(**settings))
    theirs = getattr(oracle, name)(oracle.T5Config(**settings))
    assert shapes(ours) == shapes(theirs)
    assert [key for key, _ in ours.named_parameters()] == [key for key, _ in theirs.named_parameters()]


@SAVED_AS_TIED
@pytest.mark.parametrize("configuration", ["v1.0", "v1.1", "deeper decoder", "shallower decoder"])
@pytest.mark.parametrize("name", NAMES)
def test_each_reads_what_the_other_saved(oracle: Any, name: str, configuration: str, tmp_path: Path) -> None:
    ours, theirs = make_pair(oracle, name, "sdpa", wide=False, **CONFIGURATIONS[configuration])
    inputs = inputs_of(ours.config, name)
    if name not in ("T5EncoderModel", "T5ForTokenClassification"):
        inputs["use_cache"] = False  # type: ignore[assignment]
    expected = tensors_of(theirs, inputs)

    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    assert sorted(load_file(tmp_path / "ours" / "model.safetensors")) == sorted(
        load_file(tmp_path / "theirs" / "model.safetensors")
    )
    models = [
        ours,
        read_by_them(oracle, name, tmp_path / "ours", dtype=torch.float64),
        read_by_us(name, tmp_path / "theirs", dtype=torch.float64),
    ]
    for model in models:
        for found, value in zip(tensors_of(model, inputs), expected, strict=True):
            close(found, value, 1e-5)  # their norms are taken in float32
    for key in SIZES | CONFIGURATIONS[configuration]:
        if key != "tie_word_embeddings":  # theirs says True always
            assert getattr(models[2].config, key) == getattr(theirs.config, key), key


@pytest.mark.filterwarnings("ignore:Weights from")
@pytest.mark.parametrize("name", HEADS_ALONE)
def test_a_head_on_the_weights_of_a_language_model(oracle: Any, name: str, tmp_path: Path) -> None:
    """Fine-tuning begins there: both miss the head and leave the decoder's scores of tokens unused, nothing else."""
    _, theirs = make_pair(oracle, "T5ForConditionalGeneration", **CONFIGURATIONS["v1.1"])
    theirs.save_pretrained(tmp_path)
    _, expected = getattr(oracle, name).from_pretrained(tmp_path, output_loading_info=True)
    with pytest.warns(UnexpectedWeightsWarning if name == "T5Model" else MissingWeightsWarning):
        ours, report = getattr(formers_t5, name).from_pretrained(tmp_path, output_loading_info=True)
    assert set(report["missing_keys"]) == set(expected["missing_keys"])
    assert {"lm_head.weight"} >= set(report["unexpected_keys"])
    stack = ours.get_encoder() if hasattr(ours, "get_encoder") else ours.transformer.encoder
    close(stack.embed_tokens.weight, theirs.shared.weight)


@pytest.mark.parametrize("stored", ["tied", "untied"])
@pytest.mark.parametrize("says", [True, False, None])
def test_stored_values_decide_what_is_tied(
    oracle: Any, says: bool | None, stored: str, tmp_path: Path
) -> None:
    """Whatever ``tie_word_embeddings`` says: it tells whether the decoder's outputs are scaled."""
    _, theirs = make_pair(oracle, "T5ForConditionalGeneration", wide=False)
    if stored == "untied":
        theirs.lm_head.weight = torch.nn.Parameter(torch.randn_like(theirs.lm_head.weight))
    theirs.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text("utf-8"))
    written.pop("tie_word_embeddings", None), written.pop("scale_decoder_outputs", None)
    written |= {} if says is None else {"tie_word_embeddings": says}
    (tmp_path / "config.json").write_text(json.dumps(written), "utf-8")
    contradictory = stored == "untied" and says is not False
    with pytest.warns(FormersWarning, match="different values") if contradictory else nullcontext():
        ours = read_by_us("T5ForConditionalGeneration", tmp_path, dtype=torch.float64)
    again = read_by_them(oracle, "T5ForConditionalGeneration", tmp_path, dtype=torch.float64)
    inputs = inputs_of(ours.config, "T5ForConditionalGeneration")
    close(ours(**inputs).logits, again(**inputs).logits, 1e-5)
    assert torch.equal(ours.lm_head.weight, again.lm_head.weight)
    assert (ours.lm_head.weight is ours.shared.weight) == (stored == "tied")
    assert ours.config.scale_decoder_outputs == again.config.scale_decoder_outputs == (says is not False)
    assert ours.encoder.embed_tokens.weight is ours.decoder.embed_tokens.weight is ours.shared.weight


@pytest.mark.parametrize("says", [True, False, None])
def test_a_model_from_a_configuration_is_tied_as_theirs(oracle: Any, says: bool | None) -> None:
    settings = SIZES if says is None else SIZES | {"tie_word_embeddings": says}
    ours = formers_t5.T5ForConditionalGeneration(T5Config(**settings))
    theirs = oracle.T5ForConditionalGeneration(oracle.T5Config(**settings))
    for model in (ours, theirs):
        assert model.lm_head.weight is model.shared.weight
        assert model.encoder.embed_tokens.weight is model.decoder.embed_tokens.weight is model.shared.weight


def test_a_flan_folder(oracle: Any, tmp_path: Path) -> None:
    """T5 1.1 with a stored head; as published, the embeddings are there three times, with a position bias too many."""
    _, theirs = make_pair(oracle, "T5ForConditionalGeneration", wide=False, **CONFIGURATIONS["v1.1"])
    weights = {key: value.clone() for key, value in theirs.state_dict().items()}
    bias = weights["decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
    weights["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"] = bias.clone()
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    config = SIZES | {
        "architectures": ["T5ForConditionalGeneration"], "feed_forward_proj": "gated-gelu", "model_type": "t5",
        "tie_word_embeddings": False, "is_encoder_decoder": True, "n_positions": 512, "output_past": True,
        "num_decoder_layers": 2, "transformers_version": "4.23.1", "torch_dtype": "float32",
        "task_specific_params": {"summarization": {"num_beams": 4, "prefix": "summarize: "}},
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    ours = read_by_us("T5ForConditionalGeneration", tmp_path, dtype=torch.float64)
    inputs = inputs_of(ours.config, "T5ForConditionalGeneration")
    close(ours(**inputs).logits, theirs(**inputs).logits, 1e-5)
    assert ours.lm_head.weight is not ours.shared.weight
    assert ours.config.task_specific_params["summarization"]["prefix"] == "summarize: "
    assert ours.config.n_positions == 512


@SAVED_AS_TIED
@pytest.mark.parametrize("name", NAMES)
def test_folders_of_mt5_both_ways(oracle: Any, name: str, tmp_path: Path) -> None:
    settings = SIZES | {"feed_forward_proj": "gated-gelu", "num_decoder_layers": 1}
    theirs = getattr(oracle, f"M{name}")(oracle.MT5Config(**settings)).double()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(0.1, 0.4)
    if hasattr(theirs, "lm_head"):
        theirs.lm_head.weight = torch.nn.Parameter(torch.randn_like(theirs.lm_head.weight))
    theirs.save_pretrained(tmp_path / "theirs")
    auto = getattr(formers, AUTO[name])
    ours, report = auto.from_pretrained(tmp_path / "theirs", output_loading_info=True, dtype=torch.float64)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    assert type(ours) is getattr(formers_t5, name)
    assert type(ours.config) is type(formers.AutoConfig.from_pretrained(tmp_path / "theirs")) is MT5Config
    ours.save_pretrained(tmp_path / "ours")
    assert json.loads((tmp_path / "ours" / "config.json").read_text("utf-8"))["model_type"] == "mt5"
    again = read_by_them(oracle, f"M{name}", tmp_path / "ours", dtype=torch.float64)
    inputs = inputs_of(ours.config, name)
    expected = tensors_of(theirs, inputs)
    for model in (ours, again):
        for found, value in zip(tensors_of(model, inputs), expected, strict=True):
            close(found, value, 1e-5)


@SAVED_AS_TIED
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_what_stays_in_float32(oracle: Any, dtype: torch.dtype, tmp_path: Path) -> None:
    """The published models overflow float16 otherwise."""
    _, theirs = make_pair(oracle, "T5ForConditionalGeneration", **CONFIGURATIONS["v1.1"])
    theirs.float().save_pretrained(tmp_path)
    ours = read_by_us("T5ForConditionalGeneration", tmp_path, dtype=dtype)
    again = read_by_them(oracle, "T5ForConditionalGeneration", tmp_path, dtype=dtype)
    kinds = {name: parameter.dtype for name, parameter in again.named_parameters()}
    if dtype == torch.float16:
        assert torch.float32 in kinds.values()
    assert {name: parameter.dtype for name, parameter in ours.named_parameters()} == kinds
    inputs = inputs_of(ours.config, "T5ForConditionalGeneration")
    found, expected = ours(**inputs).logits, again(**inputs).logits
    exact = theirs.double()(**inputs).logits
    assert found.dtype == expected.dtype
    assert (found - exact).norm() <= 2 * (expected - exact).norm()


@pytest.mark.parametrize("name", NAMES)
def test_fresh_weights(oracle: Any, name: str) -> None:
    """The same means and standard deviations."""
    settings = SIZES | {
        "vocab_size": 300, "d_model": 192, "d_kv": 48, "d_ff": 256, "num_heads": 4, "initializer_factor": 1.5,
        "feed_forward_proj": "gated-gelu", "num_labels": 9, "relative_attention_num_buckets": 500,
        "relative_attention_max_distance": 900,
    }  # fmt: skip
    if name == "T5ForQuestionAnswering":
        settings["num_labels"] = 2
    ours = getattr(formers_t5, name)(T5Config(**settings))
    theirs = getattr(oracle, name)(oracle.T5Config(**settings))
    for (key, found), expected in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        spread = expected.std().item()
        few = expected.numel() < 2000
        assert found.mean().item() == pytest.approx(expected.mean().item(), abs=0.2 * spread + 1e-9), key
        assert found.std().item() == pytest.approx(spread, rel=0.15 if few else 0.05), key


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"feed_forward_proj": "gated-gelu"},
        {"feed_forward_proj": "gated-silu"},
        {"feed_forward_proj": "gelu"},
        {"num_decoder_layers": 3},
        {"scale_decoder_outputs": False},
        {"dense_act_fn": "silu"},
        {"is_gated_act": True},
        {"is_decoder": True, "use_cache": False},
    ],
    ids=str,
)
def test_configurations(oracle: Any, options: dict[str, Any]) -> None:
    ours, theirs = T5Config(**options).to_dict(), oracle.T5Config(**options).to_dict()
    assert {key: ours[key] for key in theirs if key != "transformers_version"} == {
        key: value for key, value in theirs.items() if key != "transformers_version"
    }


def test_the_configuration_of_mt5(oracle: Any) -> None:
    ours, theirs = MT5Config().to_dict(), oracle.MT5Config().to_dict()
    differing = {key for key in theirs if ours.get(key) != theirs[key]}
    assert differing == {
        "transformers_version",
        "tie_word_embeddings",
    }  # theirs says True, whatever is stored
