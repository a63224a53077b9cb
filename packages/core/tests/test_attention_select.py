from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from formers.attention import AttentionImplementation, AttentionRequest, OutOfScope, registry, select
from formers.attention.builtin import implementations
from formers.attention.report import AttentionReport
from formers.errors import (
    AttentionNotInstalledError,
    AttentionUnsupported,
    PluginConflictError,
    PluginLoadError,
    PluginWarning,
)
from formers.plugins import hooks
from formers.plugins.manifest import Architecture
from formers.plugins.registry import register, temporary_registrations


class Fused(AttentionImplementation):
    """A kernel for large heads on a GPU; loaded by name below."""

    name = "fused"
    priority = 50

    def supports(self, request: AttentionRequest) -> tuple[str, ...]:
        reasons = []
        if request.device != "cuda":
            reasons.append("runs on cuda only")
        if "probs" in request.needs:
            reasons.append("does not return the probabilities")
        return tuple(reasons)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


class Shadow(Fused):
    """Calls itself like one of the core's."""

    name = "sdpa"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(select.VARIABLE, raising=False)
    monkeypatch.delenv(select.STRICT, raising=False)


@pytest.fixture
def toy() -> Iterator[None]:
    """An architecture that brings an implementation of its own."""
    with temporary_registrations():
        register(
            Architecture("toy-fused", config="fractions:Fraction", attention={"fused": f"{__name__}:Fused"})
        )
        yield


def request(*needs: str, architecture: str = "toy", device: str = "cpu") -> AttentionRequest:
    return AttentionRequest(architecture, "encode", device, torch.float32, 4, 16, frozenset(needs))


def test_auto_takes_the_best_that_can() -> None:
    for wanted in (None, "auto"):
        chosen = select.select(request("padding"), wanted)
        assert chosen.implementation.name == "sdpa"
        assert chosen.passed_over == (("varlen_cpu", ("it is for packed batches",)),)
    chosen = select.select(request("probs", "head_mask"))
    assert chosen.implementation.name == "eager"
    _, (name, reasons) = chosen.passed_over
    assert name == "sdpa"
    assert len(reasons) == 2
    assert "output_attentions" in reasons[0]


def test_a_name_is_used_or_refused_but_never_replaced() -> None:
    assert select.select(request(), "eager").implementation.name == "eager"
    with pytest.raises(AttentionUnsupported) as error:
        select.select(request("probs"), "sdpa")
    assert str(error.value) == (
        "toy: attention 'sdpa' cannot serve this call (encode, cpu, float32, 4 heads of 16, needs probs):\n"
        "  - torch's kernels do not return the probabilities (output_attentions=True)\n"
        "Usable here: 'eager'. Use attn_implementation='auto' to pick one, or 'sdpa,auto' to fall back on it."
    )


def test_an_unknown_name_is_named_with_its_neighbours() -> None:
    with pytest.raises(
        AttentionUnsupported, match=r"'sdap'\. Did you mean 'sdpa'\? Installed: 'eager', 'sdpa'"
    ):
        select.select(request(), "sdap")
    with pytest.raises(ValueError, match=r"there is no attention called 'nonsense'. Installed"):
        select.check_name("nonsense", "toy")
    with pytest.raises(AttentionUnsupported, match=r"called \{'': 'sdpa'\}"):
        select.check_name({"": "sdpa"}, "toy")  # type: ignore[arg-type]
    for fine in (None, "auto", "eager", "sdpa"):
        select.check_name(fine, "toy")


@pytest.mark.parametrize("name", ["flash_attention_2", "flash_attention_3", "flex_attention"])
def test_a_known_name_that_nothing_provides_is_an_import_error(name: str) -> None:
    for error in (AttentionNotInstalledError, ImportError, ValueError):
        with pytest.raises(error, match=f"'{name}' is not provided by any installed package"):
            select.select(request(), name)
    with pytest.raises(AttentionNotInstalledError):
        select.check_name(name, "toy")


