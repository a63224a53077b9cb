"""The conformance kit itself: cases, outcomes, strictness, options, reports. Its checks are in ``tests/mutations``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from toy import ToyConfig

import formers
from formers import Architecture
from formers.errors import ConfigValidationError
from formers.plugins import registry
from formers.testing import Subject, Tiny, conformance_suite, replaces, run_check, standard_checks
from formers.testing.capabilities import problems_of
from formers.testing.checks import Cases, Check, NotApplicable, Result, check, require, version
from formers.testing.classes import outcome_of
from formers.testing.running import TIERS

pytest_plugins = ["pytester"]

TOY = Architecture("toy", config="toy:ToyConfig", auto={"AutoModel": "toy:ToyModel"}, tiny="toy:ToyConfig")


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    with registry.temporary_registrations():
        formers.register(TOY)
        yield


def toy(**fields: Any) -> Subject:
    values: dict[str, Any] = {"config": TOY.config, "auto": dict(TOY.auto), "tiny": TOY.tiny}
    formers.register(Architecture("toy", **{**values, **fields}), exist_ok=True)
    return Subject("toy")


def test_the_ids_of_checks_are_stable() -> None:
    """An id that is gone breaks the expected failures of plugins; a new one belongs to a new version of the suite."""
    file = Path(__file__).parent / "data" / "conformance_checks.txt"
    known = dict(line.split() for line in file.read_text("utf-8").splitlines())
    found = {name: ".".join(map(str, one.since)) for name, one in standard_checks().items()}
    assert found == known


def test_every_check_says_what_it_is_about() -> None:
    for one in standard_checks().values():
        assert one.doc.endswith("."), one.id
        assert one.tier in TIERS
        assert not problems_of(one.needs)


def test_all_laws_are_checked() -> None:
    assert {one.law for one in standard_checks().values()} - {None} == set(range(1, 10))


def test_a_failure_does_not_hide_the_next() -> None:
    cases = Cases()
    with cases("first"):
        require(False, "one")
    with cases("second", "eager"):
        raise SystemExit("two")
    with cases("third"):
        raise NotApplicable("three")
    with pytest.raises(
        AssertionError, match=r"2 of 2 cases failed.\n- first: one\n- second, eager: SystemExit: two"
    ):
        cases.conclude()


def test_a_check_that_saw_nothing_is_no_proof() -> None:
    with pytest.raises(AssertionError, match="nothing to look at"):
        Cases().conclude()
    cases = Cases()
    with cases("head"):
        raise NotApplicable("no mask")
    with pytest.raises(NotApplicable, match="no mask"):
        cases.conclude()


def test_outcomes() -> None:
    def function(subject: Subject, cases: Cases) -> None:
        with cases("only"):
            require(subject.model_type == "other", "it is the toy")

    failing = run_check(toy(), Check("model.example", function))
    assert (failing.outcome, failing.cases) == ("failed", 1)
    assert failing.message == "1 of 1 cases failed.\n- only: it is the toy"
    skipped = run_check(toy(), Check("model.example", function, frozenset({"packed"})))
    assert skipped.outcome == "skipped"
    assert skipped.message.startswith("capability 'packed' is not declared (documents")
    broken = run_check(toy(), Check("model.example", lambda subject, cases: subject.no_such_thing))  # type: ignore[attr-defined]
    assert broken.message.startswith("AttributeError: ")


def test_ids_are_taken_once() -> None:
    with pytest.raises(ValueError, match="taken"):
        check("model.meta")(lambda subject, cases: None)
    with pytest.raises(ValueError, match="taken"):
        check("nonsense")(lambda subject, cases: None)


def test_versions_of_the_suite() -> None:
    assert version("1.0") == (1, 0)
    for wrong, said in (("one", "expected MAJOR.MINOR"), ("9.9", "up to 1.0")):
        with pytest.raises(ConfigValidationError, match=said):
            version(wrong)
    later = Check("model.example", lambda subject, cases: None, since=(1, 1))
    assert later.only_warns((1, 1))
    assert not later.only_warns((1, 2))
    assert not standard_checks()["model.meta"].only_warns((1, 0))
    failed = Result("model.example", "failed")
    assert outcome_of(failed, later, (1, 1), None) == "warned"
    assert outcome_of(failed, later, (1, 2), None) == "failed"
    assert outcome_of(failed, later, (1, 2), "a reason") == "expected"


def test_tiny_may_say_more_than_a_configuration() -> None:
    subject = toy(tiny="test_testing:more_than_a_configuration")
    assert subject.config(hidden_size=8).to_dict()["hidden_size"] == 8
    assert subject.tokenizer == "a tokenizer"
    rows = subject.models
    assert rows.heads[0].name == "ToyModel"


def more_than_a_configuration(**settings: Any) -> Tiny:
    return Tiny(ToyConfig(**settings), tokenizer=lambda: "a tokenizer")


@pytest.mark.parametrize(
    ("tiny", "said"),
    [
        (None, "has no tiny"),
        ("test_testing:number", "gave 7; expected a configuration"),
        (
            "formers.config:PreTrainedConfig",
            "gives a PreTrainedConfig; the manifest of 'toy' names ToyConfig",
        ),
    ],
)
def test_a_tiny_that_is_of_no_use(tiny: str | None, said: str) -> None:
    with pytest.raises(ConfigValidationError, match=said):
        toy(tiny=tiny).config()


def number(**settings: Any) -> int:
    return 7


def test_misspelt_capabilities_are_noticed() -> None:
    assert problems_of(frozenset({"decoder", "packed"})) == []
    assert "did you mean 'head_mask'" in problems_of(frozenset({"head_masks"}))[0]


def test_pytest_loads_nothing_heavy_for_the_options() -> None:
    program = "import sys, formers.testing.plugin; print(*sorted(m for m in sys.modules if m.startswith('formers')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["formers", "formers._version", "formers.testing", "formers.testing.plugin"]


def test_expected_failures_name_checks_and_reasons() -> None:
    with pytest.raises(ConfigValidationError, match="no_such"):
        conformance_suite("toy", expected_failures={"model.no_such": "because"})
    with pytest.raises(ConfigValidationError, match="reason"):
        conformance_suite("toy", expected_failures={"model.meta": " "})
    with pytest.raises(ConfigValidationError, match="reason"):
        replaces("model.meta", reason="")


def test_nobody_switches_off_the_watch() -> None:
    with pytest.raises(ConfigValidationError, match="test_meta_overrides"):

        class TestQuiet(conformance_suite("toy")):  # type: ignore[misc]
            def test_meta_overrides(self) -> None:
                pass


REGISTER = """
import formers
from formers import Architecture
from formers.testing import conformance_suite, replaces
formers.register(
    Architecture("toy", config="toy:ToyConfig", auto={"AutoModel": "toy:ToyModel"}, tiny="toy:ToyConfig"), exist_ok=True
)
"""


def run(pytester: pytest.Pytester, body: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(test_toy=REGISTER + body)
    installed = any(point.name == "formers" for point in entry_points(group="pytest11"))
    plugin = () if installed else ("-p", "formers.testing.plugin")
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist", *plugin, *options)


def test_a_class_of_tests_and_its_report(pytester: pytest.Pytester) -> None:
    body = "TestToy = conformance_suite('toy', expected_failures={'config.auto': 'it is only registered'})"
    done = run(pytester, body, "-k", "test_config_", "--formers-report", "out/report.json")
    done.assert_outcomes(passed=7, failed=1, deselected=len(standard_checks()) - 8)
    report = json.loads((pytester.path / "out" / "report.json").read_text("utf-8"))
    model = report["models"]["toy"]
    assert report["suite"] == "1.0"
    assert set(model["summary"]) == {"passed", "failed", "warned", "expected", "skipped"}
    assert model["summary"]["passed"] + model["summary"]["failed"] == len(model["checks"])
    (wrong,) = (one for one in model["checks"] if one["outcome"] == "failed")
    assert wrong["check"] == "config.auto"
    done.stdout.fnmatch_lines(["*expected to fail (it is only registered) but passes: remove it*"])
    done.stdout.fnmatch_lines(["*formers conformance*", "toy (registered in this process*", "*  config  *"])


def test_an_expected_failure_that_fails(pytester: pytest.Pytester) -> None:
    body = (
        "TestToy = conformance_suite('toy', expected_failures={'model.hidden_states': 'the toy keeps them'})"
    )
    done = run(pytester, body, "-k", "hidden_states")
    done.assert_outcomes(xfailed=1, deselected=len(standard_checks()) - 1)


def test_a_replaced_check_needs_its_reason(pytester: pytest.Pytester) -> None:
    body = """
