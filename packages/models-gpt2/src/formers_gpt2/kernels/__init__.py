"""Triton kernels of GPT-2's attention: tiles for those of :mod:`formers.kernels.decode`, which are the core's.

``tiles.json`` says how the keys of a row are cut when a token is decoded; :mod:`.tuning` what to try on a GPU.
"""
