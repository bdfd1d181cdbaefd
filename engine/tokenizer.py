"""Text to token ids and back, with `tokenizers` alone: no torch, so that the application can use it too.

Text is encoded literally. ``encode_special_tokens`` of the library is not enough for that: tokens that are added but
not special (Qwen's ``<tool_call>``) would still be recognised. So every added token is declared special first.
"""

from __future__ import annotations

import hashlib
import json
import re
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tokenizers

from engine.chat import NEUTRAL_CONTEXT, Turns, chat_template, render
from engine.errors import CheckpointDamaged, CheckpointUnsupported
from engine.gguf_tokenizer import KNOWN_PRETOKENIZERS
from engine.protocol import ChatFrame, Encoding

FORMAT = 1
"""Raised when the same tokenizer.json would give other ids or offsets; part of a tokenizer's name."""

PIECE = 1 << 16
"""Characters encoded as one piece; a batch of them goes to the library at once, which then uses every core."""
BATCH = 12

# a letter or digit before one of these ends a token in every known pre-tokenizer, whatever follows
_BORDER = re.compile(r"[^\W_](?=[,.;:!?\n。，；：！？、])")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ENDS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>")


def tokenizer_name(folder: Path) -> str:
    """The name under which tokenizations are kept: a hash of tokenizer.json and of how this module uses it."""
    digest = hashlib.sha256(f"lectern tokenizer {FORMAT}\n".encode())
    digest.update(_read(folder / "tokenizer.json"))
    return digest.hexdigest()


