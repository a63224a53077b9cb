"""What importing and using configurations costs, and what it leaves alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from formers.config import PreTrainedConfig, field

PROGRAM = """
import json, sys
opened = []
sys.addaudithook(lambda event, args: opened.append(event) if event.startswith(("socket.", "subprocess.")) else None)
before = set(sys.modules)
from formers.config import PreTrainedConfig
config = PreTrainedConfig.from_pretrained(sys.argv[1])
config.save_pretrained(sys.argv[1])
print(json.dumps({"new": sorted(set(sys.modules) - before), "opened": opened}))
"""


def test_no_heavy_import_and_no_connection(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "any", "dtype": "float16", "num_labels": 3}')
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    answer = json.loads(result.stdout)
    heavy = {
        "torch",
        "numpy",
        "huggingface_hub",
        "dataclasses",
        "inspect",
        "difflib",
        "importlib.metadata",
        "pluggy",
    }
    assert heavy.isdisjoint(answer["new"])
    assert answer["opened"] == []


def test_construction_is_cheap() -> None:
    class LargeConfig(PreTrainedConfig):
        width: int = field(8, minimum=1)

    for index in range(40):
        LargeConfig = type(
            "LargeConfig",
            (LargeConfig,),
            {"__annotations__": {f"field_{index}": "int"}, f"field_{index}": index},
        )
    LargeConfig()
    best = min(_time(LargeConfig) for _ in range(20))
    assert best < 100e-6


def _time(make: type) -> float:
    start = time.perf_counter()
    for _ in range(20):
        make()
    return (time.perf_counter() - start) / 20


@pytest.mark.parametrize("name", ["PreTrainedConfig", "PretrainedConfig", "field"])
def test_public_names(name: str) -> None:
    import formers.config

    assert name in formers.config.__all__
    assert hasattr(formers.config, name)
