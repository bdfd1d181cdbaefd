"""PyMuPDF without its layout model.

``import pymupdf`` loads onnxruntime and a model for the analysis of layouts: half a second in every parser process,
and memory. Extracting lines needs neither, and PyMuPDF does without the two modules that bring them.
"""

from __future__ import annotations

import sys

_hidden = [name for name in ("pymupdf.layout", "pymupdf4llm") if name not in sys.modules]
sys.modules |= dict.fromkeys(_hidden)  # type: ignore[arg-type]  # None is how an import is made to fail
try:
    import pymupdf
finally:
    for _name in _hidden:
        del sys.modules[_name]

__all__ = ["pymupdf"]
