from __future__ import annotations

from bench import Bench, mutant

from formers.testing import Subject

ACME = "formers-acme", "acme"


@mutant("packaging.entry_points")
def alias_without_a_line(bench: Bench) -> Subject:
    """An alias of the manifest has no entry point."""
    bench.site(extra="aliases=('acme2',),")
    return Subject("acme")


@mutant("packaging.references")
def no_model(bench: Bench) -> Subject:
    """The class for AutoModel is a configuration."""
    bench.site(extra="auto={'AutoModel': 'formers_acme.configuration:Config'},")
    return Subject("acme")


@mutant("packaging.auto_classes")
def invented_task(bench: Bench) -> Subject:
    """The manifest names an Auto class that does not exist."""
    bench.site(extra="auto={'AutoModelForMindReading': 'formers_acme.configuration:Config'},")
    return Subject("acme")


@mutant("packaging.attention")
def attention_of_another_kind(bench: Bench) -> Subject:
    """What the manifest calls an attention implementation is a dict."""
    site = bench.site(extra="attention={'acme': 'formers_acme.attention:ATTENTION'},")
    site.module("formers_acme.attention", "ATTENTION = {}")
    return Subject("acme")


@mutant("packaging.api")
def newer_interface(bench: Bench) -> Subject:
    """The manifest was written for a later interface."""
    bench.site()
    subject = Subject("acme")
    object.__setattr__(subject.architecture, "api", "1.9")
    return subject


@mutant("packaging.capabilities")
def misspelt_capability(bench: Bench) -> Subject:
    """A capability is misspelt, so that its checks would never run."""
    bench.site(extra="capabilities={'packd'},")
    return Subject("acme")


@mutant("packaging.typed")
def untyped(bench: Bench) -> Subject:
    """The package has no py.typed."""
    site = bench.site()
    (site.path / "formers_acme" / "py.typed").unlink()
    return Subject("acme")


@mutant("packaging.metadata")
def pinned(bench: Bench) -> Subject:
    """The distribution asks for exactly one version of the core."""
    bench.site(requires=("formers==0.1.0",))
    return Subject("acme")


@mutant("packaging.files")
def stray_file(bench: Bench) -> Subject:
    """The wheel holds a top-level module beside its package."""
    site = bench.site()
    record = site.path / "formers_acme-1.0.0.dist-info" / "RECORD"
    record.write_text("formers_acme/__init__.py,,\nhelpers.py,,\n", "utf-8")
    (site.path / "helpers.py").touch()
    return Subject("acme")


@mutant("packaging.light")
def heavy(bench: Bench) -> Subject:
    """The configuration imports numpy."""
    site = bench.site()
    file = site.path / "formers_acme" / "configuration.py"
    file.write_text("import numpy\n" + file.read_text("utf-8"), "utf-8")
    return Subject("acme")


@mutant("packaging.alone")
def neighbour(bench: Bench) -> Subject:
    """The configuration imports another architecture's."""
    site = bench.site()
    file = site.path / "formers_acme" / "configuration.py"
    file.write_text("import formers_gpt2.configuration\n" + file.read_text("utf-8"), "utf-8")
    return Subject("acme")


@mutant("tokenizer.light")
def heavy_tokenizer(bench: Bench) -> Subject:
    """The tokenizer imports numpy."""
    site = bench.site(extra="tokenizer='formers_acme.tokenization:Tokenizer',")
    site.module(
        "formers_acme.tokenization",
        """
        import numpy
        from formers import PreTrainedTokenizerFast
        class Tokenizer(PreTrainedTokenizerFast): pass
        """,
    )
    return Subject("acme")


@mutant("model.offline")
def phones_home(bench: Bench) -> Subject:
    """Loading opens a socket."""
    site = bench.site(
        extra="auto={'AutoModel': 'formers_acme.modeling:Model'}, tiny='formers_acme.configuration:tiny',"
    )
    site.module(
        "formers_acme.configuration",
        """
        from formers import PreTrainedConfig
        class Config(PreTrainedConfig):
            model_type = "acme"
            hidden_size: int = 4
        def tiny(**settings):
            return Config(**settings)
        """,
    )
    site.module(
        "formers_acme.modeling",
        """
        import socket
        from torch import nn
        from formers import PreTrainedModel
        from formers_acme.configuration import Config
        class Model(PreTrainedModel):
            config_class = Config
            def __init__(self, config):
                super().__init__(config)
                self.layer = nn.Linear(config.hidden_size, config.hidden_size)
                socket.socket().close()
        """,
    )
    return Subject("acme")
