"""The Auto classes: from a checkpoint, or a configuration, to the class that serves it.

Importing this package loads nothing; ``from formers import AutoModel`` and its siblings is how to use it.
"""
