from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_layout_model_stays_unloaded_and_can_be_loaded_later() -> None:
    code = (
        "import sys; from app.documents.mupdf import pymupdf; "
        "assert pymupdf.open().page_count == 0; "
        "loaded = {'onnxruntime', 'pymupdf.layout', 'torch'} & set(sys.modules); assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
