"""Transformers, unbundled: a small core, and every architecture a plugin.

Nothing is imported until a name is used. Classes of an architecture come from the package of that architecture;
asking the core for one raises an ImportError that says which. (So ``hasattr`` on such a name raises, too.)
"""

from __future__ import annotations

from ._version import __version__

TYPE_CHECKING = False  # the value of typing.TYPE_CHECKING, without the cost of importing typing
if TYPE_CHECKING:
    from .attention.contract import AttentionImplementation as AttentionImplementation
    from .attention.contract import AttentionRequest as AttentionRequest
    from .auto.configuration import AutoConfig as AutoConfig
    from .auto.models import AutoModel as AutoModel
    from .auto.models import AutoModelForAudioClassification as AutoModelForAudioClassification
    from .auto.models import AutoModelForAudioFrameClassification as AutoModelForAudioFrameClassification
    from .auto.models import AutoModelForAudioTokenization as AutoModelForAudioTokenization
    from .auto.models import AutoModelForAudioXVector as AutoModelForAudioXVector
    from .auto.models import AutoModelForCausalLM as AutoModelForCausalLM
    from .auto.models import AutoModelForCTC as AutoModelForCTC
    from .auto.models import AutoModelForDepthEstimation as AutoModelForDepthEstimation
    from .auto.models import AutoModelForDocumentQuestionAnswering as AutoModelForDocumentQuestionAnswering
    from .auto.models import AutoModelForImageClassification as AutoModelForImageClassification
    from .auto.models import AutoModelForImageSegmentation as AutoModelForImageSegmentation
    from .auto.models import AutoModelForImageTextToText as AutoModelForImageTextToText
    from .auto.models import AutoModelForImageToImage as AutoModelForImageToImage
    from .auto.models import AutoModelForInstanceSegmentation as AutoModelForInstanceSegmentation
    from .auto.models import AutoModelForKeypointDetection as AutoModelForKeypointDetection
    from .auto.models import AutoModelForMaskedImageModeling as AutoModelForMaskedImageModeling
    from .auto.models import AutoModelForMaskedLM as AutoModelForMaskedLM
    from .auto.models import AutoModelForMaskGeneration as AutoModelForMaskGeneration
    from .auto.models import AutoModelForMultipleChoice as AutoModelForMultipleChoice
    from .auto.models import AutoModelForNextSentencePrediction as AutoModelForNextSentencePrediction
    from .auto.models import AutoModelForObjectDetection as AutoModelForObjectDetection
    from .auto.models import AutoModelForPreTraining as AutoModelForPreTraining
    from .auto.models import AutoModelForQuestionAnswering as AutoModelForQuestionAnswering
    from .auto.models import AutoModelForSemanticSegmentation as AutoModelForSemanticSegmentation
    from .auto.models import AutoModelForSeq2SeqLM as AutoModelForSeq2SeqLM
    from .auto.models import AutoModelForSequenceClassification as AutoModelForSequenceClassification
    from .auto.models import AutoModelForSpeechSeq2Seq as AutoModelForSpeechSeq2Seq
    from .auto.models import AutoModelForTableQuestionAnswering as AutoModelForTableQuestionAnswering
    from .auto.models import AutoModelForTextEncoding as AutoModelForTextEncoding
    from .auto.models import AutoModelForTextToSpectrogram as AutoModelForTextToSpectrogram
    from .auto.models import AutoModelForTextToWaveform as AutoModelForTextToWaveform
    from .auto.models import AutoModelForTimeSeriesPrediction as AutoModelForTimeSeriesPrediction
    from .auto.models import AutoModelForTokenClassification as AutoModelForTokenClassification
    from .auto.models import AutoModelForUniversalSegmentation as AutoModelForUniversalSegmentation
    from .auto.models import AutoModelForVideoClassification as AutoModelForVideoClassification
    from .auto.models import AutoModelForVision2Seq as AutoModelForVision2Seq
    from .auto.models import AutoModelForVisualQuestionAnswering as AutoModelForVisualQuestionAnswering
    from .auto.models import (
        AutoModelForZeroShotImageClassification as AutoModelForZeroShotImageClassification,
    )
    from .auto.models import AutoModelForZeroShotObjectDetection as AutoModelForZeroShotObjectDetection
    from .auto.models import AutoModelWithLMHead as AutoModelWithLMHead
    from .auto.processors import AutoFeatureExtractor as AutoFeatureExtractor
    from .auto.processors import AutoImageProcessor as AutoImageProcessor
    from .auto.processors import AutoProcessor as AutoProcessor
    from .auto.processors import AutoVideoProcessor as AutoVideoProcessor
    from .auto.tokenizer import AutoTokenizer as AutoTokenizer
    from .cache import Cache as Cache
    from .cache import DynamicCache as DynamicCache
    from .cache import EncoderDecoderCache as EncoderDecoderCache
    from .cache import StaticCache as StaticCache
    from .config import PreTrainedConfig as PreTrainedConfig
    from .config import PretrainedConfig as PretrainedConfig
    from .errors import AttentionNotInstalledError as AttentionNotInstalledError
    from .errors import AttentionUnsupported as AttentionUnsupported
    from .errors import ConfigValidationError as ConfigValidationError
    from .errors import ConfigWarning as ConfigWarning
    from .errors import CorruptFileError as CorruptFileError
    from .errors import FormersError as FormersError
    from .errors import FormersWarning as FormersWarning
    from .errors import GenerationArgumentError as GenerationArgumentError
    from .errors import GenerationError as GenerationError
    from .errors import GenerationWarning as GenerationWarning
    from .errors import LoadError as LoadError
    from .errors import MissingExtraError as MissingExtraError
    from .errors import MissingWeightsError as MissingWeightsError
    from .errors import MissingWeightsWarning as MissingWeightsWarning
    from .errors import PluginConflictError as PluginConflictError
    from .errors import PluginLoadError as PluginLoadError
    from .errors import PluginWarning as PluginWarning
    from .errors import ResourceLimitError as ResourceLimitError
    from .errors import ShapeMismatchError as ShapeMismatchError
    from .errors import TemplateError as TemplateError
    from .errors import TextInputError as TextInputError
    from .errors import TokenizerWarning as TokenizerWarning
    from .errors import UnexpectedWeightsWarning as UnexpectedWeightsWarning
    from .errors import UnknownModelTypeError as UnknownModelTypeError
    from .errors import UnsafePathError as UnsafePathError
    from .errors import UnsupportedHeadError as UnsupportedHeadError
    from .generation import GenerationConfig as GenerationConfig
    from .generation.beam_scorer import BeamScorer as BeamScorer
    from .generation.beam_scorer import BeamSearchScorer as BeamSearchScorer
    from .generation.criteria import ConfidenceCriteria as ConfidenceCriteria
    from .generation.criteria import EosTokenCriteria as EosTokenCriteria
    from .generation.criteria import MaxLengthCriteria as MaxLengthCriteria
    from .generation.criteria import MaxTimeCriteria as MaxTimeCriteria
    from .generation.criteria import StoppingCriteria as StoppingCriteria
    from .generation.criteria import StoppingCriteriaList as StoppingCriteriaList
    from .generation.criteria import StopStringCriteria as StopStringCriteria
    from .generation.mixin import GenerationMixin as GenerationMixin
    from .generation.outputs import BeamSampleDecoderOnlyOutput as BeamSampleDecoderOnlyOutput
    from .generation.outputs import BeamSampleEncoderDecoderOutput as BeamSampleEncoderDecoderOutput
    from .generation.outputs import BeamSearchDecoderOnlyOutput as BeamSearchDecoderOnlyOutput
    from .generation.outputs import BeamSearchEncoderDecoderOutput as BeamSearchEncoderDecoderOutput
    from .generation.outputs import GenerateBeamDecoderOnlyOutput as GenerateBeamDecoderOnlyOutput
    from .generation.outputs import GenerateBeamEncoderDecoderOutput as GenerateBeamEncoderDecoderOutput
    from .generation.outputs import GenerateDecoderOnlyOutput as GenerateDecoderOnlyOutput
    from .generation.outputs import GenerateEncoderDecoderOutput as GenerateEncoderDecoderOutput
    from .generation.outputs import GreedySearchDecoderOnlyOutput as GreedySearchDecoderOnlyOutput
    from .generation.outputs import GreedySearchEncoderDecoderOutput as GreedySearchEncoderDecoderOutput
    from .generation.outputs import SampleDecoderOnlyOutput as SampleDecoderOnlyOutput
    from .generation.outputs import SampleEncoderDecoderOutput as SampleEncoderDecoderOutput
    from .generation.plan import GenerationPlan as GenerationPlan
    from .generation.processors import (
        ClassifierFreeGuidanceLogitsProcessor as ClassifierFreeGuidanceLogitsProcessor,
    )
    from .generation.processors import (
        EncoderNoRepeatNGramLogitsProcessor as EncoderNoRepeatNGramLogitsProcessor,
    )
    from .generation.processors import (
        EncoderRepetitionPenaltyLogitsProcessor as EncoderRepetitionPenaltyLogitsProcessor,
    )
    from .generation.processors import EpsilonLogitsWarper as EpsilonLogitsWarper
    from .generation.processors import EtaLogitsWarper as EtaLogitsWarper
    from .generation.processors import ExponentialDecayLengthPenalty as ExponentialDecayLengthPenalty
    from .generation.processors import ForcedBOSTokenLogitsProcessor as ForcedBOSTokenLogitsProcessor
    from .generation.processors import ForcedEOSTokenLogitsProcessor as ForcedEOSTokenLogitsProcessor
    from .generation.processors import HammingDiversityLogitsProcessor as HammingDiversityLogitsProcessor
    from .generation.processors import InfNanRemoveLogitsProcessor as InfNanRemoveLogitsProcessor
    from .generation.processors import LogitNormalization as LogitNormalization
    from .generation.processors import LogitsProcessor as LogitsProcessor
    from .generation.processors import LogitsProcessorList as LogitsProcessorList
    from .generation.processors import LogitsWarper as LogitsWarper
    from .generation.processors import MinLengthLogitsProcessor as MinLengthLogitsProcessor
    from .generation.processors import MinNewTokensLengthLogitsProcessor as MinNewTokensLengthLogitsProcessor
    from .generation.processors import MinPLogitsWarper as MinPLogitsWarper
    from .generation.processors import NoBadWordsLogitsProcessor as NoBadWordsLogitsProcessor
    from .generation.processors import NoRepeatNGramLogitsProcessor as NoRepeatNGramLogitsProcessor
    from .generation.processors import PrefixConstrainedLogitsProcessor as PrefixConstrainedLogitsProcessor
    from .generation.processors import RepetitionPenaltyLogitsProcessor as RepetitionPenaltyLogitsProcessor
    from .generation.processors import SequenceBiasLogitsProcessor as SequenceBiasLogitsProcessor
    from .generation.processors import (
        SuppressTokensAtBeginLogitsProcessor as SuppressTokensAtBeginLogitsProcessor,
    )
    from .generation.processors import SuppressTokensLogitsProcessor as SuppressTokensLogitsProcessor
    from .generation.processors import TemperatureLogitsWarper as TemperatureLogitsWarper
    from .generation.processors import TopHLogitsWarper as TopHLogitsWarper
    from .generation.processors import TopKLogitsWarper as TopKLogitsWarper
    from .generation.processors import TopPLogitsWarper as TopPLogitsWarper
    from .generation.processors import TypicalLogitsWarper as TypicalLogitsWarper
    from .generation.processors import (
        UnbatchedClassifierFreeGuidanceLogitsProcessor as UnbatchedClassifierFreeGuidanceLogitsProcessor,
    )
    from .generation.processors import WatermarkLogitsProcessor as WatermarkLogitsProcessor
    from .generation.state import Decoding as Decoding
    from .generation.strategies import Generated as Generated
    from .generation.strategies import Strategy as Strategy
    from .generation.streaming import AsyncTextIteratorStreamer as AsyncTextIteratorStreamer
    from .generation.streaming import BaseStreamer as BaseStreamer
    from .generation.streaming import StreamStep as StreamStep
    from .generation.streaming import TextIteratorStreamer as TextIteratorStreamer
    from .generation.streaming import TextStreamer as TextStreamer
    from .layout import Layout as Layout
    from .losses import LossTerm as LossTerm
    from .modeling import PreTrainedModel as PreTrainedModel
    from .modeling.packing import pack_batch as pack_batch
    from .outputs import ModelOutput as ModelOutput
    from .plugins.exporting import exported_registrations as exported_registrations
    from .plugins.hooks import refresh_plugins as refresh_plugins
    from .plugins.hookspecs import hookimpl as hookimpl
    from .plugins.manifest import Architecture as Architecture
    from .plugins.registry import register as register
    from .tokenization import AddedToken as AddedToken
    from .tokenization import BatchEncoding as BatchEncoding
    from .tokenization import CharSpan as CharSpan
    from .tokenization import PreTrainedTokenizer as PreTrainedTokenizer
    from .tokenization import PreTrainedTokenizerBase as PreTrainedTokenizerBase
    from .tokenization import PreTrainedTokenizerFast as PreTrainedTokenizerFast
    from .tokenization import TensorType as TensorType
    from .tokenization import TokenizersBackend as TokenizersBackend
    from .tokenization import TokenSpan as TokenSpan
    from .tokenization.chat.tools import get_json_schema as get_json_schema
    from .tokenization.converters import TokenizerConverter as TokenizerConverter

