"""The plain definition."""

from __future__ import annotations

from torch import Tensor


def append_row(
    key: Tensor, value: Tensor, key_pool: Tensor, value_pool: Tensor, means: Tensor, table: Tensor, position: Tensor
) -> None:
    """See ``kernels.append_row.append_row``."""
    page = key_pool.shape[2]
    block = page // means.shape[2]
    slot, inner = divmod(int(position), page)
    place = int(table[slot])
    key_pool[place, :, inner] = key
    value_pool[place, :, inner] = value
    first = inner // block * block
    means[place, :, inner // block] = key_pool[place, :, first : inner + 1].float().mean(1).to(means.dtype)
