"""Tier ``model``: no global is touched, threads do not meet, data is not code, nothing is said (laws 5, 7, 8)."""

from __future__ import annotations

import json
import logging
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from formers.modeling import PreTrainedModel
from formers.testing.batches import Rows, run
from formers.testing.checks import Cases, NotApplicable, check, require
from formers.testing.models import equal, same_state
from formers.testing.subject import Subject

from .isolation_rules import foreign_modules
from .saving import loaded


def _globals() -> dict[str, Any]:
    """What other code in the process relies on."""
    functions = {f"torch.{name}": getattr(torch, name) for name in ("empty", "zeros", "ones", "load", "save")}
    functions |= {f"torch.nn.init.{name}": value for name, value in vars(nn.init).items() if callable(value)}
    functions |= {
        f"PreTrainedModel.{name}": value for name, value in vars(PreTrainedModel).items() if callable(value)
    }
    functions |= {f"Module.{name}": value for name, value in vars(nn.Module).items() if callable(value)}
    return functions | {
        "the default dtype": torch.get_default_dtype(),
        "gradients enabled": torch.is_grad_enabled(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
        "the level of logging": logging.getLogger().level,
        "handlers of logging": list(logging.getLogger().handlers),
        "filters of warnings": list(warnings.filters),
        "sys.path": list(sys.path),
        "torch.backends": (torch.backends.mkldnn.enabled, torch.get_float32_matmul_precision()),
    }


@check("model.no_globals", law=8)
def no_globals(subject: Subject, cases: Cases) -> None:
    """Building, running, saving and loading change nothing that the rest of the process sees, its seed included."""
    models = subject.models
    for head in models.heads:
        with cases(head):
            model, folder = models.saved(head)
            inputs = Rows(models, head, (5, 3)).batch().inputs
            before = _globals()
            state = torch.random.get_rng_state()
            found = head.load(folder)
            with torch.no_grad():
                found(**inputs)
            found.save_pretrained(subject.folder())
            require(
                torch.equal(torch.random.get_rng_state(), state), "loading and running draw random numbers"
            )
            head.cls(subject.config(**head.overrides))
            after = _globals()
            changed = [
                name
                for name, value in before.items()
                if after.get(name) is not value and after.get(name) != value
            ]
            require(not changed, f"changed: {', '.join(changed)}")
            del model


@check("model.threads", law=8)
def threads(subject: Subject, cases: Cases) -> None:
    """Two threads load and run two models in two dtypes at once, and get what each gets alone."""
    models = subject.models
    head = models.base
    with cases(head):
        jobs = []
        for seed, dtype in ((0, torch.float32), (1, torch.bfloat16)):
            folder = subject.folder()
            model = models.build(head, dtype=torch.float32, seed=seed)
            model.save_pretrained(folder)
            jobs.append((folder, dtype, loaded(head, folder, dtype=dtype)))
        wrong: list[str] = []
        start = threading.Barrier(len(jobs))
        inputs = Rows(models, head, (5, 3)).batch().inputs

        def work(folder: Path, dtype: torch.dtype, expected: PreTrainedModel) -> None:
            start.wait()
            for _ in range(5):
                try:
                    found = loaded(head, folder, dtype=dtype)
                    same_state(found, expected)
                    with torch.no_grad():
                        equal(found(**inputs)[0], expected(**inputs)[0], "an answer")
                except Exception as error:  # noqa: BLE001 - reported by the thread that waits
                    wrong.append(f"{dtype}: {error}")

        workers = [threading.Thread(target=work, args=job) for job in jobs]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        require(not wrong, "; ".join(wrong[:3]))
        require(torch.get_default_dtype() == torch.float32, "the default dtype is another")


@check("model.offline", law=7)
def offline(subject: Subject, cases: Cases) -> None:
    """Loading a folder opens no socket, starts no process, reads no pickle, and imports no other architecture."""
    head = subject.models.base
    with cases(*head.autos):
        probe = subject.probe
        _, folder = subject.models.saved(head)
        events, modules = probe.loading(folder, head.autos)
        require(not events, f"loading caused {', '.join(events)}")
        foreign = foreign_modules(subject, modules)
        require(not foreign, f"loading imported {', '.join(foreign)}")


@check("model.data_is_not_code", law=7)
def data_is_not_code(subject: Subject, cases: Cases) -> None:
    """What a folder says about code, attention or remote modules is not obeyed."""
    head = subject.models.base
    with cases(head):
        model, folder = subject.models.saved(head)
        file = folder / "config.json"
        config = json.loads(file.read_text("utf-8"))
        config |= {
            "_attn_implementation": "somebody/kernel",
            "_attn_implementation_internal": "somebody/kernel",
            "attn_implementation": "somebody/kernel",
            "auto_map": {"AutoModel": "evil.Model"},
            "trust_remote_code": True,
        }
        file.write_text(json.dumps(config), "utf-8")
        (folder / "evil.py").write_text("raise SystemExit('code of the folder ran')", "utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = head.load(folder)
        same_state(found, model)
        inputs = Rows(subject.models, head, (5, 3)).batch().inputs
        with torch.no_grad():
            equal(run(found, inputs)[0], run(model, inputs)[0], "an answer")


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@check("model.quiet", law=5)
def quiet(subject: Subject, cases: Cases) -> None:
    """Correct use warns of nothing and logs nothing."""
    models = subject.models
    for head in models.heads:
        with cases(head), warnings.catch_warnings():
            warnings.simplefilter("error")
            records = _Records()
            logging.getLogger().addHandler(records)
            try:
                model, folder = models.saved(head)
                inputs = Rows(models, head, (5, 3)).batch().inputs
                loaded(head, folder)(**inputs)
                model.train()(**inputs)
            finally:
                logging.getLogger().removeHandler(records)
            require(not records.messages, f"logged: {records.messages[:3]}")
    if not cases.run:
        raise NotApplicable("the manifest has no models")
