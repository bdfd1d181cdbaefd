"""Numerical kernels of Lectern: tensors in, tensors out."""
