"""Models from a hub: the files that loading needs, fetched once, from one commit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from loopback_hub import Hub
from toy import ToyConfig, ToyForMaskedLM

from formers.errors import LoadError, UnsafePathError


def publish(served: Hub, folder: Path, **options: Any) -> ToyForMaskedLM:
    model = ToyForMaskedLM(ToyConfig())
    model.save_pretrained(folder, **options)
    served.add("owner/toy", {path.name: path.read_bytes() for path in folder.iterdir()})
    return model


def load(cache: Path, **options: Any) -> ToyForMaskedLM:
    model: ToyForMaskedLM = ToyForMaskedLM.from_pretrained(
        "owner/toy", cache_dir=cache, token=False, **options
    )
    return model


@pytest.mark.parametrize("size", ["50GB", "2KB"])
def test_a_model_is_fetched_and_then_found_in_the_cache(hub: Hub, tmp_path: Path, size: str) -> None:
    model = publish(hub, tmp_path / "saved", max_shard_size=size)
    loaded = load(tmp_path / "cache")
    assert torch.equal(loaded.head.weight, model.head.weight)
    assert loaded.config.name_or_path == "owner/toy"
    assert loaded.config._commit_hash == "1" * 40
    before = len(hub.log)
    load(tmp_path / "cache", local_files_only=True)
    assert len(hub.log) == before


def test_files_that_loading_does_not_need_are_not_fetched(hub: Hub, tmp_path: Path) -> None:
    publish(hub, tmp_path / "saved")
    hub.repositories["owner/toy"]["1" * 40]["pytorch_model.bin"] = b"large"
    load(tmp_path / "cache")
    assert not any("GET" in request and "pytorch_model" in request for request in hub.requests())


def test_a_repository_without_weights_says_what_was_looked_for(hub: Hub, tmp_path: Path) -> None:
    publish(hub, tmp_path / "saved")
    del hub.repositories["owner/toy"]["1" * 40]["model.safetensors"]
    with pytest.raises(LoadError, match=r"model\.safetensors"):
        load(tmp_path / "cache")


def test_an_index_that_points_outside_is_refused_before_anything_is_fetched(hub: Hub, tmp_path: Path) -> None:
    publish(hub, tmp_path / "saved", max_shard_size="2KB")
    files = hub.repositories["owner/toy"]["1" * 40]
    index = files["model.safetensors.index.json"]
    files["model.safetensors.index.json"] = index.replace(b"model-00001-of", b"../model-00001-of")
    with pytest.raises(UnsafePathError):
        load(tmp_path / "cache")
    assert not any("model-0000" in request for request in hub.requests())
