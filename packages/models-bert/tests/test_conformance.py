"""The laws that every architecture keeps, for this one; what is special to it is in the files beside this one."""

from __future__ import annotations

from formers.testing import conformance_suite

NUMBERS = ("numerics", "attention", "meta")
RELATIVE = {
    "numerics.packed": "relative positions are not packed yet",
    "numerics.packed_loss": "relative positions are not packed yet",
    "numerics.holes": "distances are of columns; position_ids have no part in them, as in transformers",
    "numerics.gradients_reach": "published checkpoints have absolute positions that are not read",
}

TestConformance = conformance_suite("bert")
TestRelativeKey = conformance_suite(
    "bert",
    settings={"position_embedding_type": "relative_key"},
    tiers=NUMBERS,
    expected_failures=RELATIVE,
)
TestRelativeKeyQuery = conformance_suite(
    "bert",
    settings={"position_embedding_type": "relative_key_query", "is_decoder": True},
    tiers=(*NUMBERS, "generation"),
    expected_failures=RELATIVE,
)
