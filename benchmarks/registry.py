"""What a thousand installed plugins cost a process that uses one of them.

``python -m benchmarks.registry [--plugins 1000] [--repeats 15] [--json]`` prints medians of whole processes, and how
many of the plugins each process imported.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from statistics import median

from benchmarks import processes

PREFIX = "formers_benchmark_"
TYPE = "benchmark-target"

LOAD = f"""
import sys
from formers import AutoConfig
AutoConfig.for_model({TYPE!r})
"""
COUNT = f"print(len({{name.partition('.')[0] for name in sys.modules if name.startswith({PREFIX!r})}}))"


def write_plugins(folder: Path, number: int) -> None:
    """Fake installed distributions, each with one model type and a METADATA file of the usual size."""
    for index in range(number):
        name = f"{PREFIX}{index}"
        _write_dist(folder, name, f"benchmark-{index} = {name}:ARCHITECTURE")
        (folder / f"{name}.py").write_text(
            "raise RuntimeError('a plugin that nobody asked for was imported')\n"
        )


def write_target(folder: Path) -> None:
    """The one plugin that is used."""
    name = f"{PREFIX}target"
    _write_dist(folder, name, f"{TYPE} = {name}:ARCHITECTURE")
    (folder / f"{name}.py").write_text(
        "from formers import Architecture\n"
        f"ARCHITECTURE = Architecture({TYPE!r}, config='{name}_configuration:Config')\n"
    )
    (folder / f"{name}_configuration.py").write_text(
        f"from formers import PreTrainedConfig\nclass Config(PreTrainedConfig):\n    model_type = {TYPE!r}\n"
    )


def measure(number: int, repeats: int) -> dict[str, float]:
    """Medians in milliseconds, and the plugins imported."""
    with tempfile.TemporaryDirectory() as alone, tempfile.TemporaryDirectory() as crowd:
        for folder in (alone, crowd):
            write_target(Path(folder))
        write_plugins(Path(crowd), number)
        programs = {"bare": ("pass", None), "0": (LOAD, Path(alone)), str(number): (LOAD, Path(crowd))}
        times = processes.median_times(programs, "", repeats)
        imported = int(processes.run(LOAD + COUNT, path=Path(crowd)))
        scan = _scan_times(Path(crowd), repeats)
    return {
        "plugins": number,
        "bare_python_ms": round(times["bare"], 1),
        "without_others_ms": round(times["0"], 1),
        "with_others_ms": round(times[str(number)], 1),
        "difference_ms": round(times[str(number)] - times["0"], 1),
        "scan_ms": round(scan, 1),
        "imported": imported - 1,  # the manifest's module has its configuration beside it
    }


def _scan_times(folder: Path, repeats: int) -> float:
    code = (
        "import sys, time; from formers.plugins import discovery; start = time.perf_counter(); "
        "discovery.scan(sys.path); print(1000 * (time.perf_counter() - start))"
    )
    return median(float(processes.run(code, path=folder)) for _ in range(repeats))


def _write_dist(folder: Path, name: str, line: str) -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n\n{'x' * 6000}\n")
    (info / "entry_points.txt").write_text(f"[formers.models]\n{line}\n")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--plugins", type=int, default=1000, help="other plugins installed (default: 1000)")
    parser.add_argument("--repeats", type=int, default=15, help="rounds (default: 15)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    figures = measure(options.plugins, options.repeats)
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        print(f"{name.replace('_ms', ''):18} {value:>8} {'ms' if name.endswith('_ms') else ''}".rstrip())


if __name__ == "__main__":
    os.environ.pop("FORMERS_PLUGINS", None)
    main()
