"""The ids of a real tokenizer are kept, whatever makes them; the command line compares them."""

from __future__ import annotations

import pytest

from formers.cli import main

MINILM = "v1:2280bb0c9f15fe9c229c8b4b41783245681dad000fb408fb6bdbac00ec5fe2f2"


@pytest.mark.parametrize("options", [[], ["--slow"]])
def test_the_ids_of_a_real_tokenizer_are_kept(minilm: str, options: list[str]) -> None:
    assert main(["tokenizer", "fingerprint", minilm, "--check", MINILM, *options]) == 0
