"""The laws of formers, as tests of this architecture; an expected failure would be listed with its reason."""

from __future__ import annotations

from formers.testing import conformance_suite

TestExample = conformance_suite("example")