def test_the_environment_decides_where_the_caller_did_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(select.VARIABLE, "eager")
    assert select.select(request()).implementation.name == "eager"
    assert select.select(request(), "sdpa").implementation.name == "sdpa"
    monkeypatch.setenv(select.VARIABLE, "sdpa")
    with pytest.raises(AttentionUnsupported, match=r"'sdpa' \(from FORMERS_ATTENTION\) cannot serve"):
        select.select(request("probs"), "auto")
    monkeypatch.setenv(select.VARIABLE, "sdap")
    with pytest.raises(AttentionUnsupported, match=r"'sdap' \(from FORMERS_ATTENTION\)"):
        select.select(request())
    monkeypatch.setenv(select.VARIABLE, " ")
    assert select.select(request()).implementation.name == "sdpa"


class Partly(Fused):
    """Is meant for prompts on a GPU, and has limits."""

    def supports(self, request: AttentionRequest) -> tuple[str, ...]:
        reasons = [OutOfScope("it is for prompts")] if request.phase == "decode" else []
        return (*reasons, *(("heads are too wide",) if request.head_dim > 8 else ()))


def test_strict_mode_takes_no_failure_for_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = [*implementations(), Partly()]
    assert select.select(request(), None, installed).implementation.name == "sdpa"
    monkeypatch.setenv(select.STRICT, "1")
    with pytest.raises(AttentionUnsupported) as error:
        select.select(request(), "auto", installed)
    assert str(error.value) == (
        "toy: FORMERS_ATTENTION_STRICT forbids to pass over a better attention for this call (encode, cpu, float32, "
        "4 heads of 16):\n"
        "  - fused: heads are too wide\n"
        "Without it 'sdpa' would serve the call; name it as attn_implementation if that is what you want."
    )
    with pytest.raises(AttentionUnsupported, match=r"\(encode, cpu.*\n  - fused: heads are too wide"):
        select.select(request("head_mask"), "sdpa,auto", installed)
    # Names never fall back, and a list of names says itself what may follow.
    assert select.select(request(), "sdpa", installed).implementation.name == "sdpa"
    assert select.select(request(), "fused,sdpa", installed).implementation.name == "sdpa"
    monkeypatch.setenv(select.VARIABLE, "fused,sdpa")
    assert select.select(request(), None, installed).implementation.name == "sdpa"
    monkeypatch.delenv(select.VARIABLE)
    monkeypatch.setenv(select.STRICT, "0")
    assert select.select(request(), None, installed).implementation.name == "sdpa"


def test_strict_mode_forgives_what_is_not_meant_for_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(select.STRICT, "1")
    installed = [*implementations(), Partly()]
    step = AttentionRequest(
        "toy", "decode", "cpu", torch.float32, 4, 16
    )  # too wide as well, which is no matter
    chosen = select.select(step, None, installed)
    assert chosen.implementation.name == "sdpa"
    assert chosen.passed_over == (
        ("fused", ("it is for prompts", "heads are too wide")),
        ("varlen_cpu", ("it is for packed batches",)),
    )
    for device in ("cpu", "cuda"):
        assert select.select(request("padding", device=device)).implementation.name == "sdpa"
    assert select.select(request("packed", device="cuda")).implementation.name == "sdpa"
    with pytest.raises(AttentionUnsupported, match="sdpa: torch's kernels do not return the probabilities"):
        select.select(request("probs"))


@pytest.mark.usefixtures("toy")
def test_an_architecture_brings_its_own() -> None:
    cuda = request(architecture="toy-fused", device="cuda")
    assert select.select(cuda).implementation.name == "fused"
    assert select.select(request(device="cuda")).implementation.name == "sdpa"
    chosen = select.select(request(architecture="toy-fused"))
    assert chosen.implementation.name == "sdpa"
    assert chosen.passed_over[0] == ("fused", ("runs on cuda only",))
    with pytest.raises(AttentionUnsupported, match="runs on cuda only\n  - does not return"):
        select.select(request("probs", architecture="toy-fused"), "fused")


