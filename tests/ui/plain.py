"""The page over a plain engine: a server that starts in seconds and answers at once, or at a pace.

    python -m tests.ui.plain --home DIR --port N [--pace WORDS_A_SECOND]

The page, the desk, the library and the queue are the real ones; only the model is not. What a question says in
parentheses, "(say 40)", is how many words the answer has.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.library.store import Library
from app.reading.desk import Desk
from app.settings import Settings
from app.ui.serve import serve
from engine.protocol import Event, ModelInfo, Prompt, Sampling
from tests.app.reading.conftest import Machine, PlainEngine

SENTENCE = "The keeper trimmed the lamp, wrote one line in the log, and went to bed while the tide turned."


@dataclass
class Paced(Machine):
    """Words at a pace, None for as fast as they can be written down."""

    pace: float | None = None

    def step(self) -> bool:
        if self.pace:
            time.sleep(1 / self.pace)
        return True


class Talker(PlainEngine):
    """Its answer is as long as the question asks for."""

    @property
    def model(self) -> ModelInfo:
        made = super().model
        # room for a long conversation, in characters
        return ModelInfo(**{name: getattr(made, name) for name in made.__dataclass_fields__} | {"window": 10**7})

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Event]:
        asked = re.findall(r"\(say (\d+)\)", self.decode(prompt.segments[-1].ids[-4000:]))
        count, words = int(asked[-1]) if asked else 12, SENTENCE.split()
        self.machine.words = [words[place % len(words)] + " " for place in range(count)]
        return super().generate(prompt, Sampling(max_tokens=10**6, schema=sampling.schema))


def main() -> None:
    from app.reading.runner import Runner

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", required=True)
    parser.add_argument("--pace", type=float)
    options = parser.parse_args()
    settings = Settings.load({"home": options.home, "port": options.port, "model": "plain"})
    machine = Paced(pace=options.pace, limit=10**7)
    with Library(settings.home) as library:
        desk = Desk(settings, library, lambda name: Talker(name, machine))
        desk.engines.get("plain")
        serve(settings, desk, Runner(desk))


if __name__ == "__main__":
    main()
