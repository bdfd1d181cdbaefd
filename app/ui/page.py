"""The page: its panels laid out, and which act answers which event."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gradio as gr

from app.ui import context, conversation, model, threads
from app.ui.acts import Acts, Changes
from app.ui.panel import Payload, panel
from app.ui.seat import Seat, is_visitor, new_visitor
from app.ui.shelf import Shelf

if TYPE_CHECKING:
    from app.reading.desk import Desk
    from app.settings import Settings

TICK = 1.0  # seconds
# only scrambles what a visitor's own browser keeps; constant, or a restart would make them strangers
VISITOR_SECRET = "lectern-visitor"
SEAT_JS = "(visitor) => [visitor, window.Lectern ? window.Lectern.seat.data() : null]"


class Page:
    def __init__(self, settings: Settings, desk: Desk) -> None:
        self._space = settings.space
        self._shelf = Shelf(desk, space=settings.space)
        self._acts = Acts(desk, self._shelf, space=settings.space)
        self._panels: dict[str, gr.HTML] = {}

    def build(self) -> gr.Blocks:
        with gr.Blocks(title="Lectern", analytics_enabled=False, fill_width=True, delete_cache=(3600, 86400)) as blocks:
            visitor = gr.BrowserState("", storage_key="lectern.visitor", secret=VISITOR_SECRET)
            told = gr.JSON(visible=False)
            with gr.Row(elem_id="lectern-room"):
                with gr.Column(elem_id="lectern-side", min_width=0, scale=0):
                    panel("brand")
                    shelf = self._shelf.build()
                    history = threads.build()
                with gr.Column(elem_id="lectern-main", min_width=0, scale=1):
                    panel("bar")
                    with gr.Column(elem_id="lectern-sheet", min_width=0):
                        transcript = conversation.build_transcript()
                        live = conversation.build_live()
                    with gr.Column(elem_id="lectern-foot", min_width=0):
                        composer = context.build()
                        worth = model.build()
            notes = panel("notes")
            self._panels = {
                "shelf": shelf,
                "threads": history,
                "transcript": transcript,
                "live": live,
                "composer": composer,
                "model": worth,
                "notes": notes,
            }
            self._wire(blocks, visitor, told)
        return blocks

    def _wire(self, blocks: gr.Blocks, visitor: gr.BrowserState, told: gr.JSON) -> None:
        outputs = list(self._panels.values())
        acts = self._acts

        def on(panel_: str, event: str, act: Callable[..., Any]) -> None:
            # "multiple" and no limit: one conversation is asked while another still answers, and no reader waits
            # for another's
            getattr(self._panels[panel_], event)(
                act,
                None,
                outputs,
                show_progress="hidden",
                trigger_mode="multiple",
                concurrency_limit=None,
                api_visibility="private",
            )

        on("shelf", "changed", self._once(lambda seat, data: acts.changed(seat)))
        on("shelf", "choose", self._once(lambda seat, data: acts.choose(seat)))
        on("shelf", "stop", self._once(acts.stop_reading))
        on("shelf", "resume", self._once(acts.resume))
        on("shelf", "remove", self._once(acts.remove))
        on("shelf", "dismiss", self._once(acts.dismiss))
        on("threads", "rename", self._once(acts.rename))
        on("threads", "remove", self._once(acts.remove_thread))
        on("composer", "stop", self._once(acts.stop))

        def begin(event: gr.EventData, request: gr.Request) -> Any:
            return self._place(acts.begin(_seat(event), str(request.session_hash)))

        def open_(event: gr.EventData, request: gr.Request) -> Iterator[Any]:
            yield from map(self._place, acts.open(_seat(event), str(request.session_hash)))

        def ask(event: gr.EventData, request: gr.Request) -> Iterator[Any]:
            yield from map(self._place, acts.ask(_seat(event), str(request.session_hash), event._data))

        def arrive(known: Any, said: Any, request: gr.Request) -> Iterator[Any]:
            seat = replace(Seat.read(said), visitor=known if is_visitor(known) else "")
            if self._space and not seat.visitor:
                seat = replace(seat, visitor=new_visitor())
            for changes in acts.arrive(seat, str(request.session_hash)):
                yield {visitor: seat.visitor, **self._place(changes)}

        def tick(known: Any, said: Any) -> Any:
            return self._place(acts.tick(Seat.read(said)))

        on("threads", "begin", begin)
        on("threads", "open", open_)
        on("composer", "ask", ask)
        blocks.load(
            arrive,
            [visitor, told],
            [visitor, *outputs],
            js=SEAT_JS,
            show_progress="hidden",
            concurrency_limit=None,
            api_visibility="private",
        )
        gr.Timer(TICK).tick(
            tick, [visitor, told], outputs, js=SEAT_JS, show_progress="hidden", queue=False, api_visibility="private"
        )
        blocks.unload(self._leave)

    def _leave(self, request: gr.Request) -> None:
        self._acts.leave(str(request.session_hash))

    def _once(self, act: Callable[[Seat, Payload], Changes]) -> Callable[[gr.EventData], Any]:
        def handle(event: gr.EventData) -> Any:
            return self._place(act(_seat(event), event._data))

        return handle

    def _place(self, changes: Changes) -> Any:
        """By component, as Gradio wants it; nothing at all is said by a skip."""
        return {self._panels[name]: value for name, value in changes.items()} or gr.skip()


def _seat(event: gr.EventData) -> Seat:
    return Seat.read(event._data.get("seat") if isinstance(event._data, dict) else None)