# Where each public name is defined; the imports above say the same to editors and type checkers.
# fmt: off
_NAMES = {
    "attention.contract": ("AttentionImplementation", "AttentionRequest"),
    "auto.configuration": ("AutoConfig",),
    "auto.models": (
        "AutoModel", "AutoModelForAudioClassification", "AutoModelForAudioFrameClassification",
        "AutoModelForAudioTokenization", "AutoModelForAudioXVector", "AutoModelForCTC",
        "AutoModelForCausalLM", "AutoModelForDepthEstimation", "AutoModelForDocumentQuestionAnswering",
        "AutoModelForImageClassification", "AutoModelForImageSegmentation", "AutoModelForImageTextToText",
        "AutoModelForImageToImage", "AutoModelForInstanceSegmentation", "AutoModelForKeypointDetection",
        "AutoModelForMaskGeneration", "AutoModelForMaskedImageModeling", "AutoModelForMaskedLM",
        "AutoModelForMultipleChoice", "AutoModelForNextSentencePrediction", "AutoModelForObjectDetection",
        "AutoModelForPreTraining", "AutoModelForQuestionAnswering", "AutoModelForSemanticSegmentation",
        "AutoModelForSeq2SeqLM", "AutoModelForSequenceClassification", "AutoModelForSpeechSeq2Seq",
        "AutoModelForTableQuestionAnswering", "AutoModelForTextEncoding", "AutoModelForTextToSpectrogram",
        "AutoModelForTextToWaveform", "AutoModelForTimeSeriesPrediction", "AutoModelForTokenClassification",
        "AutoModelForUniversalSegmentation", "AutoModelForVideoClassification", "AutoModelForVision2Seq",
        "AutoModelForVisualQuestionAnswering", "AutoModelForZeroShotImageClassification",
        "AutoModelForZeroShotObjectDetection", "AutoModelWithLMHead",
    ),
    "auto.processors": ("AutoFeatureExtractor", "AutoImageProcessor", "AutoProcessor", "AutoVideoProcessor"),
    "auto.tokenizer": ("AutoTokenizer",),
    "cache": ("Cache", "DynamicCache", "EncoderDecoderCache", "StaticCache"),
    "config": ("PreTrainedConfig", "PretrainedConfig"),
    "errors": (
        "AttentionNotInstalledError", "AttentionUnsupported", "ConfigValidationError", "ConfigWarning",
        "CorruptFileError", "FormersError", "FormersWarning", "GenerationArgumentError", "GenerationError",
        "GenerationWarning", "LoadError", "MissingExtraError", "MissingWeightsError", "MissingWeightsWarning",
        "PluginConflictError", "PluginLoadError", "PluginWarning", "ResourceLimitError", "ShapeMismatchError",
        "TemplateError", "TextInputError", "TokenizerWarning", "UnexpectedWeightsWarning", "UnknownModelTypeError",
        "UnsafePathError", "UnsupportedHeadError",
    ),
    "generation": ("GenerationConfig",),
    "generation.beam_scorer": ("BeamScorer", "BeamSearchScorer"),
    "generation.criteria": (
        "ConfidenceCriteria", "EosTokenCriteria", "MaxLengthCriteria", "MaxTimeCriteria",
        "StopStringCriteria", "StoppingCriteria", "StoppingCriteriaList",
    ),
    "generation.mixin": ("GenerationMixin",),
    "generation.outputs": (
        "BeamSampleDecoderOnlyOutput", "BeamSampleEncoderDecoderOutput", "BeamSearchDecoderOnlyOutput",
        "BeamSearchEncoderDecoderOutput", "GenerateBeamDecoderOnlyOutput", "GenerateBeamEncoderDecoderOutput",
        "GenerateDecoderOnlyOutput", "GenerateEncoderDecoderOutput", "GreedySearchDecoderOnlyOutput",
        "GreedySearchEncoderDecoderOutput", "SampleDecoderOnlyOutput", "SampleEncoderDecoderOutput",
    ),
    "generation.plan": ("GenerationPlan",),
    "generation.processors": (
        "ClassifierFreeGuidanceLogitsProcessor", "EncoderNoRepeatNGramLogitsProcessor",
        "EncoderRepetitionPenaltyLogitsProcessor", "EpsilonLogitsWarper", "EtaLogitsWarper",
        "ExponentialDecayLengthPenalty", "ForcedBOSTokenLogitsProcessor", "ForcedEOSTokenLogitsProcessor",
        "HammingDiversityLogitsProcessor", "InfNanRemoveLogitsProcessor", "LogitNormalization",
        "LogitsProcessor", "LogitsProcessorList", "LogitsWarper", "MinLengthLogitsProcessor",
        "MinNewTokensLengthLogitsProcessor", "MinPLogitsWarper", "NoBadWordsLogitsProcessor",
        "NoRepeatNGramLogitsProcessor", "PrefixConstrainedLogitsProcessor",
        "RepetitionPenaltyLogitsProcessor", "SequenceBiasLogitsProcessor",
        "SuppressTokensAtBeginLogitsProcessor", "SuppressTokensLogitsProcessor", "TemperatureLogitsWarper",
        "TopHLogitsWarper", "TopKLogitsWarper", "TopPLogitsWarper", "TypicalLogitsWarper",
        "UnbatchedClassifierFreeGuidanceLogitsProcessor", "WatermarkLogitsProcessor",
    ),
    "generation.state": ("Decoding",),
    "generation.strategies": ("Generated", "Strategy"),
    "generation.streaming": (
        "AsyncTextIteratorStreamer", "BaseStreamer", "StreamStep", "TextIteratorStreamer", "TextStreamer",
    ),
    "layout": ("Layout",),
    "losses": ("LossTerm",),
    "modeling": ("PreTrainedModel",),
    "modeling.packing": ("pack_batch",),
    "outputs": ("ModelOutput",),
    "plugins.exporting": ("exported_registrations",),
    "plugins.hooks": ("refresh_plugins",),
    "plugins.hookspecs": ("hookimpl",),
    "plugins.manifest": ("Architecture",),
    "plugins.registry": ("register",),
    "tokenization": (
        "AddedToken", "BatchEncoding", "CharSpan", "PreTrainedTokenizer", "PreTrainedTokenizerBase",
        "PreTrainedTokenizerFast", "TensorType", "TokenSpan", "TokenizersBackend",
    ),
    "tokenization.chat.tools": ("get_json_schema",),
    "tokenization.converters": ("TokenizerConverter",),
}
# fmt: on
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}
_NEEDS_TORCH = (
    "attention.contract",
    "auto.models",
    "cache",
    "generation.beam_scorer",
    "generation.criteria",
    "generation.mixin",
    "generation.outputs",
    "generation.processors",
    "generation.state",
    "generation.strategies",
    "generation.streaming",
    "layout",
    "losses",
    "modeling",
    "modeling.packing",
)

__all__ = ["__version__", *_MODULE_OF]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used.

    Raises:
        MissingExtraError: it needs PyTorch, which is not installed.
        ImportError: it is a class of an architecture, or of TensorFlow or Flax; the message says what to do.
        AttributeError: there is no such name.
    """
    from importlib import import_module

    module = _MODULE_OF.get(name)
    if module is None:
        if name[:1].isupper():
            from .plugins.elsewhere import explain_missing

            explain_missing(name, __all__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if module in _NEEDS_TORCH:
        from .plugins.elsewhere import require_torch

        require_torch(name)
    value: object = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