class TestWithout(conformance_suite("toy")):
    def test_config_tiny(self): pass

class TestWith(conformance_suite("toy")):
    @replaces("config.tiny", reason="its dropout is part of what is tested")
    def test_config_tiny(self): pass
"""
    done = run(pytester, body, "-k", "meta_overrides")
    done.assert_outcomes(passed=1, failed=1, deselected=2 * len(standard_checks()) - 2)
    done.stdout.fnmatch_lines(
        ["*config.tiny is replaced or hidden; mark the method with @replaces('config.tiny'*"]
    )


def test_the_module_of_tests(pytester: pytest.Pytester) -> None:
    done = run(
        pytester,
        "",
        "--pyargs",
        "formers.testing.conformance",
        "--formers-model",
        "toy",
        "-k",
        "config.bytes",
    )
    done.assert_outcomes(passed=1, deselected=len(standard_checks()) - 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "needs --formers-model NAME"),
        (("--formers-model", "toy", "--formers-suite", "7.0"), "suite version 7.0: this formers has"),
    ],
)
def test_options_that_cannot_be_right(pytester: pytest.Pytester, options: tuple[str, ...], said: str) -> None:
    done = run(pytester, "", "--pyargs", "formers.testing.conformance", *options)
    assert done.ret != 0
    assert said in done.stdout.str() + done.stderr.str()
