from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from formers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoImageProcessor,
    AutoProcessor,
    AutoVideoProcessor,
    PreTrainedConfig,
)
from formers.errors import ConfigValidationError, LoadError, PluginConflictError, UnsupportedHeadError
from formers.plugins import registry


class EyeConfig(PreTrainedConfig):
    model_type = "auto-eye"


class Extractor:
    def __init__(self, *inputs: Any, size: int = 1, mean: float = 0.0) -> None:
        self.inputs, self.size, self.mean = inputs, size, mean


class ExtractorFast(Extractor):
    pass


class Dictionary(Extractor):
    @classmethod
    def from_dict(cls, values: dict[str, Any], *inputs: Any) -> Dictionary:
        return cls(*inputs, size=10 * values["size"])


class Loader:
    def __init__(self, name: Any, kwargs: Any) -> None:
        self.name, self.kwargs = name, kwargs

    @classmethod
    def from_pretrained(cls, name: Any, **kwargs: Any) -> Loader:
        return cls(name, kwargs)


FACTORIES = [AutoFeatureExtractor, AutoImageProcessor, AutoProcessor, AutoVideoProcessor]
KEYS = {
    AutoFeatureExtractor: "feature_extractor_type",
    AutoImageProcessor: "image_processor_type",
    AutoVideoProcessor: "video_processor_type",
    AutoProcessor: "processor_class",
}


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    with registry.temporary_registrations():
        AutoConfig.register("auto-eye", EyeConfig)
        yield


def write(folder: Path, file: str = "preprocessor_config.json", config: bool = True, **content: Any) -> str:
    (folder / file).write_text(json.dumps(content))
    if config:
        (folder / "config.json").write_text(json.dumps({"model_type": "auto-eye"}))
    return str(folder)


@pytest.mark.parametrize("auto", FACTORIES)
def test_the_configuration_decides(tmp_path: Path, auto: Any) -> None:
    auto.register(EyeConfig, Extractor)
    folder = write(tmp_path, size=3)
    loaded = auto.from_pretrained(folder, "positional", mean=0.5, colour="red")
    assert (type(loaded), loaded.size, loaded.mean, loaded.inputs) == (Extractor, 3, 0.5, ("positional",))
    loaded, unused = auto.from_pretrained(folder, mean=0.5, colour="red", return_unused_kwargs=True)
    assert (loaded.mean, unused) == (0.5, {"colour": "red"})


@pytest.mark.parametrize("auto", FACTORIES)
def test_the_name_in_the_file_decides_first(tmp_path: Path, auto: Any) -> None:
    class OtherConfig(EyeConfig):
        model_type = "auto-other-eye"

    auto.register(EyeConfig, Extractor)
    auto.register(OtherConfig, Dictionary)
    folder = write(tmp_path, size=3, **{KEYS[auto]: "Dictionary"})
    assert auto.from_pretrained(folder).size == 30
    alone = tmp_path / "alone"
    alone.mkdir()
    assert auto.from_pretrained(write(alone, config=False, size=3, **{KEYS[auto]: "Dictionary"})).size == 30


@pytest.mark.parametrize("auto", FACTORIES)
def test_without_a_plugin_it_says_so(tmp_path: Path, auto: Any) -> None:
    folder = write(tmp_path, **{KEYS[auto]: "Unheard"})
    with pytest.raises(UnsupportedHeadError) as error:
        auto.from_pretrained(folder)
    text = str(error.value)
    assert text.startswith(f"No installed plugin provides the {auto.kind} 'Unheard' that {folder}")
    assert f"{auto.__name__}.register adds it" in text
    (tmp_path / "preprocessor_config.json").unlink()
    (tmp_path / "config.json").unlink()
    with pytest.raises(LoadError, match="looked for"):
        auto.from_pretrained(folder)


@pytest.mark.parametrize("auto", [AutoFeatureExtractor, AutoImageProcessor, AutoVideoProcessor])
def test_one_file_is_enough(tmp_path: Path, auto: Any) -> None:
    auto.register(EyeConfig, Extractor)
    write(tmp_path, config=False, size=4)
    path = tmp_path / "preprocessor_config.json"
    assert auto.from_pretrained(path, config=EyeConfig()).size == 4