class Tokenizer:
    """The tokenizer of the checkpoint in ``folder``. Safe to use from several threads.

    name: see ``tokenizer_name``; stop_ids: ids that end an answer; stop_texts: texts that do, for models without a
    template. Raises CheckpointUnsupported, CheckpointDamaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = tokenizer_name(folder)
        data = _json(folder / "tokenizer.json")
        self._settings = _json(folder / "tokenizer_config.json", missing={})
        added: list[dict[str, Any]] = data.get("added_tokens") or []
        self._added = {str(token["content"]): int(token["id"]) for token in added}
        self._special = frozenset(int(token["id"]) for token in added if token.get("special"))
        self._splits = _known(data)
        for token in added:
            token["special"] = True
        # the post-processor would add a first token and trim spaces off the offsets
        data |= {"truncation": None, "padding": None, "post_processor": None, "added_tokens": added}
        try:
            self._tokenizer: Any = tokenizers.Tokenizer.from_str(json.dumps(data))
        except Exception as error:  # the library raises Exception itself
            raise CheckpointDamaged(str(folder / "tokenizer.json"), str(error)) from error
        self._tokenizer.encode_special_tokens = True
        self._pattern = re.compile("|".join(map(re.escape, sorted(self._added, key=len, reverse=True))) or "(?!)")
        self._template = chat_template(folder, self._settings)
        self._turns: Turns | None = None
        self.stop_texts: tuple[str, ...] = () if self._template or "<|im_end|>" in self._added else ("\nUser:",)
        self.stop_ids = self._find_stops()

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Tokenize literally; no token is added in front. A 3 MB book takes a few seconds and some 200 MB.

        Offsets count code points and never go back: where several tokens make one character, the last one holds it.
        """
        return [self._encode(text) for text in texts]

    def _encode(self, text: str) -> Encoding:
        text = _SURROGATE.sub("\ufffd", text)
        ids, offsets = array("i"), array("q")
        pieces = list(self._pieces(text))
        for first in range(0, len(pieces), BATCH):
            batch = pieces[first : first + BATCH]
            texts = [text[start:end] for start, end in batch]
            encodings = self._tokenizer.encode_batch(texts, add_special_tokens=False)
            for (start, _), encoding in zip(batch, encodings, strict=True):
                ids.extend(encoding.ids)
                offsets.extend(start + span[0] for span in encoding.offsets)
        _rise(offsets)
        offsets.append(len(text))
        return Encoding(ids=ids, offsets=offsets)

    def _pieces(self, text: str) -> Iterator[tuple[int, int]]:
        """Spans of about PIECE characters, cut only where a token ends anyway."""
        start = 0
        while self._splits and len(text) - start > PIECE:
            border = _BORDER.search(text, start + PIECE)
            if border is None:
                break
            yield start, border.end()
            start = border.end()
        if start < len(text):
            yield start, len(text)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ``ids`` without special tokens; bytes that are not UTF-8 become U+FFFD."""
        return str(self._tokenizer.decode([i for i in ids if i not in self._special], skip_special_tokens=False))

    def detokenizer(self) -> Detokenizer:
        return Detokenizer(self)

    def frame(self, system: str) -> ChatFrame:
        """The ids around a conversation. ``system`` is encoded literally, like everything a person may have written."""
        if self._turns is None:
            self._turns = self._frame_texts()
        turns = self._turns
        ids = self._framing(turns.before_system) + self._encode(system).ids + self._framing(turns.after_system)
        return ChatFrame(opening=ids, to_answer=self._framing(turns.to_answer), to_turn=self._framing(turns.to_turn))

    def _frame_texts(self) -> Turns:
        bos = self._token("bos_token")
        if self._template is None:
            if {"<|im_start|>", "<|im_end|>"} <= self._added.keys():
                return Turns(
                    before_system="<|im_start|>system\n",
                    after_system="<|im_end|>\n<|im_start|>user\n",
                    to_answer="<|im_end|>\n<|im_start|>assistant\n",
                    to_turn="<|im_end|>\n<|im_start|>user\n",
                )
            return Turns(
                before_system=bos if self._settings.get("add_bos_token") else "",
                after_system="\n\nUser: ",
                to_answer="\n\nAssistant:",
                to_turn="\n\nUser: ",
            )
        tokens = {key: self._token(key) for key in ("bos_token", "eos_token", "pad_token", "unk_token")}
        return render(self.folder.name, self._template, NEUTRAL_CONTEXT | tokens)

    def _framing(self, text: str) -> array[int]:
        """Encode with added tokens recognised."""
        ids, start = array("i"), 0
        for match in self._pattern.finditer(text):
            ids.extend(self._encode(text[start : match.start()]).ids)
            ids.append(self._added[match.group()])
            start = match.end()
        ids.extend(self._encode(text[start:]).ids)
        return ids

    def _token(self, key: str) -> str:
        value = self._settings.get(key)
        if isinstance(value, dict):  # older files keep the whole added token
            value = value.get("content")
        return value if isinstance(value, str) else ""

    def _find_stops(self) -> tuple[int, ...]:
        stops: list[int] = []
        for name in ("generation_config.json", "config.json"):
            found = _json(self.folder / name, missing={}).get("eos_token_id")
            stops.extend([found] if isinstance(found, int) else found or [])
        stops.extend(self._added[text] for text in (self._token("eos_token"), *_ENDS) if text in self._added)
        if self._template is not None:
            # what the template puts after an answer ends it, whatever the files say
            match = self._pattern.match(self.frame_texts.to_turn.lstrip())
            stops.extend([self._added[match.group()]] if match else [])
        return tuple(dict.fromkeys(stops))

    @property
    def frame_texts(self) -> Turns:
        """The same frame as text, special tokens spelled out."""
        if self._turns is None:
            self._turns = self._frame_texts()
        return self._turns


class Detokenizer:
    """Text of an answer as it grows. Holds back the bytes of a character until the last of them has come."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        # ids already said, kept as context for decoders that treat the first token differently; then those being said
        self._context: list[int] = []
        self._pending: list[int] = []
        self._said = 0

    def push(self, ids: Sequence[int]) -> str:
        """Add ids; return the text that is now certain, perhaps none."""
        self._pending.extend(ids)
        text = self._text()
        if not text.endswith("\ufffd"):
            self._context, self._pending = self._pending or self._context, []
            said, self._said = self._said, 0
            return text[said:]
        # only the last one can still become a character; those before it are settled
        said, self._said = self._said, max(self._said, len(text) - 1)
        return text[said : self._said]

    def flush(self) -> str:
        """The rest, at the end of an answer: a character that was never finished shows as U+FFFD."""
        text = self._text()[self._said :]
        self._context, self._pending, self._said = [], [], 0
        return text

    def _text(self) -> str:
        before = self._tokenizer.decode(self._context)
        return self._tokenizer.decode(self._context + self._pending)[len(before) :]


def _rise(offsets: array[int]) -> None:
    """Make offsets start at 0 and never fall, in place: a normalizer may report a character late."""
    highest = 0
    for index, offset in enumerate(offsets):
        if offset < highest or index == 0:
            offsets[index] = highest
        else:
            highest = offset


def _known(data: dict[str, Any]) -> bool:
    """Whether text may be cut at _BORDER: the pre-tokenizer is one of those that the rule was checked against."""
    normalizer, step = data.get("normalizer"), data.get("pre_tokenizer") or {}
    steps = step.get("pretokenizers", []) if step.get("type") == "Sequence" else [step]
    # trim_offsets says nothing about where tokens end
    plain = [{key: value for key, value in item.items() if key != "trim_offsets"} for item in steps]
    return (normalizer is None or normalizer == {"type": "NFC"}) and plain in KNOWN_PRETOKENIZERS


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CheckpointUnsupported(path.parent.name, f"it has no {path.name}") from None


def _json(path: Path, missing: dict[str, Any] | None = None) -> dict[str, Any]:
    if missing is not None and not path.exists():
        return missing
    try:
        value = json.loads(_read(path))
    except ValueError as error:
        raise CheckpointDamaged(str(path), f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointDamaged(str(path), "not a JSON object")
    return value
