from __future__ import annotations

import pytest

import formers_checkpoint_npz
from formers.checkpoint.formats import known_formats


def test_the_core_finds_the_format_between_its_own() -> None:
    assert [known.name for known in known_formats()] == ["safetensors", "npz", "torch"]


def test_every_public_name_can_be_imported() -> None:
    for name in formers_checkpoint_npz.__all__:
        assert getattr(formers_checkpoint_npz, name) is not None
    assert set(formers_checkpoint_npz.__all__) <= set(dir(formers_checkpoint_npz))
    with pytest.raises(AttributeError, match="Npy"):
        formers_checkpoint_npz.Npy  # noqa: B018
