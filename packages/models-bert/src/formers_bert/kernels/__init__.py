"""Triton kernels of BERT's attention, imported only when their implementation is first selected. None so far."""
