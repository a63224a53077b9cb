"""Styles of subclasses, keys that are no fields, aliases, nested configurations."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any, ClassVar

import pytest

from formers.config import PreTrainedConfig, PretrainedConfig, field
from formers.errors import ConfigValidationError, ConfigWarning, UnknownModelTypeError
from formers.plugins import registry


class NewConfig(PreTrainedConfig):
    model_type = "new"
    attribute_map: ClassVar[dict[str, str]] = {"hidden_size": "width", "num_hidden_layers": "depth"}
    width: int = field(8, minimum=1)
    depth: int = field(2, minimum=0, maximum=10_000)
    heads: int = field(2, minimum=1)

    def validate(self) -> None:
        super().validate()
        if self.width % self.heads:
            raise ConfigValidationError(
                f"NewConfig: width={self.width} is not a multiple of heads={self.heads}."
            )


class OldConfig(PretrainedConfig):
    model_type = "old"
    keys_to_ignore_at_inference = ("past",)

    def __init__(self, width: int = 8, layers: Any = None, max_length: int = 20, **kwargs: Any) -> None:
        self.before = width
        super().__init__(is_encoder_decoder=kwargs.pop("is_encoder_decoder", True), **kwargs)
        self.width = width
        self.layers = layers or [1, 2]
        self.max_length = max_length
        self.top_k = 3  # a router's, not that of sampling

    def validate(self) -> None:
        assert self.width > 0  # all is set when this is called


class TextConfig(PreTrainedConfig):
    model_type = "pair_text"
    width: int = field(4, minimum=1)


class PairConfig(PreTrainedConfig):
    model_type = "pair"
    sub_configs: ClassVar[dict[str, type | str]] = {
        "text_config": TextConfig,
        "other_config": f"{__name__}:TextConfig",
    }
    text_config: TextConfig | dict[str, Any] | None = None
    other_config: TextConfig | dict[str, Any] | None = None
    scale: float = 1.0


class NeedyPairConfig(PairConfig):
    has_no_defaults_at_init = True


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pickles and ``"module:Name"`` look the classes up by the name of this module."""
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _module())


def _module() -> Any:
    import types

    module = types.ModuleType(__name__)
    module.__dict__.update(globals())
    return module


def test_both_names_are_one_class() -> None:
    assert PretrainedConfig is PreTrainedConfig


def test_defaults_of_the_base_class() -> None:
    config = PreTrainedConfig()
    assert (config.output_hidden_states, config.output_attentions, config.return_dict) == (False, False, True)
    assert (config.dtype, config.chunk_size_feed_forward, config.is_encoder_decoder) == (None, 0, False)
    assert (config.architectures, config.problem_type, config.num_labels, config.name_or_path) == (
        None,
        None,
        2,
        "",
    )
    assert config.base_model_tp_plan is config.base_model_pp_plan is None
    assert config.use_return_dict
    assert not PreTrainedConfig(return_dict=False).use_return_dict


def test_keywords_and_positions() -> None:
    assert (NewConfig(16, 3).width, NewConfig(16, 3).depth) == (16, 3)
    with pytest.raises(TypeError, match="takes 3 positional arguments, but 4"):
        NewConfig(1, 2, 3, 4)
    with pytest.raises(TypeError, match="two values for width"):
        NewConfig(1, width=2)


def test_cross_field_checks_run_after_construction_and_update() -> None:
    with pytest.raises(ConfigValidationError, match="not a multiple"):
        NewConfig(width=9)
    config = NewConfig()
    with pytest.raises(ConfigValidationError, match="not a multiple"):
        config.update({"depth": 5, "width": 9})
    assert (config.depth, config.width) == (2, 8)
    config.update({"hidden_size": 12, "heads": 3, "note": "x"})
    assert (config.width, config.heads, config.note) == (12, 3, "x")


