from __future__ import annotations

import json
import os
import threading
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from toy import ToyConfig, ToyForMaskedLM, ToyForSequenceClassification, ToyModel

from formers.errors import (
    ConfigValidationError,
    CorruptFileError,
    LoadError,
    MissingWeightsError,
    MissingWeightsWarning,
    ResourceLimitError,
    ShapeMismatchError,
    UnexpectedWeightsWarning,
)
from formers.modeling import PreTrainedModel


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    ToyForMaskedLM(ToyConfig()).save_pretrained(tmp_path)
    return tmp_path


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_weights(folder: Path, change: object) -> None:
    path = folder / "model.safetensors"
    tensors = {key: value.clone() for key, value in load_file(path).items()}
    save_file(change(tensors), path, metadata={"format": "pt"})  # type: ignore[operator]


def same(left: nn.Module, right: nn.Module) -> bool:
    ours, theirs = left.state_dict(), right.state_dict()
    return list(ours) == list(theirs) and all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_saved_model_comes_back_bit_for_bit_in_evaluation_mode(tmp_path: Path) -> None:
    model = ToyForMaskedLM(ToyConfig())
    model.save_pretrained(tmp_path)
    loaded = ToyForMaskedLM.from_pretrained(tmp_path)
    assert same(model, loaded)
    assert not loaded.training
    assert loaded.head.weight is loaded.toy.embeddings.weight
    assert loaded.config.name_or_path == str(tmp_path)
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    assert torch.equal(loaded.toy.steps, torch.arange(8))


def test_loading_needs_no_path_when_config_and_weights_are_given() -> None:
    model = ToyForMaskedLM(ToyConfig())
    loaded = ToyForMaskedLM.from_pretrained(None, config=model.config, state_dict=model.state_dict())
    assert same(model, loaded)


def test_a_state_dict_replaces_the_weights_of_the_folder(folder: Path) -> None:
    other = ToyForMaskedLM(ToyConfig())
    assert same(ToyForMaskedLM.from_pretrained(folder, state_dict=other.state_dict()), other)


def test_head_weights_load_into_the_base_model_and_back(folder: Path, tmp_path: Path) -> None:
    with pytest.warns(UnexpectedWeightsWarning, match=r"not used in ToyModel: \['head.bias'\]"):
        base = ToyModel.from_pretrained(folder)
    base.save_pretrained(tmp_path / "base")
    with pytest.warns(MissingWeightsWarning, match="not initialized from pretrained model"):
        head = ToyForSequenceClassification.from_pretrained(tmp_path / "base")
    assert torch.equal(head.toy.layers[1].query.weight, base.layers[1].query.weight)
    assert head.load_report.missing_keys == ["classifier.bias", "classifier.weight"]
    assert head.classifier.weight.std() > 0
    assert not head.classifier.bias.any()


def test_the_report_is_returned_on_request(folder: Path) -> None:
    model, info = ToyForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert info is model.load_report
    assert (info["missing_keys"], info["unexpected_keys"], info["mismatched_keys"], info["error_msgs"]) == (
        [],
        [],
        [],
        [],
    )


def test_weights_that_are_not_optional_must_be_there(folder: Path) -> None:
    edit_weights(folder, lambda tensors: {k: v for k, v in tensors.items() if "layers.0.query" not in k})
    with pytest.raises(MissingWeightsError, match=r"toy\.layers\.0\.query\.weight"):
        ToyForMaskedLM.from_pretrained(folder)
    with pytest.warns(MissingWeightsWarning):
        model = ToyForMaskedLM.from_pretrained(folder, strict=False)
    assert model.load_report.missing_keys == ["toy.layers.0.query.bias", "toy.layers.0.query.weight"]
    assert not any(parameter.is_meta for parameter in model.parameters())
    assert not model.toy.layers[0].query.weight.isnan().any()


def test_a_prefix_is_diagnosed(folder: Path) -> None:
    edit_weights(folder, lambda tensors: {f"module.{key}": value for key, value in tensors.items()})
    with pytest.raises(MissingWeightsError, match=r"match after removing the prefix 'module\.'"):
        ToyForMaskedLM.from_pretrained(folder)


