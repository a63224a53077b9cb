"""Key lists of published checkpoints: name, shape and type of every tensor, at the published sizes.

Written by hand from the architectures' publications; ``data/published_keys/*.json`` holds them in the compact form
``{"name": {...}}`` where ``{layer}`` stands for each layer number.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

FOLDER = Path(__file__).parent / "data" / "published_keys"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def published_keys(name: str) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Name -> (shape, type) of every tensor of a published checkpoint."""
    content = json.loads((FOLDER / f"{name}.json").read_text())
    found: dict[str, tuple[tuple[int, ...], torch.dtype]] = {}
    for group in content["groups"]:
        layers = range(group.get("first_layer", 0), group.get("layers", 1))
        for layer in layers:
            for key, (dtype, *shape) in group["tensors"].items():
                found[key.replace("{layer}", str(layer))] = (tuple(shape), getattr(torch, dtype))
    return found


def meta_tensors(name: str) -> dict[str, torch.Tensor]:
    """The same as tensors without data."""
    return {
        key: torch.empty(shape, dtype=dtype, device="meta")
        for key, (shape, dtype) in published_keys(name).items()
    }
