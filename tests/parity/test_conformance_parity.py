"""The tier ``interop`` of the conformance kit: configurations, keys, numbers, checkpoints and tokens, both ways."""

from __future__ import annotations

import pytest

from formers.testing import conformance_suite

pytestmark = pytest.mark.parity

TestBert = conformance_suite("bert", tiers=("interop",), reference="transformers")
TestGPT2 = conformance_suite("gpt2", tiers=("interop",), reference="transformers")
TestT5 = conformance_suite("t5", tiers=("interop",), reference="transformers")
