"""What GPU kernels of several architectures share. Each architecture owns its loops and launches.

Importing this package does not import Triton; of its modules only :mod:`~formers.kernels.steps` does, the
``@triton.jit`` functions. The others hold what surrounds a kernel: :mod:`~formers.kernels.support` says whether it
can run here, :mod:`~formers.kernels.spans` where its documents lie, :mod:`~formers.kernels.tables` how large its
tiles are, :mod:`~formers.kernels.ops` makes it an operator of PyTorch, and :mod:`~formers.kernels.parity` compares
it with float64.
"""