def test_a_processor_has_several_files(tmp_path: Path) -> None:
    AutoProcessor.register(EyeConfig, Loader)
    folder = write(tmp_path, "processor_config.json")
    loaded = AutoProcessor.from_pretrained(folder, local_files_only=True)
    assert (loaded.name, loaded.kwargs) == (folder, {"local_files_only": True})
    assert AutoProcessor.from_pretrained(folder, return_unused_kwargs=True)[1] == {}
    with pytest.raises(LoadError, match="give the folder"):
        AutoProcessor.from_pretrained(tmp_path / "processor_config.json")


def test_slow_and_fast_image_processors(tmp_path: Path) -> None:
    folder = write(tmp_path, size=2, image_processor_type="Extractor")
    AutoImageProcessor.register(EyeConfig, fast_image_processor_class=ExtractorFast)
    assert type(AutoImageProcessor.from_pretrained(folder)) is ExtractorFast
    AutoImageProcessor.register(EyeConfig, slow_image_processor_class=Extractor)
    assert type(AutoImageProcessor.from_pretrained(folder)) is Extractor
    assert type(AutoImageProcessor.from_pretrained(folder, use_fast=True)) is ExtractorFast
    nameless = write(tmp_path, size=2)
    assert type(AutoImageProcessor.from_pretrained(nameless, use_fast=True)) is ExtractorFast
    assert type(AutoImageProcessor.from_pretrained(nameless, use_fast=False)) is Extractor


def test_the_file_of_an_image_processor_can_be_named(tmp_path: Path) -> None:
    AutoImageProcessor.register(EyeConfig, Extractor)
    write(tmp_path, size=2)
    write(tmp_path, "other.json", size=5)
    assert AutoImageProcessor.from_pretrained(tmp_path, image_processor_filename="other.json").size == 5


@pytest.mark.parametrize("auto", FACTORIES)
def test_registration_is_checked(auto: Any) -> None:
    auto.register(EyeConfig, Extractor)
    with pytest.raises(PluginConflictError):
        auto.register(EyeConfig, Dictionary)
    auto.register(EyeConfig, Dictionary, exist_ok=True)
    with pytest.raises(ConfigValidationError, match="'A' is not a class"):
        auto.register(EyeConfig, "A", exist_ok=True)
    with pytest.raises(OSError, match="from_pretrained"):
        auto()


def test_an_image_processor_class_is_needed() -> None:
    with pytest.raises(ValueError, match="give a slow or a fast"):
        AutoImageProcessor.register(EyeConfig)


@pytest.mark.parametrize("auto", FACTORIES)
@pytest.mark.parametrize("trusted", [False, True])
def test_code_in_the_folder_is_never_run(tmp_path: Path, auto: Any, trusted: bool) -> None:
    folder = write(tmp_path, auto_map={auto.__name__: "code.Eye"})
    said = "is not supported yet" if trusted else "does not run it"
    with pytest.raises(UnsupportedHeadError, match=rf"brings its own code \(auto_map\)(.|\n)*{said}"):
        auto.from_pretrained(folder, trust_remote_code=trusted)
    auto.register(EyeConfig, Extractor)
    assert type(auto.from_pretrained(folder, trust_remote_code=trusted)) is Extractor


@pytest.mark.parametrize("auto", [AutoFeatureExtractor, AutoImageProcessor, AutoVideoProcessor])
def test_the_configuration_beside_a_single_file_decides(tmp_path: Path, auto: Any) -> None:
    auto.register(EyeConfig, Extractor)
    path = Path(write(tmp_path, size=3)) / "preprocessor_config.json"
    with pytest.warns(FutureWarning, match="resume_download") as warned:
        assert auto.from_pretrained(path, resume_download=True).size == 3
    assert len(warned) == 1


def test_an_error_shows_no_role_of_the_registry(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedHeadError) as error:
        AutoImageProcessor.from_pretrained(write(tmp_path))
    assert "AutoImageProcessor has no class for model type 'auto-eye'" in str(error.value)
    assert ":fast" not in str(error.value)
