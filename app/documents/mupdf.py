"""PyMuPDF without its layout model.

``import pymupdf`` loads onnxruntime and a model for the analysis of layouts: half a second in every parser process,
and memory. Extracting lines needs neither, and PyMuPDF does without them where they are not installed.
"""

from __future__ import annotations

import sys

_LAYOUT = "pymupdf.layout"
_hidden = _LAYOUT not in sys.modules
if _hidden:
    sys.modules[_LAYOUT] = None  # type: ignore[assignment]  # how an import is made to fail
try:
    import pymupdf
finally:
    if _hidden:
        del sys.modules[_LAYOUT]

__all__ = ["pymupdf"]
