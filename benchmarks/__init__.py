"""What formers costs, beside transformers in the same run: ``nox -s bench``."""
