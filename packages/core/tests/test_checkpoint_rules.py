"""Names: reversible rules, old names, the prefix of the base model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from published_keys import NAMES, published_keys

from formers.checkpoint.rules import KeyRules, Legacy, Rename, base_prefix_mapping
from formers.errors import CorruptFileError, FormersError

RULES = KeyRules(
    (
        Legacy("LayerNorm.gamma", "LayerNorm.weight"),
        Legacy("LayerNorm.beta", "LayerNorm.bias"),
        Rename(published="encoder.layer.{i}", internal="layers.{i}"),
        Rename(published="layers.{i}.attention.self", internal="layers.{i}.self_attention"),
    )
)


def test_rules_apply_in_order_when_reading_and_backwards_when_saving() -> None:
    pairs = {
        "encoder.layer.3.attention.self.query.weight": "layers.3.self_attention.query.weight",
        "toy.encoder.layer.0.output.weight": "toy.layers.0.output.weight",
        "embeddings.weight": "embeddings.weight",
    }
    for published, internal in pairs.items():
        assert RULES.to_internal(published) == internal
        assert RULES.to_published(internal) == published


def test_old_names_are_read_and_never_written() -> None:
    assert RULES.to_internal("encoder.layer.0.LayerNorm.gamma") == "layers.0.LayerNorm.weight"
    assert RULES.to_published("layers.0.LayerNorm.weight") == "encoder.layer.0.LayerNorm.weight"
    assert RULES.to_internal("gamma") == "gamma"


def test_a_placeholder_is_one_component_and_literals_are_whole_components() -> None:
    rules = KeyRules((Rename("a.{x}.b", "c.{x}"),))
    assert rules.to_internal("a.1.b.w") == "c.1.w"
    assert rules.to_internal("a.1.2.b") == "a.1.2.b"
    assert rules.to_internal("aa.1.b") == "aa.1.b"


def test_placeholders_may_change_places() -> None:
    rules = KeyRules((Rename("{stack}.layer.{i}", "layers.{i}.{stack}"),))
    assert rules.to_internal("encoder.layer.3.w") == "layers.3.encoder.w"
    assert rules.to_published("layers.3.encoder.w") == "encoder.layer.3.w"


part = st.sampled_from(["a", "b", "c", "0", "1"])
names = st.lists(part, min_size=1, max_size=5).map(".".join)
pattern = st.lists(part, min_size=1, max_size=3).map(".".join)
renames = st.lists(st.builds(Rename, pattern, pattern), max_size=3).map(KeyRules)


@given(renames, st.sets(names, max_size=8))
def test_law_what_is_saved_is_read_under_the_same_name_or_refused(rules: KeyRules, keys: set[str]) -> None:
    """Reversible rules are a bijection between the names of a model and what is stored."""
    try:
        stored = rules.published_names(keys)
    except FormersError:
        assert any(rules.to_internal(rules.to_published(key)) != key for key in keys)
        return
    assert len(set(stored.values())) == len(keys)
    assert {rules.to_internal(name) for name in stored.values()} == keys
    assert rules.internal_names(stored.values()) == {name: key for key, name in stored.items()}


@pytest.mark.parametrize("name", NAMES)
def test_law_rules_are_a_bijection_on_published_names(name: str) -> None:
    keys = {key: RULES.to_internal(key) for key in published_keys(name)}
    assert len(set(keys.values())) == len(keys)
    modern = {key for key in keys if "gamma" not in key and "beta" not in key}
    assert {RULES.to_published(keys[key]) for key in modern} == modern


def test_rules_that_cannot_be_reversed_name_the_key() -> None:
    rules = KeyRules((Rename("a", "b"),))
    assert rules.published_names(["b.w", "c"]) == {"b.w": "a.w", "c": "c"}
    with pytest.raises(FormersError, match=r"'a\.w'.*not reversible|not reversible.*'a\.w'"):
        rules.published_names(["a.w"])


def test_two_stored_names_for_one_place_are_refused() -> None:
    with pytest.raises(CorruptFileError, match=r"LayerNorm\.gamma.*LayerNorm\.weight"):
        RULES.internal_names(["LayerNorm.gamma", "LayerNorm.weight"])


@pytest.mark.parametrize("bad", [("", "a"), ("a..b", "c"), ("{i}.a", "b"), ("{i}.{i}", "{i}.a")])
def test_patterns_that_make_no_sense_are_refused(bad: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=r"placeholder|pattern"):
        Rename(*bad)
    with pytest.raises(TypeError, match="Rename or Legacy"):
        KeyRules([bad])  # type: ignore[list-item]


def test_the_base_prefix_is_removed_or_added_as_needed() -> None:
    head, base = ["toy.a", "toy.b", "classifier.w"], ["a", "b"]
    assert base_prefix_mapping(head, base, "toy") == {"toy.a": "a", "toy.b": "b"}
    assert base_prefix_mapping(base, head, "toy") == {"a": "toy.a", "b": "toy.b"}
    assert base_prefix_mapping(head, head, "toy") == {}
    assert base_prefix_mapping(base, base, "toy") == {}
    assert base_prefix_mapping(head, base, "") == {}


def test_names_outside_the_base_model_keep_their_place() -> None:
    head = ["toy.a", "head.w"]
    assert base_prefix_mapping(["a", "head.w", "other"], head, "toy") == {"a": "toy.a"}
