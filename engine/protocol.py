"""What the application may ask of an engine, and what comes back. No torch here: this crosses processes.

A prompt is a sequence of segments. Each segment starts at the next multiple of ``PAGE_TOKENS`` in position, so that a
document keeps its pages whatever follows it; the positions skipped do not exist.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Literal, Protocol

PAGE_TOKENS = 1024
# tokens that one mean key stands for; a page is a multiple of it
BLOCK_TOKENS = 16

Finish = Literal["stop", "length", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """Token ids of a text and where each begins: ``text[offsets[i]:offsets[i + 1]]`` is token i (code points).

    ids: array('i') of n; offsets: array('q') of n + 1, the last being the text's length.
    """

    ids: array[int]
    offsets: array[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatFrame:
    """The ids that a chat template puts around a conversation.

    opening: system message and everything before the first user text; to_answer: end of a user text and start of
    the assistant's; to_turn: end of an answer and start of the next user text.
    """

    opening: array[int]
    to_answer: array[int]
    to_turn: array[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A part of a prompt that starts a page: the opening, one document, or the conversation.

    alone: its pages are those that were read right behind the opening, whatever stands before it here.
    """

    name: str
    ids: array[int]
    alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Segments in order. Where several were read ``alone``, the prompt is composed: each of them starts at the first
    position after what stands before it that is the same modulo ``stride``, the model's chunk_len, as where it was
    read, so that its keys, rotated by their place in their chunk, are used as they lie."""

    segments: tuple[Segment, ...]
    stride: int = 0

    @property
    def tokens(self) -> int:
        """Tokens in all segments, without the positions skipped between them."""
        return sum(len(segment.ids) for segment in self.segments)

    @property
    def starts(self) -> tuple[int, ...]:
        """The position of each segment's first token."""
        starts: list[int] = []
        position, first = 0, None
        for segment in self.segments:
            position = -(-position // PAGE_TOKENS) * PAGE_TOKENS
            if segment.alone:
                if first is None:
                    first = position
                position = first + -(-(position - first) // max(1, self.stride)) * self.stride
            starts.append(position)
            position += len(segment.ids)
        return tuple(starts)

    @property
    def end(self) -> int:
        """The position after the last token, counting the positions skipped."""
        return self.starts[-1] + len(self.segments[-1].ids) if self.segments else 0

    def rest(self, found: int) -> Iterator[tuple[int, array[int]]]:
        """(position, ids) of what is left of each segment after the first ``found`` tokens."""
        for position, segment in zip(self.starts, self.segments, strict=True):
            skipped = min(found, len(segment.ids))
            found -= skipped
            if skipped < len(segment.ids):
                yield position + skipped, segment.ids[skipped:]

    def head(self, tokens: int) -> Prompt:
        """The prompt of the first ``tokens`` tokens only."""
        segments = []
        for segment in self.segments:
            if tokens > 0:
                segments.append(replace(segment, ids=segment.ids[:tokens]))
            tokens -= len(segment.ids)
        return replace(self, segments=tuple(segments))

    def name_at(self, position: int) -> str:
        """The name of the segment that holds a position."""
        return [segment.name for start, segment in zip(self.starts, self.segments, strict=True) if start <= position][
            -1
        ]

    @property
    def composed(self) -> int:
        """Tokens up to the end of the last segment that was read alone; 0 in an ordinary prompt."""
        last = max((number + 1 for number, segment in enumerate(self.segments) if segment.alone), default=0)
        return sum(len(segment.ids) for segment in self.segments[:last])

    @property
    def parts(self) -> tuple[Prompt, ...]:
        """For each segment that was read alone, the prompt that reads it so."""
        opening = tuple(takewhile(lambda segment: not segment.alone, self.segments))
        return tuple(
            Prompt(segments=(*opening, replace(segment, alone=False))) for segment in self.segments if segment.alone
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is chosen. ``temperature`` 0 is greedy; ``top_k`` 0 and ``top_p`` 1 switch those off.

    schema: JSON Schema, as text, of ``engine.schema``'s dialect; the answer is then one whole JSON value of it, and
    ``stop`` does not count.
    """

    temperature: float = 0.7
    top_p: float = 0.9
    top_k: int = 40
    min_p: float = 0.0
    repetition_penalty: float = 1.05
    max_tokens: int = 1024
    stop: tuple[str, ...] = ()
    seed: int | None = None
    schema: str | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature <= 5.0:
            raise ValueError(f"temperature must lie in 0..5, not {self.temperature}")
        if not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_p must lie in (0, 1], not {self.top_p}")
        if self.top_k < 0:
            raise ValueError(f"top_k must be 0 or more, not {self.top_k}")
        if not 0.0 <= self.min_p < 1.0:
            raise ValueError(f"min_p must lie in [0, 1), not {self.min_p}")
        if not 0.5 <= self.repetition_penalty <= 2.0:
            raise ValueError(f"repetition_penalty must lie in 0.5..2, not {self.repetition_penalty}")
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be 1 or more, not {self.max_tokens}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """Facts of a checkpoint, known before its weights are loaded.

    window: trained length; limit: tokens that DCA can tell apart; kv_bytes: bytes of keys and values a token;
    identity: hash of all that a kept page depends on (weights, tokenizer, dtype, DCA, temperature); temperature: of
    attention beyond the window.
    """

    name: str
    title: str
    source: str
    folder: str
    family: str
    parameters: int
    licence: str
    window: int
    limit: int
    chunk_size: int
    local_size: int
    kv_bytes: int
    dtype: str
    device: str
    identity: str
    tokenizer: str
    small: bool
    temperature: Literal["none", "yarn"] = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """The weights are being fetched or loaded."""

    text: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A reading advanced. Counts tokens; ``seconds_left`` is None until it can be told."""

    done: int
    total: int
    reused: int
    tokens_per_second: float
    seconds_left: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaze:
    """Where the model looked: attention mass on blocks of ``BLOCK_TOKENS`` tokens, counted from each segment's start.

    segments: array('i') of n, numbers of the prompt's segments, never the opening; blocks: array('i') of n; weights:
    array('f') of n, shares of one row's attention; measured: the heads were calibrated, else they are all heads, what
    an empty question looks at subtracted.
    """

    segments: array[int]
    blocks: array[int]
    weights: array[float]
    measured: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """The next piece of an answer. gaze: what was looked at for it, the heaviest blocks, None where nobody watched."""

    text: str
    ids: tuple[int, ...] = ()
    gaze: Gaze | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The end of a job. Counts tokens and seconds; ``ids`` are the answer's, without the stop token."""

    finish: Finish
    context: int
    reused: int
    prefilled: int
    answered: int = 0
    ids: tuple[int, ...] = ()
    seconds_load: float = 0.0
    seconds_prefill: float = 0.0
    seconds_first_token: float = 0.0
    seconds_decode: float = 0.0
    provenance: dict[str, str] = field(default_factory=dict)


Event = Loading | Progress | Delta | Gaze | Done


class Engine(Protocol):
    """One model, one job at a time. Failures raise ``engine.errors.EngineError``."""

    @property
    def model(self) -> ModelInfo: ...

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Tokenize literally: a special token printed in a text stays text."""
        ...

    def decode(self, ids: Sequence[int]) -> str: ...

    def frame(self, system: str) -> ChatFrame: ...

    def kept(self, prompt: Prompt) -> int:
        """How many leading tokens of the prompt are read already."""
        ...

    def read(self, prompt: Prompt) -> Iterator[Event]:
        """Prefill the prompt and keep its pages: Loading*, Progress*, Done."""
        ...

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Event]:
        """Prefill what is not kept, then answer: Loading*, Progress*, Delta*, Done."""
        ...

    def look(self, prompt: Prompt, rows: int) -> Iterator[Event]:
        """Prefill what is not kept, then tell what the prompt's last ``rows`` tokens, a question, look at: Loading*,
        Progress*, Gaze of all blocks, Done. Beside the documents nothing of it is kept."""
        ...

    def cancel(self) -> None:
        """End the job in hand with finish "stopped" at the next chunk or token. Safe from any thread."""
        ...

    def close(self) -> None: ...
