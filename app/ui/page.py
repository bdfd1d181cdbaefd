"""The page: its panels laid out, and which act answers which event."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gradio as gr

from app.ui import context, conversation, model, settings, threads
from app.ui.acts import Acts, Changes
from app.ui.artefacts import ArtefactPanel
from app.ui.backups import Backups
from app.ui.chapters import Chapters
from app.ui.panel import Payload, panel
from app.ui.reader import Reader
from app.ui.seat import Seat, is_visitor, new_visitor
from app.ui.shelf import Shelf
from app.ui.writing import WritingPanel

if TYPE_CHECKING:
    from app.reading.desk import Desk
    from app.settings import Settings

TICK = 1.0  # seconds
# the panels that an event may change
EVERYTHING = ("shelf", "threads", "transcript", "live", "composer", "model", "notes")
TALK = ("threads", "transcript", "live", "composer", "notes")
SHELF = ("shelf", "composer", "notes")
TICKING = ("shelf", "threads", "composer", "model")
# only scrambles what a visitor's own browser keeps; constant, or a restart would make them strangers
VISITOR_SECRET = "lectern-visitor"
SEAT_JS = "(visitor) => [visitor, window.Lectern ? window.Lectern.seat.data() : null]"


class Page:
    def __init__(self, options: Settings, desk: Desk) -> None:
        self._space = options.space
        self._desk = desk
        self._shelf = Shelf(desk, space=options.space)
        self._reader = Reader(desk, space=options.space)
        self._acts = Acts(desk, self._shelf, space=options.space)
        self._chapters = Chapters(desk, space=options.space)
        self._artefacts = ArtefactPanel(desk, space=options.space)
        self.backups = Backups(desk)
        self._panels: dict[str, gr.HTML] = {}

    def build(self) -> gr.Blocks:
        with gr.Blocks(title="Lectern", analytics_enabled=False, fill_width=True, delete_cache=(3600, 86400)) as blocks:
            visitor = gr.BrowserState("", storage_key="lectern.visitor", secret=VISITOR_SECRET)
            told = gr.JSON(visible=False)
            with gr.Row(elem_id="lectern-room"):
                with gr.Column(elem_id="lectern-side", min_width=0, scale=0):
                    panel("brand")
                    shelf = self._shelf.build()
                    history = threads.build(self._desk, space=self._space)
                    self._artefacts.build()
                    WritingPanel(self._desk, space=self._space).build()
                with gr.Column(elem_id="lectern-main", min_width=0, scale=1):
                    panel("bar")
                    with gr.Column(elem_id="lectern-sheet", min_width=0):
                        transcript = conversation.build_transcript(self._desk, space=self._space)
                        live = conversation.build_live()
                    with gr.Column(elem_id="lectern-foot", min_width=0):
                        composer = context.build()
                        worth = model.build()
                reader = self._reader.build()
            notes = panel("notes")
            book = self._chapters.build()
            settings.build(self._desk, self.backups, space=self._space)
            panel("keys")
            self._panels = {
                "shelf": shelf,
                "threads": history,
                "transcript": transcript,
                "live": live,
                "composer": composer,
                "model": worth,
                "notes": notes,
                "book": book,
                "reader": reader,
            }
            self._wire(blocks, visitor, told)
        return blocks

    def resume(self) -> None:
        """Take in what was on its way when a server ended; blocks."""
        self._shelf.resume()

    def _wire(self, blocks: gr.Blocks, visitor: gr.BrowserState, told: gr.JSON) -> None:
        acts = self._acts

        def on(panel_: str, event: str, act: Callable[..., Any], shows: Sequence[str]) -> None:
            # "multiple" and no limit: one conversation is asked while another still answers, and no reader waits
            # for another's
            getattr(self._panels[panel_], event)(
                act,
                None,
                [self._panels[name] for name in shows],
                show_progress="hidden",
                trigger_mode="multiple",
                concurrency_limit=None,
                api_visibility="private",
            )

        on("shelf", "changed", self._act(lambda seat, data, session: acts.changed(seat)), SHELF)
        on("shelf", "choose", self._act(lambda seat, data, session: acts.choose(seat)), ["composer", "notes"])
        on("shelf", "stop", self._act(lambda seat, data, session: acts.stop_reading(seat, data)), SHELF)
        on("shelf", "resume", self._act(lambda seat, data, session: acts.resume(seat, data)), SHELF)
        on("shelf", "first", self._act(lambda seat, data, session: acts.first(seat, data)), SHELF)
        on("shelf", "remove", self._act(lambda seat, data, session: acts.remove(seat, data)), SHELF)
        on("shelf", "renew", self._act(lambda seat, data, session: acts.renew(seat, data)), SHELF)
        on("shelf", "restore", self._act(lambda seat, data, session: acts.restore(seat, data)), SHELF)
        on("shelf", "dismiss", self._act(lambda seat, data, session: acts.dismiss(seat, data)), SHELF)
        on("shelf", "pin", self._act(lambda seat, data, session: acts.pin(seat, data)), SHELF)
        on("book", "changed", self._act(lambda seat, data, session: acts.changed(seat)), SHELF)
        # the spoiler guard changes what the shelf says and what a question would be answered from
        on("reader", "guarded", self._act(lambda seat, data, session: acts.changed(seat)), SHELF)
        on("threads", "open", self._act(lambda seat, data, session: acts.open(seat, session, data)), TALK)
        on("threads", "begin", self._act(lambda seat, data, session: acts.begin(seat, session)), ["composer", "notes"])
        on("threads", "rename", self._act(lambda seat, data, session: acts.rename(seat, data)), ["threads", "notes"])
        on(
            "threads",
            "remove",
            self._act(lambda seat, data, session: acts.remove_thread(seat, data)),
            ["threads", "notes"],
        )
        on(
            "threads",
            "restore",
            self._act(lambda seat, data, session: acts.restore_thread(seat, data)),
            ["threads", "notes"],
        )
        on("transcript", "branch", self._act(lambda seat, data, session: acts.branch(seat, session, data)), TALK)
        on("composer", "ask", self._act(lambda seat, data, session: acts.ask(seat, data)), TALK)
        on("composer", "stop", self._act(lambda seat, data, session: acts.stop(seat, data)), ["notes"])
        on("live", "commit", self._act(lambda seat, data, session: acts.commit(seat)), EVERYTHING)

        def follow(event: gr.EventData, request: gr.Request) -> Iterator[Payload]:
            seat, data = _heard(event)
            yield from acts.follow(seat, str(request.session_hash), data)

        on("live", "follow", follow, ["live"])

        def arrive(known: Any, said: Any, request: gr.Request) -> Any:
            seat = replace(Seat.read(said), visitor=known if is_visitor(known) else "")
            if self._space and not seat.visitor:
                seat = replace(seat, visitor=new_visitor())
            return {visitor: seat.visitor, **self._place(acts.arrive(seat, str(request.session_hash)))}

        def tick(known: Any, said: Any) -> Any:
            return self._place(acts.tick(Seat.read(said))) or gr.skip()

        blocks.load(
            arrive,
            [visitor, told],
            [visitor, *(self._panels[name] for name in EVERYTHING)],
            js=SEAT_JS,
            show_progress="hidden",
            concurrency_limit=None,
            api_visibility="private",
        )
        gr.Timer(TICK).tick(
            tick,
            [visitor, told],
            [self._panels[name] for name in TICKING],
            js=SEAT_JS,
            show_progress="hidden",
            queue=False,
            api_visibility="private",
        )
        blocks.unload(self._leave)

    def _leave(self, request: gr.Request) -> None:
        self._acts.leave(str(request.session_hash))

    def _act(self, act: Callable[[Seat, Payload, str], Changes]) -> Callable[..., Any]:
        """A listener that tells an act who did what, in which session."""

        def handle(event: gr.EventData, request: gr.Request) -> Any:
            seat, data = _heard(event)
            return self._place(act(seat, data, str(request.session_hash))) or gr.skip()

        return handle

    def _place(self, changes: Changes) -> dict[Any, Any]:
        return {self._panels[name]: value for name, value in changes.items()}


def _heard(event: gr.EventData) -> tuple[Seat, Payload]:
    data = event._data if isinstance(event._data, dict) else {}
    return Seat.read(data.get("seat")), data
