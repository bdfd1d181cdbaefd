"""Starts Lectern: ``python app.py``, and the Space."""

import sys

from app.cli import main

if __name__ == "__main__":
    sys.exit(main())
