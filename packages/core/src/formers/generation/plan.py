"""``GenerationPlan``: what one call of ``generate`` does, every setting decided, each with where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn

from formers.errors import ConfigValidationError, GenerationArgumentError
from formers.generation import explain, lengths, validation
from formers.generation.configuration import GenerationConfig
from formers.generation.defaults import DEFAULTS, GROUPS, NONE_IS_OFF, REMEDIES, SPECIAL_TOKENS
from formers.generation.modes import mode_of
from formers.generation.settings import METADATA

if TYPE_CHECKING:
    from formers.config import PreTrainedConfig

__all__ = ["FIELDS", "GenerationPlan", "Origin", "Setting", "resolve"]

Origin = Literal[
    "argument", "generation_config argument", "model.generation_config", "file", "model", "default", "derived"
]
"""Where a value was found, the nearest place first: an argument of the call; the object passed as
``generation_config``; ``model.generation_config``, changed by the program, read from a file, or made from the model's
configuration; the defaults. ``"derived"`` values follow from others."""

FIELDS = tuple(name for names in GROUPS.values() for name in names)
"""Every setting that a plan decides, in the order in which it is shown."""
_CALLERS = ("argument", "generation_config argument")
_OF_MODEL: dict[str | None, Origin] = {"code": "model.generation_config", "file": "file", "model": "model"}
# Made for models of another library; the model's own default cache serves them.
_SAME_AS_DEFAULT = ("hybrid",)


class Setting(NamedTuple):
    """One decided value, where it came from, and a remark for people."""

    value: Any
    origin: Origin
    note: str = ""


class GenerationPlan:
    """The settings of one call, complete and immutable: each field of ``GenerationConfig`` is an attribute.

    None means off, or that there is no such thing. ``print(plan.explain())`` shows it as a table.

    Attributes:
        eos_token_ids: the ids that end a sequence; ``eos_token_id`` as a tuple, empty for none.
        custom: names that are not fields, from the configurations of the call and the model; for plugins.
    """

    max_length: int | None
    max_new_tokens: int | None
    min_length: int
    min_new_tokens: int | None
    early_stopping: bool | str
    max_time: float | None
    stop_strings: str | list[str] | None
    do_sample: bool
    num_beams: int
    num_beam_groups: int
    diversity_penalty: float
    length_penalty: float
    num_return_sequences: int
    temperature: float | None
    top_k: int | None
    top_h: float | None
    typical_p: float | None
    bad_words_ids: list[list[int]] | None
    bos_token_id: int | None
    pad_token_id: int | None
    decoder_start_token_id: int | list[int] | None
    use_cache: bool
    cache_implementation: str | None
    max_cache_len: int | None
    return_dict_in_generate: bool
    output_scores: bool
    output_logits: bool
    output_attentions: bool
    output_hidden_states: bool
    eos_token_ids: tuple[int, ...]
    custom: Mapping[str, Any]

    def __init__(self, settings: Mapping[str, Setting], custom: Mapping[str, Any] | None = None) -> None:
        ends = settings["eos_token_id"].value
        ends = () if ends is None else (ends,) if isinstance(ends, int) else tuple(ends)
        self.__dict__.update(
            {name: setting.value for name, setting in settings.items()},
            _settings=dict(settings),
            custom=dict(custom or {}),
            eos_token_ids=ends,
        )

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(
            f"A plan does not change; {name} can differ in a new one: plan.changed({name}=...)."
        )

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"A plan does not change; {name} cannot be deleted.")

    def setting(self, name: str) -> Setting:
        """A field's value with its origin. Raises ``KeyError`` if there is no such field."""
        return self.__dict__["_settings"][name]  # type: ignore[no-any-return]

    def origin(self, name: str) -> Origin:
        """Where a field's value came from. Raises ``KeyError`` if there is no such field."""
        return self.setting(name).origin

    def describe(self, name: str) -> str:
        """Where a field's value came from, in words."""
        return explain.describe(self.setting(name))

    def is_callers(self, name: str) -> bool:
        """Whether the call itself set a field."""
        return self.origin(name) in _CALLERS

    def to_dict(self) -> dict[str, Any]:
        """Every field by name."""
        return {name: self.setting(name).value for name in FIELDS}

    def changed(self, *, note: str = "", **values: Any) -> GenerationPlan:
        """This plan with other values, whose origin is ``"derived"``. Raises ``KeyError`` for an unknown field."""
        settings = dict(self.__dict__["_settings"])
        for name, value in values.items():
            settings[name] = settings[name]._replace(value=value, origin="derived", note=note)
        return GenerationPlan(settings, self.custom)

    def with_settings(self, **settings: Setting) -> GenerationPlan:
        """This plan with other settings."""
        return GenerationPlan(self.__dict__["_settings"] | settings, self.custom)

    def for_prompt(self, length: int, *, embedded: int = 0, positions: int | None = None) -> GenerationPlan:
        """This plan with its limits counted for a prompt: ``max_length`` and ``max_new_tokens`` are then both there.

        Args:
            length: columns of ids that the result begins with.
            embedded: further positions before them that are not ids, of ``inputs_embeds``; ``max_length`` and
                ``min_length`` count them as well.
            positions: how many the model has; None if that has no limit.

        Raises:
            GenerationArgumentError: nothing can be generated, or not as much as the call asks for.
        """
        return lengths.for_prompt(self, length, embedded, positions)

    def mode(self, *, assisted: bool = False) -> str:
        """The way of decoding that these settings ask for, perhaps with an assistant model: ``"greedy_search"``, ...

        The other names are the values of ``GenerationMode``.
        """
        return mode_of(self, assisted).value

    def remedy(self) -> str:
        """What to do if no strategy serves these settings."""
        return REMEDIES.get(self.mode(), "")

    def explain(self, *, everything: bool = False) -> str:
        """A table of the settings, their values and origins; those without any effect only with ``everything``."""
        return explain.table(self, everything=everything)

    def __repr__(self) -> str:
        return self.explain()


