"""Find the fastest tiles of a package's attention kernels on this machine's GPU, and print or write the table.

    python tools/tune_attention.py formers_bert                        # measure, print the rows
    python tools/tune_attention.py formers_bert --write                # and put them before the table's own defaults
    python tools/tune_attention.py formers_bert --op forward --head-dim 64 --length 512 --dtype float16
    python tools/tune_attention.py formers_bert --offline 90           # no GPU: registers and spills when compiled

The package says in ``kernels/tuning.py`` what is tried. Measured rows come first
and take the places of those with the same conditions; the others stay for what was not measured.
"""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

import torch

from formers.kernels.tuning import Measured, Problem, measure, merged, occupancy, rows_of


def main() -> None:
    """Search as the command line says."""
    arguments = _arguments()
    package = importlib.import_module(f"{arguments.package}.kernels.tuning")
    chosen = {
        "ops": arguments.op,
        "dtypes": arguments.dtype and [getattr(torch, name) for name in arguments.dtype],
        "head_dims": arguments.head_dim,
        "lengths": arguments.length,
    }
    options = {name: value for name, value in chosen.items() if value}
    device = torch.device("cpu" if arguments.offline else "cuda")
    problems: list[Problem] = list(package.problems(device, **options))
    if arguments.offline:
        for problem in problems:
            _print_occupancy(problem, arguments.offline)
        return
    measured: list[Measured] = []
    for problem in problems:
        measured.append(measure(problem))
        print(measured[-1], flush=True)
    rows = rows_of(measured)
    print(json.dumps(rows, indent=2))
    if arguments.write:
        _write(Path(str(package.__file__)).with_name("tiles.json"), rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("package", help="such as formers_bert")
    parser.add_argument("--op", nargs="+")
    parser.add_argument("--dtype", nargs="+", help="such as float16")
    parser.add_argument("--head-dim", nargs="+", type=int)
    parser.add_argument("--length", nargs="+", type=int)
    parser.add_argument(
        "--write", action="store_true", help="replace the measured rows of the package's tiles.json"
    )
    parser.add_argument(
        "--offline", type=int, metavar="CAPABILITY", help="compile only, for this capability: 90"
    )
    return parser.parse_args()


def _print_occupancy(problem: Problem, capability: int) -> None:
    print(problem.op, dict(problem.conditions))
    for tiles, found in occupancy(problem, capability).items():
        if isinstance(found, str):
            print(f"    {tiles.options()}: {found}")
            continue
        for one in found:
            print(
                f"    {tiles.options()}: {one.registers} registers, {one.stack} bytes of stack, {one.shared} shared, "
                f"{one.matrix_instructions} matrix instructions of {one.instructions}",
                flush=True,
            )


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    table = json.loads(path.read_text("utf-8"))
    table["measured_on"] = f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    lines = ",\n    ".join(json.dumps(row) for row in merged(table.pop("rows"), rows))
    head = json.dumps(table)[1:-1]
    path.write_text(f'{{\n  {head},\n  "rows": [\n    {lines}\n  ]\n}}\n', "utf-8")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
