"""Memory: how far a process grows while a model loads and every weight is then read once (Linux only)."""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path

from benchmarks import processes
from benchmarks.report import Row

MEBIBYTE = 1024 * 1024

# VmHWM is the highest resident size; writing 5 to clear_refs makes it start again from the present one.
# Reading every weight brings mapped pages in, so that mapping a file does not look cheaper than it is.
LOAD = """
import json, sys, torch
def status(field):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = status("VmRSS")
from {library} import AutoModel
model = AutoModel.from_pretrained(sys.argv[1], dtype=getattr(torch, sys.argv[2]))
weights = list(model.state_dict().values())
total = sum(float(weight.sum()) for weight in weights)
size = sum(weight.numel() * weight.element_size() for weight in weights)
print(json.dumps(dict(peak=status("VmHWM") - before, size=size)))
"""

WRITE = """
import sys, torch, transformers
model = transformers.BertModel(transformers.BertConfig())
model.save_pretrained(sys.argv[1])
model.config.save_pretrained(sys.argv[2])
torch.save(model.state_dict(), sys.argv[2] + "/pytorch_model.bin")
"""


def rows(checkpoint: Path, repeats: int) -> list[Row]:
    """The memory rows: the given checkpoint, and random weights of BERT base's shape, as stored and converted."""
    with tempfile.TemporaryDirectory() as base, tempfile.TemporaryDirectory() as pickled:
        processes.run(WRITE, base, pickled)
        return [
            measure("MiniLM", checkpoint, repeats),
            measure("BERT base", Path(base), repeats),
            measure("BERT base in bfloat16", Path(base), repeats, "bfloat16"),
            measure("BERT base in bfloat16, .bin", Path(pickled), repeats, "bfloat16"),
        ]


def measure(name: str, checkpoint: Path, repeats: int, dtype: str = "float32") -> Row:
    """Peak of both libraries over the size of the model."""
    peaks: dict[str, list[float]] = {"formers": [], "transformers": []}
    size = 0.0
    for _ in range(repeats):
        for library, values in peaks.items():
            said = json.loads(
                processes.run(LOAD.format(library=library), str(checkpoint), dtype).splitlines()[-1]
            )
            values.append(said["peak"] / MEBIBYTE)
            size = said["size"] / MEBIBYTE
    peak, other = (statistics.median(values) for values in peaks.values())
    budget = 1.05 * size + 30e6 / MEBIBYTE
    return Row(
        f"peak memory, {name} ({size:.0f} MiB)",
        peak,
        other,
        other / peak,
        "MiB",
        f"{peak - size:+.0f} MiB over the weights",
        f"<= {budget:.0f} MiB (size x 1.05 + 30 MB)",
        peak <= budget,
    )
