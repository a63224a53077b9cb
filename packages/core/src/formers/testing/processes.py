"""Questions that only a fresh process can answer: what is imported, and what is opened, by doing something."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

__all__ = ["Probe"]

_SECONDS = 120

_LIGHT = """
import json, sys
from formers.plugins import registry
provider = registry.provider_for({model_type!r})
before = sorted(sys.modules)
provider.architecture.config and provider.load_class(provider.architecture.config)()
print(json.dumps([before, sorted(sys.modules)]))
"""

_TOKENIZER = """
import json, sys
from formers.plugins import registry
provider = registry.provider_for({model_type!r})
for reference in (provider.architecture.tokenizer, provider.architecture.slow_tokenizer):
    reference and provider.load_class(reference)
print(json.dumps(sorted(sys.modules)))
"""

_LOAD = """
import json, sys, warnings
import torch
import formers
from formers.plugins import registry
events = []
def hook(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.exec", "os.spawn", "os.posix_spawn", "urllib.")) or event in (
        "os.system", "os.fork", "pickle.find_class",
    ):
        events.append(event)
sys.addaudithook(hook)
warnings.simplefilter("ignore")
for auto in {autos!r}:
    getattr(formers, auto).from_pretrained({folder!r})
print(json.dumps([sorted(set(events)), sorted(sys.modules)]))
"""


class Probe:
    """Runs small programs about one installed model type; each at most once."""

    def __init__(self, model_type: str) -> None:
        self._model_type = model_type

    @cached_property
    def light(self) -> tuple[list[str], list[str]]:
        """The modules imported by the manifest, and those after a configuration was made."""
        manifest, configuration = run(_LIGHT.format(model_type=self._model_type))
        return manifest, configuration

    @cached_property
    def tokenizers(self) -> list[str]:
        """The modules imported by the tokenizer classes."""
        modules: list[str] = run(_TOKENIZER.format(model_type=self._model_type))
        return modules

    def loading(self, folder: Path, autos: tuple[str, ...]) -> tuple[list[str], list[str]]:
        """Audit events (sockets, processes, pickles) and modules of loading a folder through Auto classes."""
        events, modules = run(_LOAD.format(folder=str(folder), autos=autos))
        return events, modules


def run(program: str) -> Any:
    """What a program prints as its last line, as JSON; it sees this process's import path.

    Raises:
        AssertionError: it failed; with the end of its traceback.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=_SECONDS
    )
    if done.returncode:
        raise AssertionError(f"a fresh process failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])
