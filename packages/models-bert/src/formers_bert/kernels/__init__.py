"""Triton kernels of BERT's attention. Importing this package imports no Triton; :mod:`.ops` does."""
