"""Holds an answer to a JSON Schema while it is decoded: which tokens may come next, and when to come to an end.

The grammar's part is llguidance's: one mask over the vocabulary a token, in a millisecond. Ours is the budget: a token
is taken only if what it begins can still be ended within the tokens left; otherwise the shortest ending is written.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import llguidance
import numpy as np
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

from engine import ending, grammar, schema
from engine.errors import SchemaTooLong, SchemaUnsupported

if TYPE_CHECKING:
    from numpy.typing import NDArray

# a string of an item that is worth beginning has room for so many tokens
ITEM_TEXT_TOKENS = 12


@lru_cache(maxsize=1)
def _limits() -> llguidance.LLParserLimits:
    """The passages of a novel are a large grammar: 1.2 million characters compile in 2 s, a mask takes 20 ms."""
    return llguidance.LLParserLimits(initial_lexer_fuel=10**10, step_lexer_fuel=10**9)


@lru_cache(maxsize=2)
def _vocabulary(folder: Path, size: int) -> llguidance.LLTokenizer:
    """Takes a second for 150,000 tokens."""
    return llguidance.LLTokenizer(str(folder / "tokenizer.json"), n_vocab=size)


class Constraint:
    """One answer on its way. ``limit``: tokens it may take in all.

    Raises SchemaUnsupported; SchemaTooLong where not even the shortest answer fits.
    """

    def __init__(self, text: str, folder: Path, vocabulary: int, limit: int) -> None:
        self._node = schema.parse(text)
        self._tokens = _vocabulary(folder, vocabulary)
        self._matcher = llguidance.LLMatcher(self._tokens, grammar.lark(self._node), log_level=0, limits=_limits())
        self._check()
        self._mask = allocate_token_bitmask(1, vocabulary)
        self._size = vocabulary
        self._left = limit
        self._said = b""
        self._begun = 0
        self._reserve = _item_tokens(self._node)
        self._forced = self._ending()
        if len(self._forced) > limit:
            raise SchemaTooLong(len(self._forced), limit)
        self._forced = []

    @property
    def finished(self) -> bool:
        """Whether the value is whole: nothing can follow."""
        return bool(self._matcher.is_stopped())

    def allowed(self) -> NDArray[np.bool_]:
        """[vocabulary]: which tokens may come next."""
        if self._forced:
            only = np.zeros(self._size, dtype=np.bool_)
            only[self._forced[0]] = True
            return only
        fill_next_token_bitmask(self._matcher, self._mask, 0)
        self._check()
        return np.unpackbits(self._mask.view(np.uint8)[0], bitorder="little")[: self._size].astype(np.bool_)

    def take(self, token: int) -> int:
        """The token that comes: ``token``, one of those allowed, or the first of the ending, if that one must not."""
        if self._forced:
            token = self._forced.pop(0)
        elif not self._affordable(token):
            self._forced = self._ending_after(self._tokens.decode_bytes([token]))
            token = self._forced.pop(0)
        self._said += self._tokens.decode_bytes([token])
        self._left -= 1
        if not self._matcher.consume_token(token):
            self._check()
        return token

    def _affordable(self, token: int) -> bool:
        """Whether what ``token`` begins can be ended; of an item that nobody asked for, whether it is worth it."""
        if not self._matcher.validate_tokens([token]):
            return False
        closing = ending.close(self._node, self._said + self._tokens.decode_bytes([token]))
        left = self._left - 1
        begins = closing.begun > self._begun
        if len(closing.rest) + (self._reserve if begins else 0) > left:
            # a token is a byte or more: only now is it worth counting
            needed = len(self._tokens.tokenize_bytes(closing.rest))
            if needed + (self._reserve if begins else 0) > left:
                return False
        self._begun = closing.begun
        return True

    def _ending(self) -> list[int]:
        return list(self._tokens.tokenize_bytes(ending.close(self._node, self._said).rest))

    def _ending_after(self, wanted: bytes) -> list[int]:
        """The ending where ``wanted`` must not come; a string that was to end there ends there."""
        said, mark, _ = wanted.partition(b'"')
        if mark:
            try:
                rest = ending.close(self._node, self._said + said).rest
            except ValueError:
                return self._ending()
            # nothing was cut
            ids = list(self._tokens.tokenize_bytes(said + rest.removeprefix(schema.CUT.encode())))
            if len(ids) <= self._left and self._matcher.validate_tokens(ids) == len(ids):
                return ids
        return self._ending()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise SchemaUnsupported("", self._matcher.get_error().strip())


def _item_tokens(node: schema.Node) -> int:
    """About how many tokens an item of the innermost list takes, if it says something."""
    match node:
        case schema.Items():
            return _item_tokens(node.item) or _tokens(node.item)
        case schema.Fields():
            return max((_item_tokens(one) for _, one in node.fields), default=0)
        case _:
            return 0


def _tokens(node: schema.Node) -> int:
    match node:
        case schema.Text() | schema.Quote():
            return min(node.most, ITEM_TEXT_TOKENS)
        case schema.Fields():
            return sum(_tokens(one) for _, one in node.fields)
        case _:
            return 0
