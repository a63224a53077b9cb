"""Triton kernels of GPT-2's attention, imported only when their implementation is first selected. None so far."""