def test_hand_written_constructors() -> None:
    config = OldConfig(16, extra=5)
    assert (config.width, config.before, config.layers, config.extra) == (16, 16, [1, 2], 5)
    assert config.is_encoder_decoder
    assert not OldConfig(is_encoder_decoder=False).is_encoder_decoder
    assert OldConfig.from_dict(OldConfig(is_encoder_decoder=False).to_diff_dict()).is_encoder_decoder is False
    assert OldConfig.from_dict({}, layers=[3]).layers == [3]
    assert OldConfig.__init__.__name__ == "__init__"
    with pytest.raises(AssertionError):
        OldConfig(width=-1)
    with pytest.warns(ConfigWarning, match="'widht'; did you mean 'width'"):
        OldConfig(widht=3)


def test_a_declared_class_below_a_hand_written_one() -> None:
    class MixedConfig(OldConfig):
        model_type = "mixed"
        extra: int = field(3, minimum=1)

    assert MixedConfig(5, extra=4).extra == 4
    assert MixedConfig().width == 8
    with pytest.raises(ConfigValidationError, match="extra=0"):
        MixedConfig(extra=0)


def test_a_parameter_of_the_class_is_no_generation_parameter() -> None:
    assert OldConfig(max_length=7).max_length == 7
    assert OldConfig.from_dict({"max_length": 7}).max_length == 7
    assert OldConfig().generation_parameters() == {"top_k": 3}


# -- aliases -------------------------------------------------------------------------------------------------


def test_aliases_work_both_ways() -> None:
    config = NewConfig(hidden_size=16)
    assert (config.width, config.hidden_size) == (16, 16)
    config.hidden_size = 32
    assert config.width == 32
    config.width = 64
    assert config.hidden_size == 64
    assert "hidden_size" not in config.to_dict()
    assert NewConfig.from_dict({"hidden_size": 4}).width == 4
    assert NewConfig.from_dict({"width": 4}, hidden_size=6).width == 6
    with pytest.raises(ConfigValidationError, match="width=0"):
        config.hidden_size = 0
    with pytest.raises(ConfigValidationError, match="one setting; give one"):
        NewConfig(hidden_size=4, width=8)
    with pytest.warns(ConfigWarning, match="hidden_size=4 and width=8 are one setting; hidden_size is used"):
        assert NewConfig.from_dict({"hidden_size": 4, "width": 8}).width == 4


def test_an_alias_hides_an_inherited_field() -> None:
    class RenamedConfig(NewConfig):
        attribute_map: ClassVar[dict[str, str]] = {"heads": "groups"}
        groups: int = field(4, minimum=1)

    assert RenamedConfig().heads == 4
    assert RenamedConfig(heads=2).groups == 2
    assert "heads" not in RenamedConfig().to_dict()


def test_the_singular_of_the_old_documentation() -> None:
    config, unused = NewConfig.from_dict({}, output_attention=True, foo=False, return_unused_kwargs=True)
    assert config.output_attentions is config.output_attention is True
    assert unused == {"foo": False}


# -- keys that are no fields ---------------------------------------------------------------------------------


def test_unknown_keys_are_kept() -> None:
    config = NewConfig(story={"a": [1]}, note=None)
    assert config.story == {"a": [1]}
    again = NewConfig.from_dict(config.to_dict())
    assert (again.story, again.note, again) == ({"a": [1]}, None, config)
    with pytest.raises(AttributeError, match="'NewConfig' object has no attribute 'absent'"):
        _ = config.absent


def test_near_misses_in_code_are_warned_about_on_the_callers_line() -> None:
    with pytest.warns(
        ConfigWarning, match="no 'num_hiden_layers'; did you mean 'num_hidden_layers'"
    ) as caught:
        NewConfig(num_hiden_layers=7)
    assert caught[0].filename == __file__
    with pytest.warns(ConfigWarning, match="did you mean 'depth'"):
        NewConfig.from_dict({}, deptj=7)
    with pytest.warns(ConfigWarning, match="did you mean 'revision'"):
        NewConfig.from_dict({}, reviison="main")


