"""``synced_gpus``: processes of one group run the model equally often, and each gets its own result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_causal import toy_causal

PROGRAM = """
import json, sys
import torch
from toy_causal import toy_causal
rank, meeting, strategies = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
torch.set_num_threads(1)
model = toy_causal(seed=1)
forwards = []
model.register_forward_pre_hook(lambda *_: forwards.append(1))
for options in strategies:
    found = model.generate(torch.tensor([[3, 4, 5]]), max_new_tokens=(4, 9)[rank], synced_gpus=True, **options)
    print(json.dumps([found.tolist(), len(forwards)]))
torch.distributed.destroy_process_group()
"""
STRATEGIES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "static cache": {"cache_implementation": "static"},
    "beams": {"num_beams": 3, "num_return_sequences": 2},
    "groups": {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1.0},
}


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this PyTorch has no torch.distributed")
def test_processes_run_the_model_equally_often(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    arguments = [str(tmp_path / "meeting"), json.dumps(list(STRATEGIES.values()))]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(rank), *arguments],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    results = [process.communicate(timeout=120)[0].splitlines() for process in started]
    model = toy_causal(seed=1)
    for options, *lines in zip(STRATEGIES.values(), *results, strict=True):
        found = [json.loads(line) for line in lines]
        assert found[0][1] == found[1][1], "forwards so far"
        for (rows, _), new in zip(found, (4, 9), strict=True):
            assert rows == model.generate(torch.tensor([[3, 4, 5]]), max_new_tokens=new, **options).tolist()


@pytest.mark.parametrize("name", STRATEGIES)
def test_one_process_alone_has_nobody_to_wait_for(name: str) -> None:
    model, ids = toy_causal(seed=1), torch.tensor([[3, 4, 5]])
    options = {"max_new_tokens": 5} | STRATEGIES[name]
    assert torch.equal(model.generate(ids, synced_gpus=True, **options), model.generate(ids, **options))