def test_a_shape_mismatch_names_both_shapes(folder: Path) -> None:
    edit_config(folder, num_labels=2, hidden_size=8)
    with pytest.raises(ShapeMismatchError, match=r"toy\.embeddings\.weight") as caught:
        ToyForMaskedLM.from_pretrained(folder)
    assert "(32, 16)" in str(caught.value)
    assert "(32, 8)" in str(caught.value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ToyForMaskedLM.from_pretrained(folder, ignore_mismatched_sizes=True)
    assert model.toy.embeddings.weight.shape == (32, 8)
    assert not model.toy.embeddings.weight.isnan().any()


def test_an_integer_tensor_for_a_float_parameter_is_refused(folder: Path) -> None:
    edit_weights(folder, lambda tensors: tensors | {"head.bias": tensors["head.bias"].to(torch.int64)})
    with pytest.raises(ShapeMismatchError, match=r"head\.bias"):
        ToyForMaskedLM.from_pretrained(folder)


@pytest.mark.parametrize("argument", ["dtype", "torch_dtype"])
@pytest.mark.parametrize("value", [torch.float16, "float16", "bfloat16", torch.float64])
def test_the_dtype_argument_decides(folder: Path, argument: str, value: object) -> None:
    model = ToyForMaskedLM.from_pretrained(folder, **{argument: value})
    expected = getattr(torch, value) if isinstance(value, str) else value
    assert {parameter.dtype for parameter in model.parameters()} == {expected}
    assert torch.get_default_dtype() == torch.float32


def test_without_an_argument_the_configuration_decides_then_the_checkpoint(folder: Path) -> None:
    ToyForMaskedLM(ToyConfig()).half().save_pretrained(folder)
    assert ToyForMaskedLM.from_pretrained(folder).dtype == torch.float16
    edit_config(folder, dtype="float64")
    assert ToyForMaskedLM.from_pretrained(folder).dtype == torch.float64
    edit_config(folder, dtype=None)
    assert ToyForMaskedLM.from_pretrained(folder).dtype == torch.float16


def test_some_weights_stay_in_float32(folder: Path) -> None:
    class Careful(ToyForMaskedLM):
        float32_weights = (r"norm\.",)

    model = Careful.from_pretrained(folder, dtype="float16")
    assert model.toy.layers[0].norm.weight.dtype == torch.float32
    assert model.toy.layers[0].query.weight.dtype == torch.float16
    built = Careful.from_config(ToyConfig(), dtype="float16")
    assert built.toy.layers[0].norm.weight.dtype == torch.float32
    for wide in (
        Careful.from_pretrained(folder, dtype="bfloat16"),
        built.from_config(ToyConfig(), dtype="bfloat16"),
    ):
        assert {parameter.dtype for parameter in wide.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("bad", ["float99", "load", "int8", 3])
def test_an_unknown_dtype_is_refused(folder: Path, bad: object) -> None:
    with pytest.raises(ValueError, match="dtype"):
        ToyForMaskedLM.from_pretrained(folder, dtype=bad)


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu"), {"": "cpu"}])
def test_a_device_map_of_one_device(folder: Path, device: object) -> None:
    assert ToyForMaskedLM.from_pretrained(folder, device_map=device).device.type == "cpu"


def test_a_device_map_of_several_devices_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="one device"):
        ToyForMaskedLM.from_pretrained(folder, device_map={"toy": "cpu", "head": "meta"})


QUIET = pytest.mark.filterwarnings("ignore:Weights from")  # the classifier is new, the head unused


@QUIET
def test_keyword_arguments_override_the_configuration_and_the_rest_constructs(folder: Path) -> None:
    model = ToyForSequenceClassification.from_pretrained(folder, num_labels=5, bias=False)
    assert model.classifier.out_features == 5
    assert model.classifier.bias is None
    with pytest.raises(TypeError, match="biass"):
        ToyForSequenceClassification.from_pretrained(folder, biass=False)


@QUIET
def test_an_explicit_configuration_is_left_alone(folder: Path) -> None:
    config = ToyConfig(num_labels=4)
    model = ToyForSequenceClassification.from_pretrained(folder, config=config, bias=False)
    assert model.classifier.out_features == 4
    model.set_attn_implementation("eager")
    assert config._attn_implementation is None
    with pytest.raises(TypeError, match="num_labels"):
        ToyForSequenceClassification.from_pretrained(folder, config=config, num_labels=9)


def test_a_configuration_may_be_a_path(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text((folder / "config.json").read_text())
    assert ToyForMaskedLM.from_pretrained(folder, config=str(other)).config.vocab_size == 32
    model = ToyForMaskedLM.from_pretrained(folder, config=folder, cache_dir=tmp_path, output_attentions=True)
    assert model.config.output_attentions


def test_a_single_weights_file_needs_a_configuration(folder: Path) -> None:
    file = folder / "model.safetensors"
    assert same(
        ToyForMaskedLM.from_pretrained(file, config=ToyConfig()), ToyForMaskedLM.from_pretrained(folder)
    )


def test_more_layers_than_tensors_are_refused_at_once(folder: Path) -> None:
    edit_config(folder, num_hidden_layers=999)
    with pytest.raises((ResourceLimitError, ConfigValidationError), match="num_hidden_layers"):
        ToyForMaskedLM.from_pretrained(folder)


def test_a_huge_vocabulary_is_refused_before_memory_is_allocated(folder: Path) -> None:
    edit_config(folder, vocab_size=2**31 - 1)
    with pytest.raises(ShapeMismatchError, match=r"embeddings\.weight"):
        ToyForMaskedLM.from_pretrained(folder)


@pytest.mark.parametrize("removed", ["config.json", "model.safetensors"])
def test_an_absent_file_is_named(folder: Path, removed: str) -> None:
    os.remove(folder / removed)
    with pytest.raises(LoadError, match=removed.replace(".", r"\.")) as caught:
        ToyForMaskedLM.from_pretrained(folder)
    assert str(folder) in str(caught.value)


def test_a_broken_weights_file_is_named(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(CorruptFileError, match=r"model\.safetensors"):
        ToyForMaskedLM.from_pretrained(folder)


@pytest.mark.parametrize("argument", ["quantization_config", "load_in_8bit", "key_mapping", "tp_plan"])
def test_what_loading_cannot_do_is_refused_unless_it_asks_for_nothing(folder: Path, argument: str) -> None:
    with pytest.raises(ValueError, match=rf"{argument}=\{{'a': 1\}} is not supported"):
        ToyForMaskedLM.from_pretrained(folder, **{argument: {"a": 1}})
    assert ToyForMaskedLM.from_pretrained(folder, **{argument: None}).config.model_type == "toy"


def test_the_configuration_names_the_dtype_of_the_weights(folder: Path) -> None:
    assert ToyForMaskedLM.from_pretrained(folder, dtype="bfloat16").config.dtype == torch.bfloat16
    config = ToyConfig()
    weights = ToyForMaskedLM(config).state_dict()
    assert (
        ToyForMaskedLM.from_pretrained(None, config=config, state_dict=weights).config.dtype == torch.float32
    )
    assert config.dtype is None


@pytest.mark.parametrize("argument", ["from_tf", "from_flax"])
def test_other_frameworks_are_refused(folder: Path, argument: str) -> None:
    with pytest.raises(NotImplementedError, match=argument):
        ToyForMaskedLM.from_pretrained(folder, **{argument: True})
    ToyForMaskedLM.from_pretrained(folder, **{argument: False})


def test_unsafe_unpickling_cannot_be_asked_for(folder: Path) -> None:
    with pytest.raises(ValueError, match="weights_only"):
        ToyForMaskedLM.from_pretrained(folder, weights_only=False)


def test_pickled_weights_load_with_a_warning_unless_refused(folder: Path) -> None:
    model = ToyForMaskedLM.from_pretrained(folder)
    model.save_pretrained(folder, safe_serialization=False)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "pytorch_model.bin"]
    with pytest.warns(UserWarning, match="pytorch_model.bin"):
        assert same(ToyForMaskedLM.from_pretrained(folder), model)
    with pytest.raises(LoadError, match="use_safetensors"):
        ToyForMaskedLM.from_pretrained(folder, use_safetensors=True)


def test_resaving_with_another_sharding_never_leaves_old_weights(folder: Path) -> None:
    for size in ("1KB", "50GB", "2KB"):
        model = ToyForMaskedLM(ToyConfig())
        model.save_pretrained(folder, max_shard_size=size)
        assert same(ToyForMaskedLM.from_pretrained(folder), model)


def test_other_files_of_the_user_survive_a_save(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    ToyForMaskedLM(ToyConfig()).save_pretrained(folder, max_shard_size="1KB")
    assert (folder / "notes.txt").read_text() == "mine"
    assert not (folder / "model.safetensors").exists()


def test_variants_live_side_by_side(folder: Path) -> None:
    half = ToyForMaskedLM(ToyConfig()).half()
    half.save_pretrained(folder, variant="fp16")
    assert (folder / "model.fp16.safetensors").exists()
    assert same(ToyForMaskedLM.from_pretrained(folder, variant="fp16", dtype="float16"), half)
    assert (folder / "model.safetensors").exists()


def test_save_options(tmp_path: Path) -> None:
    model = ToyForMaskedLM(ToyConfig())
    model.save_pretrained(tmp_path / "a", save_config=False)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["model.safetensors"]
    model.save_pretrained(tmp_path / "b", is_main_process=False)
    assert not (tmp_path / "b").exists()
    other = ToyForMaskedLM(ToyConfig())
    model.save_pretrained(tmp_path / "c", state_dict=other.state_dict())
    assert same(ToyForMaskedLM.from_pretrained(tmp_path / "c"), other)
    written: list[str] = []

    def save_function(state_dict: object, path: object) -> None:
        written.append(Path(str(path)).name)
        torch.save(state_dict, str(path))

    model.save_pretrained(tmp_path / "d", save_function=save_function)
    assert written == ["pytorch_model.bin"]
    with pytest.raises(TypeError, match="max_shard"):
        model.save_pretrained(tmp_path / "e", max_shard="1KB")
    assert not (tmp_path / "e").exists()


def test_saved_configuration_names_class_and_dtype(folder: Path) -> None:
    ToyForMaskedLM(ToyConfig()).half().save_pretrained(folder)
    saved = json.loads((folder / "config.json").read_text())
    assert (saved["architectures"], saved["dtype"], saved["model_type"]) == (
        ["ToyForMaskedLM"],
        "float16",
        "toy",
    )


def test_saving_onto_a_file_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("x")
    with pytest.raises(NotADirectoryError):
        ToyForMaskedLM(ToyConfig()).save_pretrained(target)
    assert target.read_text() == "x"


def test_threads_load_different_models_and_dtypes_at_once(folder: Path) -> None:
    before = (
        torch.get_default_dtype(),
        torch.empty,
        nn.Module.register_parameter,
        PreTrainedModel.tie_weights,
    )
    dtypes = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
    expected = {dtype: ToyForMaskedLM.from_pretrained(folder, dtype=dtype) for dtype in dtypes}
    barrier, failures = threading.Barrier(16), []

    def work(index: int) -> None:
        dtype = dtypes[index % 4]
        barrier.wait()
        for _ in range(10):
            model = ToyForMaskedLM.from_pretrained(folder, dtype=dtype)
            if not same(model, expected[dtype]) or model.head.weight is not model.toy.embeddings.weight:
                failures.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert before == (
        torch.get_default_dtype(),
        torch.empty,
        nn.Module.register_parameter,
        PreTrainedModel.tie_weights,
    )


def test_weights_initialised_in_the_constructor_of_a_plugin_survive_loading(folder: Path) -> None:
    class Scaled(ToyForMaskedLM):
        optional_weights = (r"^scale$",)

        def __init__(self, config: ToyConfig) -> None:
            super().__init__(config)
            self.scale = nn.Parameter(torch.empty(3))
            nn.init.constant_(self.scale, 2.5)

    with pytest.warns(MissingWeightsWarning, match="scale"):
        model = Scaled.from_pretrained(folder)
    assert torch.equal(model.scale, torch.full((3,), 2.5))


def test_from_config_builds_fresh_weights_of_the_dtype() -> None:
    model = ToyForMaskedLM.from_config(ToyConfig(), dtype="bfloat16")
    assert model.dtype == torch.bfloat16
    assert model.toy.embeddings.weight.std() > 0


def test_quantised_weights_are_refused(folder: Path) -> None:
    edit_config(folder, quantization_config={"quant_method": "mystery"})
    with pytest.raises(ConfigValidationError, match="mystery"):
        ToyForMaskedLM.from_pretrained(folder)


def test_weights_that_are_not_finite_are_refused_on_request(folder: Path) -> None:
    edit_weights(folder, lambda tensors: tensors | {"head.bias": tensors["head.bias"] + torch.nan})
    ToyForMaskedLM.from_pretrained(folder)
    with pytest.raises(CorruptFileError, match=r"head\.bias"):
        ToyForMaskedLM.from_pretrained(folder, check_finite=True)


def test_a_limit_of_reading_can_be_set(folder: Path) -> None:
    with pytest.raises(ResourceLimitError, match="max_header_bytes"):
        ToyForMaskedLM.from_pretrained(folder, max_header_bytes=100)


def test_weights_may_be_copied_out_of_the_file(folder: Path) -> None:
    model = ToyForMaskedLM.from_pretrained(folder, disable_mmap=True)
    (folder / "model.safetensors").write_bytes(b"")
    assert torch.isfinite(model(torch.zeros(1, 2, dtype=torch.long)).logits).all()


def test_saving_takes_what_transformers_takes_and_refuses_misspelt_arguments(tmp_path: Path) -> None:
    model = ToyModel(ToyConfig())
    model.save_pretrained(tmp_path / "a", token=None, save_peft_format=True, save_original_format=True)
    assert (tmp_path / "a" / "config.json").is_file()
    with pytest.raises(TypeError, match="max_shard, repo_id, but push_to_hub is not set"):
        model.save_pretrained(tmp_path / "b", repo_id="x", max_shard="1KB")
    assert not (tmp_path / "b").exists()