def test_no_warning_for_files_and_for_other_names() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert NewConfig.from_dict({"num_hiden_layers": 7}).num_hiden_layers == 7
        NewConfig(story=1, pad_token_id=0, gradient_checkpointing=False)


@pytest.mark.parametrize(
    "key",
    [
        "to_dict",
        "__class__",
        "__dict__",
        "get_text_config",
        "from_pretrained",
        "validate",
        "self",
        "attribute_map",
        "sub_configs",
        "_fields",
        "use_return_dict",
        "__setattr__",
    ],
)
def test_reserved_names(key: str) -> None:
    config = NewConfig()
    for attempt in (
        lambda: NewConfig.from_dict({key: 1}),
        lambda: OldConfig.from_dict({key: 1}),
        lambda: config.update({key: 1}),
        lambda: PairConfig.from_dict({"text_config": {key: 1}}),
    ):
        with pytest.raises(ConfigValidationError, match=f"'{key}' is a reserved name"):
            attempt()
    assert config == NewConfig()


@pytest.mark.parametrize(
    "key",
    [
        "attn_implementation",
        "_attn_implementation",
        "_attn_implementation_internal",
        "trust_remote_code",
        "_commit_hash",
        "_experts_implementation",
        "base_model_tp_plan",
        "_labels",
        "_constructing",
    ],
)
def test_what_only_a_caller_decides_means_nothing_in_a_file(key: str) -> None:
    for config in (
        NewConfig.from_dict({key: "attacker/repo"}),
        OldConfig.from_dict({key: "attacker/repo"}),
        PairConfig.from_dict({"text_config": {key: "attacker/repo"}}).text_config,
    ):
        assert isinstance(config, PreTrainedConfig)
        assert config._attn_implementation is None
        assert "attacker/repo" not in repr(vars(config))
        assert "attacker/repo" not in config.to_json_string(use_diff=False)


def test_the_callers_choice_is_kept_and_not_written() -> None:
    for config in (
        NewConfig(attn_implementation="eager"),
        NewConfig.from_dict({"attn_implementation": "sdpa"}, attn_implementation="eager"),
    ):
        assert config._attn_implementation == "eager"
        assert copy.deepcopy(config)._attn_implementation == "eager"
        assert "eager" not in config.to_json_string(use_diff=False)
        assert config == NewConfig()


def test_generation_parameters_are_kept_from_files_and_refused_in_code() -> None:
    config = NewConfig.from_dict({"max_length": 30, "top_k": 5})
    assert config.generation_parameters() == {"max_length": 30, "top_k": 5}
    assert config.max_length == 30
    assert NewConfig.from_dict(config.to_diff_dict()) == config
    for attempt in (
        lambda: NewConfig(temperature=0.5),
        lambda: setattr(config, "temperature", 0.5),
        lambda: setattr(config, "max_length", 40),
        lambda: config.update({"temperature": 0.5}),
        lambda: NewConfig.from_dict({"max_length": 30}, temperature=0.5),
        lambda: NewConfig.from_dict({"max_length": 30}, max_length=40),
    ):
        with pytest.raises(ConfigValidationError, match=r"generation parameter.*GenerationConfig"):
            attempt()
    assert config.generation_parameters() == {"max_length": 30, "top_k": 5}


def test_the_class_says_what_it_is() -> None:
    with pytest.warns(ConfigWarning, match="stays of type 'new'"):
        assert NewConfig(model_type="other").model_type == "new"
    assert NewConfig.from_dict({"model_type": "other"}).model_type == "new"
    assert PreTrainedConfig.from_dict({"model_type": "other"}).to_diff_dict() == {"model_type": "other"}
    with pytest.raises(ConfigValidationError, match=r"model_type=\['new'\]"):
        NewConfig.from_dict({"model_type": ["new"]})


# -- nested configurations -----------------------------------------------------------------------------------


