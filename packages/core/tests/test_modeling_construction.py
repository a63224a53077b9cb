from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading

import pytest
import torch
from torch import nn
from toy import ToyConfig, ToyForMaskedLM, ToyForSequenceClassification, ToyModel

from formers.modeling import PreTrainedModel
from formers.modeling.construction import building_on_meta


def test_weights_are_initialised_and_tied_without_any_call_by_the_author() -> None:
    model = ToyForMaskedLM(ToyConfig(initializer_range=0.5, hidden_size=64, vocab_size=500))
    assert model.head.weight is model.toy.embeddings.weight
    assert model.toy.embeddings.weight.std().item() == pytest.approx(0.5, rel=0.05)
    assert model.toy.layers[0].query.bias.abs().max().item() == 0
    assert torch.equal(model.toy.layers[0].norm.weight, torch.ones(64))


def test_initialisation_is_reproducible_under_a_seed() -> None:
    models = []
    for _ in range(2):
        torch.manual_seed(3)
        models.append(ToyForMaskedLM(ToyConfig()))
    for left, right in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(left, right)


def test_a_subclass_without_constructor_is_finished_too() -> None:
    class Derived(ToyForMaskedLM):
        pass

    model = Derived(ToyConfig())
    assert model.head.weight is model.toy.embeddings.weight


def test_each_module_is_initialised_by_the_innermost_model_that_owns_it() -> None:
    class Inner(ToyModel):
        def _init_weights(self, module: nn.Module) -> None:
            if isinstance(module, nn.Linear):
                nn.init.constant_(module.weight, 7.0)

    class Outer(PreTrainedModel):
        config_class = ToyConfig

        def __init__(self, config: ToyConfig) -> None:
            super().__init__(config)
            self.inner = Inner(config)
            self.outer = nn.Linear(2, 2)

    model = Outer(ToyConfig())
    assert (model.inner.layers[0].query.weight == 7).all()
    assert not (model.outer.weight == 7).any()


def test_the_hook_that_transformers_needs_is_harmless() -> None:
    class Ported(ToyForMaskedLM):
        def __init__(self, config: ToyConfig) -> None:
            super().__init__(config)
            self.post_init()

    model = Ported(ToyConfig())
    assert model.head.weight is model.toy.embeddings.weight


def test_a_failing_constructor_does_not_confuse_the_next_one() -> None:
    class Broken(ToyModel):
        def __init__(self, config: ToyConfig) -> None:
            super().__init__(config)
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        Broken(ToyConfig())
    model = ToyForMaskedLM(ToyConfig())
    assert model.head.weight is model.toy.embeddings.weight


def test_building_on_meta_allocates_no_parameters_and_keeps_computed_buffers() -> None:
    with building_on_meta():
        model = ToyForMaskedLM(ToyConfig(vocab_size=2**31 - 1, hidden_size=64))
    assert all(parameter.is_meta for parameter in model.parameters())
    assert torch.equal(model.toy.steps, torch.arange(8))


def test_building_on_meta_concerns_one_thread_only() -> None:
    inside, outside = threading.Event(), threading.Event()
    kinds: list[bool] = []

    def build() -> None:
        inside.wait(10)
        kinds.append(ToyModel(ToyConfig()).embeddings.weight.is_meta)
        outside.set()

    thread = threading.Thread(target=build)
    thread.start()
    with building_on_meta():
        inside.set()
        outside.wait(10)
    thread.join()
    assert kinds == [False]


def test_torch_is_as_before_after_building_on_meta() -> None:
    before = (torch.empty, nn.Linear.__init__, nn.init.normal_, torch.get_default_dtype())
    with building_on_meta():
        ToyModel(ToyConfig())
    assert before == (torch.empty, nn.Linear.__init__, nn.init.normal_, torch.get_default_dtype())
    assert not torch.empty(2).is_meta


def test_a_configuration_is_required() -> None:
    with pytest.raises(TypeError, match="from_pretrained"):
        ToyModel("some/folder")  # type: ignore[arg-type]


def test_unknown_constructor_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="biass"):
        ToyForSequenceClassification(ToyConfig(), biass=False)  # type: ignore[call-arg]


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_models_copy_and_pickle(clone: object) -> None:
    model = ToyForMaskedLM(ToyConfig()).eval()
    ids = torch.arange(6).reshape(2, 3)
    model(ids)
    twin = clone(model)  # type: ignore[operator]
    assert torch.equal(twin(ids).logits, model(ids).logits)
    assert twin.head.weight is twin.toy.embeddings.weight


def test_building_on_meta_imports_no_compiler() -> None:
    """In-place initialisers on meta tensors would import torch._dynamo, which costs a second."""
    code = (
        "import sys\n"
        "from formers.modeling.construction import building_on_meta\n"
        "from torch import nn\n"
        "with building_on_meta():\n"
        "    nn.Linear(2, 2), nn.Embedding(3, 2), nn.LayerNorm(2), nn.Conv1d(1, 1, 1)\n"
        "assert 'torch._dynamo' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
