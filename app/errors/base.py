"""The root of every error that a reader can meet."""

from __future__ import annotations


class LecternError(Exception):
    """Base of everything the application refuses or fails at."""
