"""The Auto classes of models, one for each task: this list of names and docstrings is the table.

What they do is in ``factory``; which class each gives for a model type is the plugins' to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from formers.config import PreTrainedConfig
from formers.errors import warn
from formers.plugins import registry

from .factory import AUTO_MODELS, AutoModelFactory

if TYPE_CHECKING:
    from formers.modeling import PreTrainedModel

__all__ = [
    "AUTO_MODELS",
    "AutoModel",
    "AutoModelForAudioClassification",
    "AutoModelForAudioFrameClassification",
    "AutoModelForAudioTokenization",
    "AutoModelForAudioXVector",
    "AutoModelForCTC",
    "AutoModelForCausalLM",
    "AutoModelForDepthEstimation",
    "AutoModelForDocumentQuestionAnswering",
    "AutoModelForImageClassification",
    "AutoModelForImageSegmentation",
    "AutoModelForImageTextToText",
    "AutoModelForImageToImage",
    "AutoModelForInstanceSegmentation",
    "AutoModelForKeypointDetection",
    "AutoModelForMaskGeneration",
    "AutoModelForMaskedImageModeling",
    "AutoModelForMaskedLM",
    "AutoModelForMultipleChoice",
    "AutoModelForNextSentencePrediction",
    "AutoModelForObjectDetection",
    "AutoModelForPreTraining",
    "AutoModelForQuestionAnswering",
    "AutoModelForSemanticSegmentation",
    "AutoModelForSeq2SeqLM",
    "AutoModelForSequenceClassification",
    "AutoModelForSpeechSeq2Seq",
    "AutoModelForTableQuestionAnswering",
    "AutoModelForTextEncoding",
    "AutoModelForTextToSpectrogram",
    "AutoModelForTextToWaveform",
    "AutoModelForTimeSeriesPrediction",
    "AutoModelForTokenClassification",
    "AutoModelForUniversalSegmentation",
    "AutoModelForVideoClassification",
    "AutoModelForVision2Seq",
    "AutoModelForVisualQuestionAnswering",
    "AutoModelForZeroShotImageClassification",
    "AutoModelForZeroShotObjectDetection",
    "AutoModelWithLMHead",
]


class AutoModel(AutoModelFactory):
    """The bare model, which returns hidden states."""


class AutoModelForPreTraining(AutoModelFactory):
    """The model with the heads that it was pre-trained with."""


class AutoModelForCausalLM(AutoModelFactory):
    """Language modelling from left to right."""


class AutoModelForMaskedLM(AutoModelFactory):
    """Language modelling that fills in masked tokens."""


class AutoModelForMaskGeneration(AutoModelFactory):
    """Generation of segmentation masks."""


class AutoModelForSeq2SeqLM(AutoModelFactory):
    """Language modelling from a source sequence to a target sequence."""


class AutoModelForSequenceClassification(AutoModelFactory):
    """Classification of, or regression on, a whole sequence."""


class AutoModelForMultipleChoice(AutoModelFactory):
    """One score for each of several candidate answers."""


class AutoModelForNextSentencePrediction(AutoModelFactory):
    """Whether the second sentence follows the first."""


class AutoModelForTokenClassification(AutoModelFactory):
    """Classification of each token, such as named entities."""


class AutoModelForQuestionAnswering(AutoModelFactory):
    """The span of a text that answers a question."""


class AutoModelForTextEncoding(AutoModelFactory):
    """The encoder of a text."""


class AutoModelForDepthEstimation(AutoModelFactory):
    """Depth of each pixel of an image."""


class AutoModelForImageClassification(AutoModelFactory):
    """Classification of an image."""


class AutoModelForVideoClassification(AutoModelFactory):
    """Classification of a video."""


class AutoModelForKeypointDetection(AutoModelFactory):
    """Keypoints in an image."""


class AutoModelForMaskedImageModeling(AutoModelFactory):
    """Modelling of images that fills in masked patches."""


class AutoModelForObjectDetection(AutoModelFactory):
    """Objects in an image, and where they are."""


class AutoModelForImageSegmentation(AutoModelFactory):
    """Segmentation of an image."""


class AutoModelForImageToImage(AutoModelFactory):
    """From an image to an image, such as a larger one."""


class AutoModelForSemanticSegmentation(AutoModelFactory):
    """A class for each pixel of an image."""


class AutoModelForInstanceSegmentation(AutoModelFactory):
    """A mask for each object in an image."""


class AutoModelForUniversalSegmentation(AutoModelFactory):
    """Semantic, instance and panoptic segmentation by one model."""


class AutoModelForZeroShotImageClassification(AutoModelFactory):
    """Classification of an image by classes given as text."""


class AutoModelForZeroShotObjectDetection(AutoModelFactory):
    """Detection of objects given as text."""


class AutoModelForAudioClassification(AutoModelFactory):
    """Classification of a recording."""


class AutoModelForAudioFrameClassification(AutoModelFactory):
    """Classification of each frame of a recording."""


class AutoModelForCTC(AutoModelFactory):
    """Speech recognition by connectionist temporal classification."""


class AutoModelForSpeechSeq2Seq(AutoModelFactory):
    """From speech to text, sequence to sequence."""


class AutoModelForAudioXVector(AutoModelFactory):
    """Embeddings of speakers by x-vectors."""


class AutoModelForTextToSpectrogram(AutoModelFactory):
    """From text to the spectrogram of its speech."""


class AutoModelForTextToWaveform(AutoModelFactory):
    """From text to the waveform of its speech."""


class AutoModelForAudioTokenization(AutoModelFactory):
    """Tokens of a recording from codebooks."""


class AutoModelForTableQuestionAnswering(AutoModelFactory):
    """Answers to questions about a table."""


class AutoModelForDocumentQuestionAnswering(AutoModelFactory):
    """Answers to questions about a scanned document."""


class AutoModelForVisualQuestionAnswering(AutoModelFactory):
    """Answers to questions about an image."""


class AutoModelForVision2Seq(AutoModelFactory):
    """From an image to text."""


class AutoModelForImageTextToText(AutoModelFactory):
    """From images and text to text."""


class AutoModelForTimeSeriesPrediction(AutoModelFactory):
    """The continuation of a time series."""


class AutoModelWithLMHead(AutoModelFactory):
    """Deprecated: the model with a language-modelling head, whichever kind its type has.

    An encoder-decoder gives the class of ``AutoModelForSeq2SeqLM``, a decoder that of ``AutoModelForCausalLM``;
    other types that of ``AutoModelForMaskedLM``, or of ``AutoModelForCausalLM`` if they have no such head.
    """

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """As for the other Auto classes of models."""
        _warn_of_lm_head()
        return super().from_pretrained(*args, **kwargs)

    @classmethod
    def from_config(cls, *args: Any, **kwargs: Any) -> PreTrainedModel:
        """As for the other Auto classes of models."""
        _warn_of_lm_head()
        return super().from_config(*args, **kwargs)

    @classmethod
    def _model_class(cls, config: PreTrainedConfig) -> type:
        heads = ["AutoModelForMaskedLM", "AutoModelForCausalLM", "AutoModelForSeq2SeqLM"]
        if config.is_encoder_decoder:
            heads.reverse()
        elif getattr(config, "is_decoder", False):
            heads.insert(0, "AutoModelForCausalLM")
        available = registry.heads_for(config)
        for name in (cls.__name__, *heads):
            if name in available:
                return registry.auto_class_for(name, config)
        return super()._model_class(config)


def _warn_of_lm_head() -> None:
    warn(
        "AutoModelWithLMHead is deprecated: use AutoModelForCausalLM, AutoModelForMaskedLM or "
        "AutoModelForSeq2SeqLM.",
        FutureWarning,
    )