def resolve(
    arguments: Mapping[str, Any],
    *,
    model: GenerationConfig,
    given: GenerationConfig | None = None,
    config: PreTrainedConfig | None = None,
) -> GenerationPlan:
    """Decide every setting of a call.

    Args:
        arguments: the settings among the arguments of the call. None switches a field off where None has that
            meaning (``NONE_IS_OFF``), and otherwise counts as not given.
        model: ``model.generation_config``.
        given: the object that the call got as ``generation_config``.
        config: the model's configuration, for special tokens and the number of ids.

    Raises:
        GenerationArgumentError: a value is out of range, or settings contradict each other.
    """
    checked = _checked(arguments)
    found = {name: _found(name, checked, given, model) for name in FIELDS}
    _ask_model_for_tokens(found, model, config)
    own = [name for name in FIELDS if given is not None and given._set_by(name) == "code"]
    said = dict.fromkeys([*checked, *own])
    found = lengths.one_limit(found, said)
    _ask_end_for_padding(found)
    if found["cache_implementation"].value in _SAME_AS_DEFAULT:
        found["cache_implementation"] = found["cache_implementation"]._replace(value=None)
    custom = _custom(model) | ({} if given is None else _custom(given))
    plan = GenerationPlan(found, custom)
    text = None if config is None else config.get_text_config(decoder=True)
    validation.check_plan(plan, getattr(text, "vocab_size", None))
    validation.warn_of_no_effect(plan, said)
    return plan


def _checked(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that say something, in their declared form."""
    checked = {}
    for name, value in arguments.items():
        if name not in FIELDS:
            raise GenerationArgumentError(f"generate(): {name!r} is not a setting.")
        if value is None and name not in NONE_IS_OFF:
            continue
        try:
            checked[name] = GenerationConfig._fields[name].check(value, "generate()")
        except ConfigValidationError as error:
            raise GenerationArgumentError(str(error)) from None
    return checked


def _found(
    name: str, arguments: Mapping[str, Any], given: GenerationConfig | None, model: GenerationConfig
) -> Setting:
    if name in arguments:
        return Setting(arguments[name], "argument")
    if given is not None and (value := getattr(given, name)) is not None:
        return Setting(value, "generation_config argument")
    if (value := getattr(model, name)) is not None:
        return Setting(value, _OF_MODEL[model._set_by(name)])
    return Setting(DEFAULTS.get(name), "default")


def _ask_model_for_tokens(
    found: dict[str, Setting], model: GenerationConfig, config: PreTrainedConfig | None
) -> None:
    """Special tokens that the generation settings do not have, of the model's configuration.

    One that the program took away from ``model.generation_config`` is meant to be away. Negative ids mean none.
    """
    text = None if config is None else config.get_text_config(decoder=True)
    for name in SPECIAL_TOKENS:
        if found[name] == Setting(None, "default") and model._set_by(name) != "code":
            value = getattr(config, name, None)
            value = getattr(text, name, None) if value is None else value
            if value is not None:
                found[name] = Setting(value, "model")
        value = found[name].value
        if isinstance(value, list):
            value = [token for token in value if token >= 0] or None
        elif value is not None and value < 0:
            value = None
        found[name] = found[name]._replace(value=value)


def _ask_end_for_padding(found: dict[str, Setting]) -> None:
    """What follows a sequence that has ended must be something; the end itself will do."""
    end = found["eos_token_id"].value
    if found["pad_token_id"].value is None and end is not None:
        first = end if isinstance(end, int) else end[0]
        found["pad_token_id"] = Setting(first, "derived", "from eos_token_id")


def _custom(config: GenerationConfig) -> dict[str, Any]:
    return {
        name: value
        for name, value in config._values().items()
        if name not in config._fields and name not in METADATA
    }
