"""The plain definition, in float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from kernels.run_attention import Span


def run_attention(queries: Tensor, spans: Sequence[Span], *, scale: float) -> Tensor:
    """See ``kernels.run_attention.run_attention``."""
    rows = queries.shape[3]
    scores = torch.cat(
        [torch.einsum("hgrd,hkd->hgrk", queries[span.variant].float(), span.key.float()) for span in spans], -1
    )
    later = torch.ones((rows, rows), dtype=torch.bool, device=queries.device).triu(1)
    scores[..., -rows:].masked_fill_(later, float("-inf"))
    values = torch.cat([span.value.float() for span in spans], 1)
    return torch.einsum("hgrk,hkd->hgrd", (scores * scale).softmax(-1), values).to(queries.dtype)