@pytest.mark.parametrize("reference", [f"{__name__}:Shadow", "fractions:Fraction"])
def test_a_manifest_that_names_something_else_is_refused(reference: str) -> None:
    with temporary_registrations():
        register(Architecture("toy-wrong", config="fractions:Fraction", attention={"fused": reference}))
        with pytest.raises(
            PluginLoadError, match=f"'toy-wrong' calls {reference} the attention implementation 'fused'"
        ):
            registry.implementations_for("toy-wrong")


def test_nothing_can_serve() -> None:
    with pytest.raises(
        AttentionUnsupported, match=r"no attention can serve this call .*\n  - fused: runs on cuda"
    ):
        select.select(request(), None, [Fused()])


@dataclass
class Answer:
    """Stands for the hook's results."""

    given: list[Any] = field(default_factory=list)

    def __call__(self, name: str) -> list[Any]:
        assert name == "formers_attention_implementations"
        return [implementations(), *self.given]


def test_plugins_add_to_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "call", Answer([[Fused()]]))
    assert [one.name for one in registry.implementations_for("toy")] == [
        "eager",
        "sdpa",
        "varlen_cpu",
        "fused",
    ]


def test_two_of_one_name_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "call", Answer([[Shadow()]]))
    with pytest.raises(
        PluginConflictError, match=r"called 'sdpa': formers\.attention\.sdpa\.Sdpa and .*Shadow"
    ):
        registry.implementations_for("toy")


def test_what_is_no_implementation_is_left_out_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "call", Answer([[object()]]))
    with pytest.warns(PluginWarning, match="which is left out; expected an object with name, priority"):
        found = registry.implementations_for("toy")
    assert [one.name for one in found] == ["eager", "sdpa", "varlen_cpu"]
    monkeypatch.setenv("FORMERS_STRICT_PLUGINS", "1")
    with pytest.raises(PluginLoadError, match="left out"):
        registry.implementations_for("toy")


def test_many_threads_agree() -> None:
    found: list[select.Selection] = []
    start = threading.Barrier(16)

    def work(head_dim: int) -> None:
        start.wait()
        for needs in ((), ("probs",), ("padding", "causal")) * 20:
            asked = AttentionRequest("toy", "train", "cpu", torch.float32, 4, head_dim, frozenset(needs))
            found.append(select.select(asked))

    threads = [threading.Thread(target=work, args=(8 * (number % 4 + 1),)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16 * 60
    assert {one.implementation.name for one in found} == {"eager", "sdpa"}


def test_the_memory_of_selections_is_bounded() -> None:
    with warnings.catch_warnings():
        for head_dim in range(1, 400):
            select.select(AttentionRequest("toy", "train", "cpu", torch.float32, 4, head_dim))
    assert len(select._remembered._selections) <= 256


def test_the_report_is_a_value_and_reads_well() -> None:
    requests = [request("padding"), request("probs")]
    chosen = [(asked, select.select(asked)) for asked in requests]
    report = AttentionReport(chosen)
    assert list(report) == chosen
    assert len(report) == 2
    assert report == AttentionReport(chosen)
    assert report.names() == ["sdpa", "eager"]
    assert report.names("decode") == []
    assert str(report) == (
        "toy: encode, cpu, float32, 4 heads of 16, needs padding -> sdpa\n"
        "    not varlen_cpu: it is for packed batches\n"
        "toy: encode, cpu, float32, 4 heads of 16, needs probs -> eager\n"
        "    not varlen_cpu: it is for packed batches\n"
        "    not sdpa: torch's kernels do not return the probabilities (output_attentions=True)"
    )
    assert str(AttentionReport([])) == "No attention call has been made yet."


def test_selection_works_inside_a_compiled_graph() -> None:
    registry.implementations_for("toy")

    def forward(x: torch.Tensor) -> torch.Tensor:
        return x * select.select(request("probs")).implementation.priority

    x = torch.ones(2)
    assert not torch.compile(forward, backend="aot_eager", fullgraph=True)(x).any()