def test_nested_configurations_from_nothing_dicts_and_instances() -> None:
    config = PairConfig()
    assert config.text_config == TextConfig()
    assert isinstance(config.other_config, PreTrainedConfig)
    assert PairConfig.from_dict({"text_config": None}) == config
    config = PairConfig(text_config={"width": 6}, other_config=TextConfig(width=7))
    assert (config.text_config.width, config.other_config.width) == (6, 7)  # type: ignore[union-attr]
    config.text_config = {"width": 9}
    assert config.text_config.width == 9  # type: ignore[attr-defined]
    again = PairConfig.from_dict(config.to_diff_dict())
    assert again == config
    assert again.to_dict()["text_config"]["width"] == 9


def test_overriding_a_nested_configuration_keeps_the_rest() -> None:
    file = {"text_config": {"width": 6, "note": 1}}
    config = PairConfig.from_dict(file, text_config={"width": 7})
    assert (config.text_config.width, config.text_config.note) == (7, 1)
    assert file == {"text_config": {"width": 6, "note": 1}}


def test_errors_in_nested_configurations_name_the_way() -> None:
    with pytest.raises(ConfigValidationError, match="PairConfig: text_config: TextConfig: width=-1"):
        PairConfig.from_dict({"text_config": {"width": -1}})
    with pytest.raises(ConfigValidationError, match=r"text_config=3 is not accepted"):
        PairConfig(text_config=3)  # type: ignore[arg-type]
    with pytest.warns(ConfigWarning, match="did you mean 'width'"):
        PairConfig(text_config={"widht": 3})


def test_a_class_without_defaults() -> None:
    with pytest.raises(ConfigValidationError, match="needs a value for text_config, other_config"):
        NeedyPairConfig(text_config=None)
    config = NeedyPairConfig(text_config={}, other_config={"width": 5})
    assert NeedyPairConfig.from_dict(config.to_diff_dict()) == config


def test_a_nested_class_that_chooses_by_type() -> None:
    class ComposedConfig(PreTrainedConfig):
        sub_configs: ClassVar[dict[str, type | str]] = {"encoder": "formers.auto.configuration:AutoConfig"}

    with registry.temporary_registrations():
        registry.register_config("pair_text", TextConfig)
        stored = {"model_type": "pair_text", "width": 5, "max_length": 20, "attn_implementation": "a/kernel"}
        config = ComposedConfig.from_dict({"encoder": stored})
        assert config.encoder.width == 5
        assert config.encoder.generation_parameters() == {"max_length": 20}
        assert config.encoder._attn_implementation is None, "a file does not choose it, however deep"
        assert ComposedConfig(encoder={"model_type": "pair_text"}).encoder == TextConfig()
        with pytest.raises(UnknownModelTypeError, match=r"'pair_txet'(.|\n)*encoder of ComposedConfig"):
            ComposedConfig.from_dict({"encoder": {"model_type": "pair_txet"}})
    with pytest.raises(ConfigValidationError, match="ComposedConfig: encoder: there is no model_type"):
        ComposedConfig()


# -- objects -------------------------------------------------------------------------------------------------


def test_copies_and_pickles_are_equal_and_independent() -> None:
    config = PairConfig(text_config={"width": 6}, num_labels=3, story=[1], scale=2.0)
    config.name_or_path = "somewhere"
    for again in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert again == config
        assert again.name_or_path == "somewhere"
        again.text_config.width = 7
        again.story.append(2)
        again.num_labels = 4
        assert again != config
    assert (config.story, config.num_labels) == ([1], 3)
    assert copy.copy(config) == config


def test_equality() -> None:
    assert NewConfig() == NewConfig()
    assert NewConfig() != NewConfig(width=4)
    assert NewConfig() != NewConfig(story=1)
    assert NewConfig() != PreTrainedConfig()
    assert NewConfig() != 3
    assert NewConfig(name_or_path="x", transformers_version="4.1") == NewConfig()
    with pytest.raises(TypeError, match="unhashable"):
        hash(NewConfig())


def test_repr_never_fails() -> None:
    assert repr(NewConfig()).startswith('NewConfig {\n  "depth": 2')
    assert "object object" in repr(NewConfig(story=object()))
