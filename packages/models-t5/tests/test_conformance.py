"""The laws that every architecture keeps, for this one; what is special to it is in the files beside this one."""

from __future__ import annotations

from formers.testing import conformance_suite

TestConformance = conformance_suite("t5")
TestMT5 = conformance_suite("mt5", tiers=("packaging", "config", "model", "meta"))
