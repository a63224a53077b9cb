"""The laws that every architecture keeps, for this one; what is special to it is in the files beside this one."""

from __future__ import annotations

from formers.testing import conformance_suite

NUMBERS = ("numerics", "attention", "meta")

TestConformance = conformance_suite("gpt2")
TestUnscaled = conformance_suite("gpt2", settings={"scale_attn_weights": False}, tiers=NUMBERS)
TestScaledByLayer = conformance_suite(
    "gpt2",
    settings={"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True},
    tiers=NUMBERS,
)
TestSW3 = conformance_suite("gpt-sw3", tiers=("packaging", "config", "meta"))
