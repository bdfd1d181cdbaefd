"""The interface: gradio only. It knows the desk, and nothing below it."""

from app.ui.serve import build, serve

__all__ = ["build", "serve"]
