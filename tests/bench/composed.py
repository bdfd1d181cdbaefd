"""Books read alone and opened together, against the same books read one behind the other:
``python -m tests.bench.composed --books FOLDER --tokens 8192 --count 2 4``.

Each book is a cut of so many tokens. "exact" reads each behind those before it, "composed" opens each as it was read
alone, "seam" reads the first tokens of every book but the first again, in its place behind the others. For each:

loss: mean cross-entropy (nats) of the 128 tokens that follow each book's cut, told after all of them as a conversation is,
by book; copying: 4 passages of 64 random tokens a book, laid into it before it was read, repeated at the end with 16 of
them given: mean loss of the rest, by book; answers: of 4 names a book that stand in it in plain sentences, how many a
question brings out, by greedy decoding; first_token_s: from the question to the first token, everything read that can be.
"alone" is the loss, copying and answers with this book only, which is the most that a composition can give back.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from array import array
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from threading import Event as Flag
from typing import Any

import torch

from engine import prefill
from engine.decode import grow_tail
from engine.kvcache import Extent, KVCache
from engine.protocol import Prompt, Sampling, Segment
from tests.bench import rows, setup

PASSAGES, PASSAGE, GIVEN = 4, 64, 16
AFTER = 128
NAMES = ("Orrin", "Tamsin", "Wendell", "Isolde", "Corbin", "Maren", "Alaric", "Sunniva", "Lucan", "Perpetua", "Ambrose",
         "Thessaly", "Osric", "Ottilie", "Barnaby", "Jessamy", "Leofric", "Marigold", "Quentin", "Rosalba")  # fmt: skip
TRADES = ("lighthouse keeper", "clockmaker", "ferryman", "beekeeper", "glassblower", "bookbinder", "saddler", "cooper",
          "organist", "miller", "cartographer", "falconer", "apothecary", "chandler", "thatcher", "locksmith")  # fmt: skip
SYSTEM = "You answer from the documents, in as few words as possible."


class Book:
    """A cut of a text, with names and passages of random tokens laid into it."""

    def __init__(self, session: setup.Session, path: Path, number: int, tokens: int) -> None:
        generator = random.Random(number)
        tokenizer = session.tokenizer
        self.name = path.stem
        whole = setup.text_ids(tokenizer, path, tokens + AFTER)
        ids, self.after = list(whole[:tokens]), whole[tokens:]
        vocabulary = 32000
        self.passages = [[generator.randrange(1000, vocabulary) for _ in range(PASSAGE)] for _ in range(PASSAGES)]
        self.facts = [(TRADES[number * 4 + n], NAMES[number * 4 + n]) for n in range(4)]
        said = [
            tokenizer.encode([f"\n\nThe {trade} of the town is called {name}.\n\n"])[0].ids
            for trade, name in self.facts
        ]
        slots = generator.sample(range(4, PASSAGES * 4 - 2), PASSAGES + 4)
        for slot, part in zip(slots, [*self.passages, *said], strict=True):
            place = slot * tokens // (PASSAGES * 4)
            ids[place : place + len(part)] = part
        self.ids = array("i", ids)

    def copy_ids(self) -> array[int]:
        return array("i", [token for passage in self.passages for token in passage])


class Bench:
    def __init__(self, model: str, books: Sequence[Path], tokens: int, folder: Path) -> None:
        described = setup.describe(model)
        self.session = setup.Session(replace(setup.config(described, folder), limit=1 << 20))
        self.model, self.pages, _ = self.session.load()
        _ = self.model.row_forward
        self.frame = self.session.tokenizer.frame(SYSTEM)
        self.books = [Book(self.session, path, number, tokens) for number, path in enumerate(books)]
        self.chunk_len = self.model.dual_chunk.chunk_len

    def prompt(self, books: Sequence[Book], last: array[int], *, composed: bool) -> Prompt:
        texts = [Segment(name=book.name, ids=book.ids, alone=composed) for book in books]
        opening, turn = Segment(name="opening", ids=self.frame.opening), Segment(name="turn", ids=last)
        return Prompt(segments=(opening, *texts, turn), stride=self.chunk_len if composed else 0)

    def read(self, prompt: Prompt) -> None:
        """Everything but the turn."""
        whole = prompt.head(prompt.tokens - len(prompt.segments[-1].ids))
        for part in prompt.parts or (whole,):
            self.session.read(part, lambda _: None, Flag())

    def cache(self, prompt: Prompt, seam: int) -> KVCache:
        """What is kept of a prompt, up to its turn; the first ``seam`` tokens of later books read again in place."""
        cache, found, _ = self.pages.open(prompt, leave=len(prompt.segments[-1].ids))
        assert found == prompt.tokens - len(prompt.segments[-1].ids)
        cache.touch()
        if not seam:
            return cache
        mended = KVCache(self.model.shape)
        begins = dict(zip(prompt.starts[2:-1], prompt.segments[2:-1], strict=True))
        for extent in cache.extents:
            if extent.start in begins:
                self.model.prefill(begins[extent.start].ids[:seam], extent.start, mended)
                extent = Extent(extent.start + seam, extent.length - seam, extent.data[:, :, :, seam : extent.length])
            mended.append(extent)
        return mended

    def losses(self, cache: KVCache, start: int, ids: array[int]) -> torch.Tensor:
        """Cross-entropy of ids[1:]; the cache is left as it was."""
        before, wanted = len(cache.extents), torch.tensor(ids[1:])
        states = []
        while ids:
            chunk = prefill.next_chunk(start, ids, self.model.dual_chunk, 512)
            cache.append(cache.allocate(start, len(chunk.ids)))
            states.append(self.model.hidden(chunk.ids, start, cache))
            start, ids = start + len(chunk.ids), ids[len(chunk.ids) :]
        del cache.extents[before:]
        logits = self.model.logits(torch.cat(states))
        return torch.nn.functional.cross_entropy(logits[:-1], wanted, reduction="none")

    def measure(self, prompt: Prompt, books: Sequence[Book], seam: int) -> dict[str, Any]:
        cache, start = self.cache(prompt, seam), prompt.starts[-1]
        loss = [float(self.losses(cache, start, book.after).mean()) for book in books]
        copying = []
        for book in books:
            each = self.losses(cache, start, book.copy_ids())
            each = torch.cat([each.new_zeros(1), each]).view(PASSAGES, PASSAGE)[:, GIVEN:]
            copying.append(float(each.mean()))
        answers = [sum(self.answered(cache, start, *fact) for fact in book.facts) for book in books]
        return {"loss": loss, "copying": copying, "answers": answers}

    def answered(self, cache: KVCache, start: int, trade: str, name: str) -> bool:
        asked = self.session.tokenizer.encode([f"What is the {trade} of the town called?"])[0].ids
        before, said, tails = len(cache.extents), array("i"), list[Extent]()
        hidden = None
        for token_ids in self._cut(start, asked + self.frame.to_answer):
            _, hidden = self.model.prefill(token_ids, start, cache)
            start += len(token_ids)
        assert hidden is not None
        logits = self.model.logits(hidden[None])[0]
        for _ in range(10):
            token = int(logits.argmax())
            if token in self.session.tokenizer.stop_ids:
                break
            said.append(token)
            grow_tail(self.model, cache, tails)
            logits = self.model.step(token, cache)
        del cache.extents[before:]
        return name in self.session.tokenizer.decode(said)

    def _cut(self, start: int, ids: array[int]) -> list[array[int]]:
        end = self.model.dual_chunk.border_after(start) - start
        return [part for part in (ids[:end], ids[end:]) if part]

    def first_token(self, prompt: Prompt) -> float:
        """Of a question; its pages and its answer's are taken away again."""
        kept = set(self.session.config.readings.rglob("*.kv"))  # type: ignore[union-attr]
        done = self.session.generate(prompt, Sampling(temperature=0.0, max_tokens=1), lambda _: None, Flag())
        for path in set(self.session.config.readings.rglob("*.kv")) - kept:  # type: ignore[union-attr]
            path.unlink()
        return done.seconds_first_token


