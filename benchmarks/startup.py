"""Start-up: whole processes that load a configuration, a tokenizer or a model, less one that does nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import processes, registry
from benchmarks.report import Row

BARE = "pass"
TORCH = "import torch"
CONFIG = "import sys; from {library} import AutoConfig; AutoConfig.from_pretrained(sys.argv[1])"
TOKENIZER = (
    "import sys; from {library} import AutoTokenizer; "
    "AutoTokenizer.from_pretrained(sys.argv[1])('How long does it take to be ready?')"
)
MODEL = "import sys; from {library} import AutoModel; AutoModel.from_pretrained(sys.argv[1])"
SAY_TORCH = "; print('torch' in sys.modules)"
SAY_PLUGINS = "; print(sum(name.startswith('{prefix}') for name in sys.modules))"
OTHER_PLUGINS = 1000


def rows(checkpoint: Path, repeats: int) -> list[Row]:
    """The start-up rows; ``checkpoint`` is a folder with configuration, tokenizer and weights."""
    with tempfile.TemporaryDirectory() as crowded, tempfile.TemporaryDirectory() as empty:
        registry.write_plugins(Path(crowded), OTHER_PLUGINS)
        programs = {"bare": (BARE, None), "torch": (TORCH, None)}
        for task, code in {"config": CONFIG, "tokenizer": TOKENIZER, "model": MODEL}.items():
            for library in ("formers", "transformers"):
                programs[f"{library} {task}"] = (code.format(library=library), None)
        programs["alone"] = (CONFIG.format(library="formers"), Path(empty))
        programs["crowded"] = (CONFIG.format(library="formers"), Path(crowded))
        times = processes.median_times(programs, str(checkpoint), repeats)
        imported = processes.run(
            CONFIG.format(library="formers") + SAY_PLUGINS.format(prefix=registry.PREFIX),
            str(checkpoint),
            path=Path(crowded),
        )
    bare, torch = times["bare"], times["torch"]
    return [
        light_row("AutoConfig, whole process", CONFIG, times, "config", bare, 80, checkpoint),
        light_row("AutoTokenizer and a text", TOKENIZER, times, "tokenizer", bare, 150, checkpoint),
        Row(
            "AutoModel of MiniLM",
            times["formers model"],
            times["transformers model"],
            times["transformers model"] / times["formers model"],
            "ms",
            f"torch {times['formers model'] - torch:+.0f} ms",
            "<= import torch + 250 ms",
            times["formers model"] - torch <= 250,
        ),
        Row(
            f"AutoConfig beside {OTHER_PLUGINS:,} plugins",
            times["crowded"],
            None,
            None,
            "ms",
            f"{times['crowded'] - times['alone']:+.0f} ms, {imported} of them imported",
            "<= + 80 ms, none of them imported",
            times["crowded"] - times["alone"] <= 80 and imported == "0",
        ),
    ]


def light_row(
    name: str, code: str, times: dict[str, float], task: str, bare: float, budget: float, checkpoint: Path
) -> Row:
    """A row for what must work without PyTorch."""
    more = times[f"formers {task}"] - bare
    heavy = processes.run(code.format(library="formers") + SAY_TORCH, str(checkpoint)) == "True"
    return Row(
        name,
        times[f"formers {task}"],
        times[f"transformers {task}"],
        times[f"transformers {task}"] / times[f"formers {task}"],
        "ms",
        f"bare {more:+.0f} ms, {'with' if heavy else 'no'} torch",
        f"<= bare Python + {budget:.0f} ms, no torch",
        more <= budget and not heavy,
    )
