"""The Auto classes of models over model classes that only note how they were called."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import formers
from formers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelWithLMHead,
    PreTrainedConfig,
)
from formers.auto import factory
from formers.auto.models import AUTO_MODELS
from formers.errors import (
    ConfigValidationError,
    LoadError,
    MissingExtraError,
    PluginConflictError,
    UnknownModelTypeError,
    UnsupportedHeadError,
)
from formers.plugins import registry


class NoteConfig(PreTrainedConfig):
    model_type = "auto-note"
    size: int = 4


class Note:
    """Stands for a PreTrainedModel."""

    config_class: ClassVar[type] = NoteConfig

    def __init__(self, config: NoteConfig, *args: Any, **kwargs: Any) -> None:
        self.config, self.args, self.kwargs = config, args, kwargs

    @classmethod
    def from_config(cls, config: NoteConfig, **kwargs: Any) -> Note:
        return cls(config, **kwargs)

    @classmethod
    def from_pretrained(cls, name: str, *args: Any, config: NoteConfig, **kwargs: Any) -> Note:
        return cls(config, name, *args, **kwargs)


class NoteLM(Note):
    pass


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    with registry.temporary_registrations():
        AutoConfig.register("auto-note", NoteConfig)
        AutoModel.register(NoteConfig, Note)  # type: ignore[arg-type]
        yield


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "auto-note", "size": 5}))
    return str(tmp_path)


# -- the table ---------------------------------------------------------------------------------------------------------

SPECIFIED = [
    "AutoModel",
    "AutoModelForPreTraining",
    "AutoModelForCausalLM",
    "AutoModelForMaskedLM",
    "AutoModelForMaskGeneration",
    "AutoModelForSeq2SeqLM",
    "AutoModelForSequenceClassification",
    "AutoModelForMultipleChoice",
    "AutoModelForNextSentencePrediction",
    "AutoModelForTokenClassification",
    "AutoModelForQuestionAnswering",
    "AutoModelForTextEncoding",
    "AutoModelForDepthEstimation",
    "AutoModelForImageClassification",
    "AutoModelForVideoClassification",
    "AutoModelForKeypointDetection",
    "AutoModelForMaskedImageModeling",
    "AutoModelForObjectDetection",
    "AutoModelForImageSegmentation",
    "AutoModelForImageToImage",
    "AutoModelForSemanticSegmentation",
    "AutoModelForInstanceSegmentation",
    "AutoModelForUniversalSegmentation",
    "AutoModelForZeroShotImageClassification",
    "AutoModelForZeroShotObjectDetection",
    "AutoModelForAudioClassification",
    "AutoModelForAudioFrameClassification",
    "AutoModelForCTC",
    "AutoModelForSpeechSeq2Seq",
    "AutoModelForAudioXVector",
    "AutoModelForTextToSpectrogram",
    "AutoModelForTextToWaveform",
    "AutoModelForAudioTokenization",
    "AutoModelForTableQuestionAnswering",
    "AutoModelForDocumentQuestionAnswering",
    "AutoModelForVisualQuestionAnswering",
    "AutoModelForVision2Seq",
    "AutoModelForImageTextToText",
    "AutoModelForTimeSeriesPrediction",
    "AutoModelWithLMHead",
]


def test_every_specified_class_exists() -> None:
    assert len(SPECIFIED) == 40
    assert sorted(AUTO_MODELS) == sorted(SPECIFIED)


@pytest.mark.parametrize("name", SPECIFIED)
def test_every_class_is_documented_and_cannot_be_constructed(name: str) -> None:
    auto = getattr(formers, name)
    assert auto is AUTO_MODELS[name]
    assert auto.__doc__.endswith((".", "\n    "))
    with pytest.raises(
        OSError, match=rf"{name} cannot be constructed\. Use {name}\.from_pretrained.*from_config"
    ):
        auto(NoteConfig())


@pytest.mark.filterwarnings("ignore:AutoModelWithLMHead")
@pytest.mark.parametrize("name", [name for name in SPECIFIED if name != "AutoModel"])
def test_every_class_registers_and_gives_its_own(name: str) -> None:
    auto = getattr(formers, name)
    with pytest.raises(
        UnsupportedHeadError, match=f"{name} has no class for model type 'auto-note'.*NoteConfig"
    ):
        auto.from_config(NoteConfig())
    auto.register(NoteConfig, NoteLM)
    assert type(auto.from_config(NoteConfig())) is NoteLM
    assert type(AutoModel.from_config(NoteConfig())) is Note


# -- loading -----------------------------------------------------------------------------------------------------------


def test_settings_go_to_the_configuration_and_the_rest_to_the_model(folder: str) -> None:
    model = AutoModel.from_pretrained(folder, "positional", size=7, colour="red", output_attentions=True)
    assert (model.config.size, model.config.output_attentions) == (7, True)
    assert model.args == (folder, "positional")
    assert model.kwargs == {"colour": "red"}
    assert model.config.name_or_path == folder


def test_an_explicit_configuration_is_left_alone(folder: str) -> None:
    config = NoteConfig(size=2)
    model = AutoModel.from_pretrained(folder, config=config, size=7, output_attentions=True)
    assert model.config is config
    assert (config.size, config.output_attentions) == (2, False)
    assert model.kwargs == {"size": 7, "output_attentions": True}


@pytest.mark.parametrize("kind", [str, Path])
def test_a_configuration_may_be_elsewhere(folder: str, tmp_path: Path, kind: type) -> None:
    other = tmp_path / "other"
    NoteConfig(size=3).save_pretrained(other)
    model = AutoModel.from_pretrained(folder, config=kind(other), size=7)
    assert model.config.size == 3
    assert model.kwargs == {"size": 7}


def test_arguments_of_loading_are_passed_on(folder: str) -> None:
    state: dict[str, Any] = {}
    options = {
        "dtype": "float16", "torch_dtype": "auto", "attn_implementation": "eager", "state_dict": state,
        "output_loading_info": True, "device_map": "cpu", "revision": "v2", "local_files_only": True, "token": "x",
    }  # fmt: skip
    model = AutoModel.from_pretrained(folder, **options, trust_remote_code=False, code_revision="main")
    assert model.kwargs == options
    assert model.config.dtype is None


def test_a_subfolder_is_read_and_passed_on(tmp_path: Path) -> None:
    NoteConfig(size=8).save_pretrained(tmp_path / "inner")
    model = AutoModel.from_pretrained(tmp_path, subfolder="inner")
    assert (model.config.size, model.kwargs) == (8, {"subfolder": "inner"})


def test_without_a_path_a_configuration_is_needed() -> None:
    model = AutoModel.from_pretrained(None, config=NoteConfig(), state_dict={})
    assert model.args == (None,)
    with pytest.raises(LoadError, match="needs config="):
        AutoModel.from_pretrained(None, state_dict={})


@pytest.mark.parametrize("option", ["from_tf", "from_flax", "quantization_config"])
def test_what_the_model_refuses_reaches_it(folder: str, option: str) -> None:
    assert AutoModel.from_pretrained(folder, **{option: True}).kwargs == {option: True}


def test_configuration_and_weights_are_of_one_save(folder: str) -> None:
    """A save between the two reads makes the load start again."""
    seen = []

    class Racing(Note):
        @classmethod
        def from_pretrained(cls, name: str, *args: Any, config: NoteConfig, **kwargs: Any) -> Note:
            seen.append(config.size)
            if len(seen) == 1:
                NoteConfig(size=6).save_pretrained(folder)
                raise ValueError("the shapes do not fit")
            if len(seen) == 2:
                NoteConfig(size=7).save_pretrained(folder)
            return cls(config)

    AutoModel.register(NoteConfig, Racing, exist_ok=True)  # type: ignore[arg-type]
    assert AutoModel.from_pretrained(folder).config.size == 7
    assert seen == [5, 6, 7]


def test_code_in_a_folder_is_never_run(tmp_path: Path) -> None:
    content = {"model_type": "auto-alien", "auto_map": {"AutoModel": "code.Alien"}}
    (tmp_path / "config.json").write_text(json.dumps(content))
    (tmp_path / "code.py").write_text("raise SystemExit")
    with pytest.raises(UnknownModelTypeError, match="formers does not run it"):
        AutoModel.from_pretrained(tmp_path)
    with pytest.raises(UnknownModelTypeError, match="not supported yet"):
        AutoModel.from_pretrained(tmp_path, trust_remote_code=True)


# -- building ----------------------------------------------------------------------------------------------------------


def test_from_config() -> None:
    config = NoteConfig()
    model: Any = AutoModel.from_config(
        config, attn_implementation="eager", torch_dtype="float16", colour="red"
    )
    assert model.config is config
    assert model.kwargs == {"attn_implementation": "eager", "dtype": "float16", "colour": "red"}
    with pytest.raises(ConfigValidationError, match=r"needs a configuration object.*from_pretrained"):
        AutoModel.from_config("some/folder")  # type: ignore[arg-type]
    with pytest.raises(UnknownModelTypeError, match="model_type=''"):
        AutoModel.from_config(PreTrainedConfig())


def test_configured_architectures_choose() -> None:
    registry.register_class("AutoModelForMaskedLM", NoteConfig, (NoteLM, Note))
    assert type(AutoModelForMaskedLM.from_config(NoteConfig())) is NoteLM
    assert type(AutoModelForMaskedLM.from_config(NoteConfig(architectures=["Note"]))) is Note


def test_a_subclass_of_a_configuration_has_its_own_model() -> None:
    class ChildConfig(NoteConfig):
        model_type = "auto-note-child"

    class Child(Note):
        config_class = ChildConfig

    assert type(AutoModel.from_config(ChildConfig())) is Note, "the base's, as long as there is none"
    AutoModel.register(ChildConfig, Child)  # type: ignore[arg-type]
    assert type(AutoModel.from_config(ChildConfig())) is Child
    assert type(AutoModel.from_config(NoteConfig())) is Note


def test_registration_is_checked() -> None:
    class OtherConfig(NoteConfig):
        model_type = "auto-other"

    with pytest.raises(ValueError, match=r"config_class is NoteConfig.*registered for OtherConfig"):
        AutoModel.register(OtherConfig, Note)  # type: ignore[arg-type]
    with pytest.raises(PluginConflictError, match="AutoModel already has a class for NoteConfig"):
        AutoModel.register(NoteConfig, NoteLM)  # type: ignore[arg-type]
    AutoModel.register(NoteConfig, NoteLM, exist_ok=True)  # type: ignore[arg-type]
    assert type(AutoModel.from_config(NoteConfig())) is NoteLM


def test_a_missing_head_names_those_there_are() -> None:
    AutoModelForCausalLM.register(NoteConfig, NoteLM)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedHeadError) as error:
        AutoModelForSequenceClassification.from_config(NoteConfig())
    assert re.search("Auto classes that this type has: AutoModel, AutoModelForCausalLM", str(error.value))


# -- AutoModelWithLMHead -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "heads", "chosen"),
    [
        ({}, "masked causal", "masked"),
        ({}, "causal", "causal"),
        ({}, "seq2seq", "seq2seq"),
        ({"is_decoder": True}, "masked causal", "causal"),
        ({"is_encoder_decoder": True}, "masked causal seq2seq", "seq2seq"),
        ({"is_encoder_decoder": True}, "masked", "masked"),
    ],
)
def test_the_old_umbrella_class_chooses_by_type(settings: dict[str, Any], heads: str, chosen: str) -> None:
    autos = {"masked": AutoModelForMaskedLM, "causal": AutoModelForCausalLM, "seq2seq": AutoModelForSeq2SeqLM}
    for head in heads.split():
        autos[head].register(NoteConfig, type(head, (Note,), {}))
    with pytest.warns(FutureWarning, match="AutoModelWithLMHead is deprecated") as caught:
        model = AutoModelWithLMHead.from_config(NoteConfig(**settings))
    assert type(model).__name__ == chosen
    assert caught[0].filename == __file__


# -- without PyTorch ---------------------------------------------------------------------------------------------------


def test_without_torch_the_extra_is_named(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(who: str) -> None:
        raise MissingExtraError(f'{who}: pip install "formers[torch]"')

    monkeypatch.setattr(factory, "require_torch", refuse)
    with pytest.raises(ImportError, match=r"AutoModel: pip install .formers\[torch\]"):
        AutoModel.from_pretrained(folder)
    with pytest.raises(ImportError, match=r"AutoModel: pip install .formers\[torch\]"):
        AutoModel.from_config(NoteConfig())
