"""A panel of the page: a gr.HTML with a constant template that draws itself in assets/js.

Gradio compiles an HTML template together with its values to code, so a title such as ``${alert(1)}`` would run: no
value ever enters a template here. Values travel as data and become text nodes in the browser.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

Payload = dict[str, Any]


def panel(
    name: str, *, events: Sequence[str] = (), server: Sequence[Callable[..., Any]] = (), value: Payload | None = None
) -> gr.HTML:
    """``events`` are those the panel's script sends; they become listeners of the component (``panel.ask(...)``)."""
    # Gradio knows a custom event by finding its name, quoted, in this script
    script = (
        f"const gradio = {{element, props, trigger, upload, watch, server}}, events = {json.dumps(list(events))};\n"
        f'window.Lectern.mount("{name}", gradio);'
    )
    return gr.HTML(
        value=value or {},
        html_template=f'<div data-panel="{name}"></div>',
        js_on_load=script,
        apply_default_css=False,
        elem_id=f"lectern-{name}",
        elem_classes=["lectern-panel"],
        server_functions=list(server) or None,
    )


def digest(payload: Payload) -> Payload:
    """The payload with the hash of what it says, so that what did not change need not be sent again."""
    text = json.dumps(payload, sort_keys=True, ensure_ascii=False, default=str)
    return {**payload, "digest": hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}
