"""Convolution on images and on matrices: filters by name, sliding, and learning one."""

from __future__ import annotations

from cnnkit.lab.convolution.learning import Learned, learn_kernel
from cnnkit.lab.convolution.matrices import KERNELS, matrix_lines, read_kernel, read_matrix
from cnnkit.lab.convolution.sliding import magnitude, pool, shown, slide

__all__ = [
    "KERNELS",
    "Learned",
    "learn_kernel",
    "magnitude",
    "matrix_lines",
    "pool",
    "read_kernel",
    "read_matrix",
    "shown",
    "slide",
]