def run(model: str, paths: Sequence[Path], tokens: int, counts: Sequence[int], seams: Sequence[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(model, paths, tokens, Path(folder))
        question = bench.session.tokenizer.encode(["Who is called what?"])[0].ids + bench.frame.to_answer
        with torch.inference_mode():
            alone = []
            for book in bench.books:
                prompt = bench.prompt([book], question, composed=False)
                bench.read(prompt)
                alone.append(bench.measure(prompt, [book], 0))
            for count in counts:
                books = bench.books[:count]
                row: dict[str, Any] = {"model": model, "tokens": tokens, "books": [book.name for book in books]}
                row["alone"] = {name: [one[name][0] for one in alone[:count]] for name in alone[0]}
                composed = bench.prompt(books, question, composed=True)
                row["composed"] = bench.measure(composed, books, 0)
                row["composed"]["first_token_s"] = bench.first_token(composed)
                for seam in seams:
                    row[f"seam_{seam}"] = bench.measure(composed, books, seam)
                exact = bench.prompt(books, question, composed=False)
                begun = time.perf_counter()
                bench.read(exact)
                read = time.perf_counter() - begun
                row["exact"] = bench.measure(exact, books, 0)
                row["exact"]["first_token_s"] = bench.first_token(exact)
                # the first book is kept: this is what putting the others behind it costs
                row["exact"]["read_s"] = read
                for how in ("alone", "exact", "composed", *(f"seam_{seam}" for seam in seams)):
                    said = {name: mean(value) for name, value in row[how].items() if isinstance(value, list)}
                    print(how, {name: round(value, 3) for name, value in said.items()}, flush=True)
                rows.record("composed", row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", nargs="+", default=["qwen2.5-coder-0.5b"])
    parser.add_argument("--books", type=Path, default=setup.DEFAULT_TEXT.parent)
    parser.add_argument("--names", nargs="+", default=["alice", "pride-and-prejudice", "moby-dick", "war-and-peace"])
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--count", nargs="+", type=int, default=[2, 4])
    parser.add_argument("--seam", nargs="*", type=int, default=[16, 256])
    given = parser.parse_args()
    paths = [given.books / f"{name}.txt" for name in given.names[: max(given.count)]]
    for model in given.model:
        run(model, paths, given.tokens, given.count, given.seam)


if __name__ == "__main__":
    main()
