"""How architectures and behaviour come into the core: manifests, discovery, one registry, and hooks.

Importing this package finds and loads nothing. Metadata is read at the first question that needs it.
"""
