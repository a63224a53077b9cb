"""``GenerationConfig``: the settings of ``generate``, in memory and in ``generation_config.json``."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, overload

from formers.errors import ConfigValidationError, shorten
from formers.files.commit import Commit
from formers.files.push import PushToHubMixin
from formers.files.resolve import Source
from formers.generation import files
from formers.generation.fields import GenerationFields
from formers.generation.settings import METADATA

if TYPE_CHECKING:
    from formers.config import PreTrainedConfig
    from formers.generation.modes import GenerationMode

__all__ = ["GenerationConfig"]

# Arguments of from_pretrained that mean something to models and Auto classes alone.
_FOR_OTHERS = ("trust_remote_code", "code_revision", "_from_auto", "_from_pipeline")


class GenerationConfig(GenerationFields, PushToHubMixin):
    """Settings of ``generate``. What is None is not set, and comes from somewhere else.

    A call looks for each setting among its own arguments, then in the ``generation_config`` that it was given, in
    ``model.generation_config``, for special tokens in ``model.config``, and last among the defaults, which are named
    below. ``model.generation_plan(...)`` shows what a call would use, and where it found it.

    A value of the wrong type or out of range raises ``ConfigValidationError`` with the field's name, in the
    constructor, on assignment and from a file. Names that are not fields are kept and survive saving; one that is
    given in code and looks like a misspelt field is warned about (``ConfigWarning``).

    How long:
        max_length: tokens of a sequence with its prompt. By default 20 more than the prompt has.
        max_new_tokens: tokens after the prompt. It and ``max_length`` are one limit; the one nearer to the call
            counts, and this one where they are equally near.
        min_length: the end is not chosen before a sequence has so many tokens with its prompt. 0.
        min_new_tokens: the same without the prompt; goes before ``min_length``.
        early_stopping: when beam search ends: True, with ``num_beams`` finished sequences; False (default), when
            a better one is unlikely; ``"never"``, when a better one is impossible.
        max_time: seconds; the step that is under way is finished.
        stop_strings: texts that end a sequence. The call needs ``tokenizer=``.

    How tokens are chosen:
        do_sample: draw tokens rather than take the best. False.
        num_beams: hypotheses that beam search follows; 1 (default) is no beam search.
        num_beam_groups: groups of beams, which repel each other [Vijayakumar et al., 2018]. 1.
        diversity_penalty: taken from the score of a token that another group has chosen at this step. 0.0.
        length_penalty: beam scores are divided by length to this power; above 0 favours long sequences. 1.0.
        num_return_sequences: sequences for each prompt. 1.
        penalty_alpha: weight of the degeneration penalty of contrastive search [Su et al., 2022], a plugin.

    What is done to the scores; those up to ``eta_cutoff`` act when sampling:
        temperature: divides the scores. 1.0.
        top_k: only the k best tokens; 0 is all of them. 50, as in transformers.
        top_p: only the fewest tokens with this probability together [Holtzman et al., 2020]. 1.0.
        min_p: only tokens with this share of the best one's probability.
        top_h: only the best tokens whose entropy is at most this share of the whole.
        typical_p: only the most typical tokens with this probability together [Meister et al., 2022]. 1.0.
        epsilon_cutoff, eta_cutoff: only tokens of this probability [Hewitt et al., 2022]. 0.0.
        repetition_penalty: divides the scores of tokens that occurred [Keskar et al., 2019]. 1.0.
        encoder_repetition_penalty: multiplies the scores of tokens of the encoder's input. 1.0.
        no_repeat_ngram_size: no sequence of so many tokens occurs twice. 0.
        encoder_no_repeat_ngram_size: none of the encoder's input occurs in the output. 0.
        bad_words_ids: sequences of ids that do not occur.
        sequence_bias: ``{(ids, ...): number}``, added to the score of what completes such a sequence.
        suppress_tokens, begin_suppress_tokens: ids that are not chosen, or not first.
        exponential_decay_length_penalty: ``(start, factor)``: from the new token ``start`` on the end gains score.
        guidance_scale: above 1, classifier-free guidance.
        watermarking_config: arguments of a watermark, as a dict.
        renormalize_logits: make scores log-probabilities again after all of this. False.
        remove_invalid_values: replace NaN and infinite scores. False: they raise.

    Tokens with a meaning; for those that are not set the model's configuration is asked:
        bos_token_id, eos_token_id (one or several), pad_token_id (else the first of the end), decoder_start_token_id.
        forced_bos_token_id: the first token. forced_eos_token_id: the last one that ``max_length`` leaves.

    The cache:
        use_cache: keep keys and values of earlier tokens. True.
        cache_implementation: ``"dynamic"`` (default) or ``"static"``, of ``max_cache_len`` positions.

    Drafts that the model checks (assisted generation):
        prompt_lookup_num_tokens: tokens to copy from the prompt where its last ``max_matching_ngram_size`` recur.
        num_assistant_tokens, num_assistant_tokens_schedule: how far an assistant runs ahead: 20, ``"constant"``.
        assistant_confidence_threshold: an assistant less sure than this stops. 0.4.

    What is returned:
        return_dict_in_generate: an output object rather than ids. False.
        output_scores, output_logits, output_attentions, output_hidden_states: what it holds beside the sequences.

    Kept because files have them. A call refuses those that would change the tokens; the others have no effect:
        assistant_early_exit, assistant_ensemble_weight, assistant_lookbehind, cache_config, compile_config,
        constraints, continuous_batching_config, disable_compile, dola_layers, force_words_ids, is_assistant,
        low_memory, prefill_chunk_size, return_legacy_cache, speculation_type, target_lookbehind, token_healing,
        use_mtp.
    """

    _kind: ClassVar[str] = "generation config"

    @overload
    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name: str | os.PathLike[str],
        config_file_name: str | None = None,
        *,
        return_unused_kwargs: Literal[True],
        **kwargs: Any,
    ) -> tuple[Self, dict[str, Any]]: ...

    @overload
    @classmethod
    def from_pretrained(
        cls, pretrained_model_name: str | os.PathLike[str], config_file_name: str | None = None, **kwargs: Any
    ) -> Self: ...

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name: str | os.PathLike[str],
        config_file_name: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        revision: str = "main",
        **kwargs: Any,
    ) -> Self | tuple[Self, dict[str, Any]]:
        """Read settings from a folder, a JSON file or the hub. A path never touches the network.

        Args:
            pretrained_model_name: a folder, a JSON file, or a model id.
            config_file_name: the file in that folder, ``generation_config.json`` by default.
            cache_dir: where downloads are kept, if not in the usual cache.
            force_download: download again what is cached.
            local_files_only: use the cache alone.
            token: access token; True or None for the stored one.
            revision: branch, tag or commit.
            kwargs: ``subfolder``, ``return_unused_kwargs``, and settings that override the file's.

        Returns:
            The settings, or with ``return_unused_kwargs=True`` a pair whose second part is empty, as in transformers.

        Raises:
            LoadError: there is no such file.
            CorruptFileError: it is not a JSON object.
            ConfigValidationError: a value is not accepted; the message names the file and the field.
        """
        overrides = kwargs | {
            "cache_dir": cache_dir,
            "force_download": force_download,
            "local_files_only": local_files_only,
            "token": token,
            "revision": revision,
        }
        return_unused = overrides.pop("return_unused_kwargs", False)
        source = Source.from_kwargs(pretrained_model_name, overrides)
        for name in _FOR_OTHERS:
            overrides.pop(name, None)
        config = files.read(cls, source, config_file_name)
        config._check_and_set(overrides, "code")
        config.validate()
        return (config, {}) if return_unused else config

    @overload
    @classmethod
    def from_dict(
        cls, config_dict: Mapping[str, Any], *, return_unused_kwargs: Literal[True], **kwargs: Any
    ) -> tuple[Self, dict[str, Any]]: ...

    @overload
    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any], **kwargs: Any) -> Self: ...

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any], **kwargs: Any) -> Self | tuple[Self, dict[str, Any]]:
        """Settings from a dict; keyword arguments override it.

        With ``return_unused_kwargs=True`` also returns what was not used, which is nothing, as in transformers.
        Raises ``ConfigValidationError`` for a value that is not accepted.
        """
        if not isinstance(config_dict, Mapping):
            raise ConfigValidationError(
                f"{cls.__name__}.from_dict({shorten(config_dict)}): a dict is expected; "
                "use from_pretrained for a path."
            )
        return_unused = kwargs.pop("return_unused_kwargs", False)
        config = cls._from_data(config_dict, "code")
        config._check_and_set(kwargs, "code")
        config.validate()
        return (config, {}) if return_unused else config

    @classmethod
    def from_model_config(cls, model_config: PreTrainedConfig | Mapping[str, Any]) -> Self:
        """The settings that the configuration of a model holds: special tokens, and what old files put there.

        A composite model's own settings go before those of its decoder.
        """
        return files.from_model(cls, model_config)

    def validate(self, strict: bool = False) -> None:
        """Check settings that concern each other, as far as they are set.

        Args:
            strict: also refuse settings without effect, such as a temperature without sampling. Saving never does.

        Raises:
            ConfigValidationError: the settings contradict each other.
        """
        from formers.generation import validation

        validation.check_config(self, strict=strict)

    def get_generation_mode(self, assistant_model: Any = None) -> GenerationMode:
        """The way of decoding that these settings ask for, what is not set being at its default."""
        from formers.generation.modes import mode_of

        return mode_of(self, assisted=assistant_model is not None)

    def update(
        self, defaults_only: bool = False, allow_custom_entries: bool = False, **kwargs: Any
    ) -> dict[str, Any]:
        """Set several settings: all or, if one raises ``ConfigValidationError``, none.

        Args:
            defaults_only: set only what is None.
            allow_custom_entries: also set names that the object does not have.
            kwargs: the settings.

        Returns:
            What was not set.
        """
        used = {
            name: value
            for name, value in kwargs.items()
            if (allow_custom_entries or name in self.__dict__)
            and not (defaults_only and self.__dict__.get(name) is not None)
        }
        before = dict(self.__dict__), dict(self._origins)
        try:
            self._check_and_set(used, "code")
            self.validate()
        except ConfigValidationError:
            self.__dict__.clear()
            self.__dict__.update(before[0], _origins=before[1])
            raise
        return {name: value for name, value in kwargs.items() if name not in used}

    def to_dict(self) -> dict[str, Any]:
        """Every setting, None included, as a deep copy."""
        return files.to_dict(self, only_set=False)

    def to_diff_dict(self) -> dict[str, Any]:
        """``to_dict`` without the fields that are not set."""
        return files.to_dict(self, only_set=True)

    def to_json_string(
        self,
        use_diff: bool = True,
        ignore_metadata: bool = False,
        keys_to_pop: Collection[str] | None = None,
    ) -> str:
        """The text of a ``generation_config.json``.

        Args:
            use_diff: leave out the fields that are not set.
            ignore_metadata: leave out what is about the file itself.
            keys_to_pop: further keys to leave out.
        """
        values = self.to_diff_dict() if use_diff else self.to_dict()
        for name in (*(METADATA if ignore_metadata else ()), *(keys_to_pop or ())):
            values.pop(name, None)
        return files.to_json(values)

    def to_json_file(
        self,
        json_file_path: str | os.PathLike[str],
        use_diff: bool = True,
        keys_to_pop: Collection[str] | None = None,
    ) -> None:
        """Write ``to_json_string`` to a file, at one moment: a reader finds the old or the new content."""
        path = Path(json_file_path)
        text = self.to_json_string(use_diff, keys_to_pop=keys_to_pop)
        with Commit(path.parent) as commit:
            commit.write_text(path.name, text)

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        config_file_name: str | None = None,
        push_to_hub: bool = False,
        **kwargs: Any,
    ) -> None:
        """Save into a folder, which is created if it is missing. Whatever could be set or read can be saved.

        Args:
            save_directory: the folder.
            config_file_name: the file in it, ``generation_config.json`` by default.
            push_to_hub: also upload, to ``repo_id`` or the name of the folder.
            kwargs: arguments of ``push_to_hub``.

        Raises:
            NotADirectoryError: ``save_directory`` is a file.
            TypeError: arguments for uploading without ``push_to_hub=True``.
        """
        if kwargs and not push_to_hub:
            raise TypeError(f"save_pretrained() got {', '.join(sorted(kwargs))}, but push_to_hub is not set")
        text = self.to_json_string()
        with Commit(save_directory) as commit:
            commit.write_text(config_file_name or files.GENERATION_CONFIG_NAME, text)
        if push_to_hub:
            self._push_saved(save_directory, kwargs)

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string(ignore_metadata=True)}"
