from __future__ import annotations

import csv
import io
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pymupdf
import pytest

from app.documents.parse import parse_file
from app.errors import DocumentNotFound, NothingChosen
from app.reading.desk import Desk
from app.reading.making.drawing import fitting
from app.reading.making.errors import (
    ArtefactNotFound,
    ContentInvalid,
    FormatUnknown,
    TemplateInvalid,
    TemplateNotFound,
    TemplateTaken,
    VersionNotFound,
)
from app.reading.making.export import as_json, export, filename, formats
from app.reading.making.rows import Places
from app.reading.making.template_file import shipped
from app.reading.runner import Runner
from engine.errors import NumericalFailure, SchemaTooLong

from .conftest import OWNER, Machine, until, value_of

CHAPTERS = "\n\n".join(
    f"CHAPTER {n}\n\nThe Queen met the Hatter in the garden on day {n}. Alice said “Off with it” and nobody listened to her at all."
    f"\n\nIt was {n} o'clock, and Figure {n} shows the Cheshire Cat sitting in its tree above them (Smith, 190{n})."
    for n in range(1, 10)
)  # fmt: skip


@pytest.fixture
def story(desk: Desk, tmp_path: Path) -> int:
    path = tmp_path / "story.txt"
    path.write_text(CHAPTERS, "utf-8")
    return desk.add(OWNER, path, path.name).document.id


@pytest.fixture
def made(desk: Desk, runner: Runner, story: int) -> Callable[..., int]:
    """Make an artefact to its end; its id."""

    def make(template: str = "characters", **options: Any) -> int:
        run = desk.make(OWNER, template, [story], **options)
        if runner._thread is None:
            runner.start()
        until(lambda: desk.jobs.get(None, run.job_id).state in ("done", "failed"), "the artefact")
        return run.artefact_id

    return make


def items(desk: Desk, id: int, number: int | None = None) -> list[dict[str, Any]]:
    content = desk.artefact(OWNER, id, number).content
    return [] if content is None else content["items"]


@pytest.mark.parametrize("id", sorted(shipped()))
def test_every_template_makes_something_whose_places_stand(desk: Desk, made: Callable[..., int], id: str) -> None:
    artefact = made(id, window=600)
    shown = desk.artefact(OWNER, artefact)
    assert shown.version.state == "done", shown.version.error
    text = desk.library.text(desk.library.document(desk.owner_id(OWNER), shown.artefact.document_ids[0]).text_sha256)
    assert shown.content is not None and shown.content["items"] and "partial" not in shown.content
    for item in shown.content["items"]:
        assert item["evidence"]
        for place in item["evidence"]:
            assert text[place["start"] : place["end"]] == place["text"]
    for format in formats(shown):
        assert export(desk.library, shown, format, "zh" if id == "quiz" else None)


def test_a_name_leads_to_a_sentence_that_has_it(desk: Desk, machine: Machine, made: Callable[..., int]) -> None:
    # the model quotes the same sentence, whatever it says
    names = [("Cheshire Cat", "in a tree"), ("Hatter", "in the garden")]
    machine.structured = lambda asked, _: {
        "items": [{"quote": "Hatter in the garden", "name": name, "about": about} for name, about in names]
    }
    cat, hatter = items(desk, made("characters", parts=1))
    assert "garden" in cat["evidence"][0]["text"] and cat["evidence"][0]["quote"] == "Hatter in the garden"
    assert "Cheshire Cat" in cat["evidence"][1]["text"]
    assert len(hatter["evidence"]) == 1 and "Hatter" in hatter["evidence"][0]["text"]


def test_what_the_text_does_not_say_is_no_evidence(desk: Desk, machine: Machine, made: Callable[..., int]) -> None:
    machine.structured = lambda asked, _: {"items": [{"quote": "Words of nobody here", "name": "Hatter", "about": "x"}]}
    artefact = made("characters", parts=1)
    assert desk.artefact(OWNER, artefact).version.state == "failed"
    assert "another structure (/items/0/quote" in str(desk.artefact(OWNER, artefact).version.error)


def test_a_window_begins_where_a_kept_reading_does(
    desk: Desk, runner: Runner, machine: Machine, made: Callable[..., int], story: int
) -> None:
    runner.run_until([job.id for job in desk.jobs.list(None, kind="read")])
    artefact = made("characters", parts=1, window=2000)
    (step,) = desk.artefact(OWNER, artefact).steps
    assert step.tokens["reused"] >= 1024


def test_the_same_name_is_one_item_with_all_its_places(desk: Desk, machine: Machine, made: Callable[..., int]) -> None:
    rounds = iter("abcdefgh")
    machine.structured = lambda asked, _: {
        "items": [{"quote": "Hatter in the garden", "name": "Hatter", "about": next(rounds)}]
    }
    (hatter,) = items(desk, made("characters", window=512))
    assert len(hatter["evidence"]) > 1 and hatter["about"] == "a" and hatter["also"]["about"][0] == "b"


def test_what_it_quotes_is_checked(desk: Desk, machine: Machine, made: Callable[..., int]) -> None:
    machine.structured = lambda asked, _: {
        "items": [{"quote": "Hatter in the garden", "claim": "She said “Off with it” there."}, {"quote": "Hatter in the garden", "claim": "“Nobody ever wrote these words” he said."}]
    }  # fmt: skip
    template = {**shipped()["summary-page"].source, "id": "claims", "join": None}
    template.pop("join")
    desk.save_template(OWNER, template)
    good, bad = items(desk, made("claims", parts=1))
    assert "misquoted" not in good
    assert bad["misquoted"] == ["Nobody ever wrote these words"]


def test_numbers_that_no_fact_has_are_told(desk: Desk, machine: Machine, made: Callable[..., int]) -> None:
    def told(asked: dict[str, Any], _: str) -> Any:
        if "fact" in json.dumps(asked):
            return value_of(asked)
        return {"items": [{"from": [1], "headline": "99% of cats", "body": "agree at 1 o'clock"}]}

    machine.structured = told
    (copy,) = items(desk, made("advertising", parts=1, inputs={"variants": 1}))
    assert copy["unsupported"] == ["99%"]


def test_a_stop_keeps_what_is_done_and_going_on_does_the_rest(
    desk: Desk, runner: Runner, machine: Machine, story: int
) -> None:
    machine.steps = 8
    run = desk.make(OWNER, "characters", [story], window=512)
    runner.start()
    until(lambda: any(one.state == "done" for one in desk.artefact(OWNER, run.artefact_id).steps), "a step")
    desk.stop_making(OWNER, run.artefact_id)
    until(lambda: desk.artefact(OWNER, run.artefact_id).version.state == "stopped", "the stop")
    machine.steps = None
    before = desk.artefact(OWNER, run.artefact_id)
    done = [one.id for one in before.steps if one.state == "done"]
    assert 0 < len(done) < len(before.steps) and before.content is not None
    tries = {one.id: one.tries for one in before.steps}
    again = desk.go_on(OWNER, run.artefact_id)
    assert again.version == run.version
    until(lambda: desk.artefact(OWNER, run.artefact_id).version.state == "done", "the rest")
    after = desk.artefact(OWNER, run.artefact_id)
    assert all(one.state == "done" for one in after.steps)
    assert all(one.tries == tries[one.id] for one in after.steps if one.id in done)


def test_words_are_told_before_their_item_is_done(desk: Desk, runner: Runner, machine: Machine, story: int) -> None:
    machine.structured = lambda asked, _: {
        "items": [{"quote": "Hatter in the garden", "name": "Hatter", "about": "He is in the garden again. " * 5}]
    }
    machine.steps = 0
    run = desk.make(OWNER, "characters", [story], parts=1)
    runner.start()

    def is_told() -> bool:
        # words are told a few times a second
        machine.steps = 1
        time.sleep(0.1)
        return any("about" in one for one in desk.artefact(OWNER, run.artefact_id).writing)

    until(is_told, "a word")
    (item,) = desk.artefact(OWNER, run.artefact_id).writing
    assert item["quote"] == "Hatter in the garden" and "He is in the garden again. ".startswith(item["about"][:20])
    machine.steps = None
    until(lambda: desk.artefact(OWNER, run.artefact_id).version.state == "done", "the rest")
    assert desk.artefact(OWNER, run.artefact_id).writing == []


def test_a_question_comes_first(desk: Desk, runner: Runner, machine: Machine, story: int) -> None:
    machine.steps = 6
    run = desk.make(OWNER, "characters", [story], window=512)
    runner.start()
    until(lambda: machine.steps == 0, "the engine at work")
    asked = desk.ask(OWNER, "Who?", document_ids=[story])
    machine.steps = None
    until(lambda: desk.jobs.get(None, asked.job_id).state == "done", "the answer")
    until(lambda: desk.artefact(OWNER, run.artefact_id).version.state == "done", "the artefact")


def test_a_failed_step_is_tried_again_alone(desk: Desk, machine: Machine, made: Callable[..., int]) -> None:
    machine.failures = [NumericalFailure(None, 7)]
    artefact = made("timeline", window=512)
    shown = desk.artefact(OWNER, artefact)
    assert shown.version.state == "failed" and "parts failed" in str(shown.version.error)
    (failed,) = [one for one in shown.steps if one.state == "failed"]
    assert failed.error and items(desk, artefact)
    count = machine.jobs.count("generate")
    desk.go_on(OWNER, artefact, [failed.id])
    until(lambda: desk.artefact(OWNER, artefact).version.state == "done", "the other try")
    assert machine.jobs.count("generate") == count + 1


def test_an_answer_of_another_structure_fails_its_step(desk: Desk, machine: Machine, made: Callable[..., int]) -> None:
    machine.structured = lambda asked, _: '{"items": ['
    shown = desk.artefact(OWNER, made("timeline", parts=1))
    assert shown.version.state == "failed" and shown.content is None
    assert "no JSON" in str(shown.steps[0].error)
    machine.structured = lambda asked, _: {"items": [{"quote": "Hatter in the garden", "when": "…", "what": "…"}]}
    shown = desk.artefact(OWNER, made("timeline", parts=1))
    assert "nothing was written" in str(shown.steps[0].error)


def test_made_again_only_what_changed_is_asked(desk: Desk, machine: Machine, made: Callable[..., int]) -> None:
    artefact = made("timeline", window=512)
    asked = machine.jobs.count("generate")
    run = desk.make_again(OWNER, artefact)
    until(lambda: desk.jobs.get(None, run.job_id).state == "done", "again")
    assert machine.jobs.count("generate") == asked and run.version == 2
    assert items(desk, artefact, 1) == items(desk, artefact, 2)
    run = desk.make_again(OWNER, artefact, anew=True)
    until(lambda: desk.jobs.get(None, run.job_id).state == "done", "anew")
    assert machine.jobs.count("generate") > asked


def test_versions_by_hand(desk: Desk, made: Callable[..., int]) -> None:
    artefact = made("timeline", window=512)
    first = items(desk, artefact)
    changed = [{**first[0], "what": "Everything happened at once."}, *first[1:-1]]
    shown = desk.edit_artefact(OWNER, artefact, changed)
    assert shown.version.number == 2 and shown.version.made_by == "hand"
    assert items(desk, artefact, 1) == first
    told = desk.compare_artefact(OWNER, artefact, 1, 2)
    assert len(told["removed"]) + len(told["changed"]) >= 1 and told["same"] >= 1
    for wrong in (
        [],
        "x",
        [{**first[0], "what": ""}],
        [{**first[0], "evidence": [{**first[0]["evidence"][0], "start": 0, "end": 3}]}],
        [{**first[0], "evidence": [{"document": 99, "start": 0, "end": 1, "text": "x"}]}],
    ):
        with pytest.raises(ContentInvalid):
            desk.edit_artefact(OWNER, artefact, wrong)
    assert desk.artefact(OWNER, artefact).version.number == 2
    assert desk.rename_artefact(OWNER, artefact, "  What   happened ").title == "What happened"
    with pytest.raises(VersionNotFound):
        desk.artefact(OWNER, artefact, 9)
    desk.remove_artefact(OWNER, artefact)
    with pytest.raises(ArtefactNotFound):
        desk.artefact(OWNER, artefact)


def test_exports(desk: Desk, made: Callable[..., int]) -> None:
    shown = desk.artefact(OWNER, made("flashcards", window=512))
    rows = list(csv.reader(io.StringIO(export(desk.library, shown, "csv").decode("utf-8-sig"))))
    assert rows[0][:2] == ["Front", "Back"] and len(rows) > len((shown.content or {})["items"]) - 1
    text = desk.library.text(desk.library.document(desk.owner_id(OWNER), shown.artefact.document_ids[0]).text_sha256)
    start, end, passage = rows[1][-3:]
    assert text[int(start) : int(end)] == passage
    anki = export(desk.library, shown, "anki").decode()
    assert anki.startswith("#separator:Comma\n") and filename(shown, "anki").endswith(".txt")
    path = Path(str(desk.settings.home)) / "made.docx"
    path.write_bytes(export(desk.library, shown, "docx"))
    assert shown.artefact.title in parse_file(path, path.name).text
    with pymupdf.open("pdf", export(desk.library, shown, "pdf")) as pages:
        assert shown.artefact.title.split(":")[0] in pages[0].get_text()
    assert export(desk.library, shown, "png").startswith(b"\x89PNG")
    told = json.loads(export(desk.library, shown, "json"))
    assert told == json.loads(json.dumps(as_json(shown, Places(desk.library))))
    assert told["items"][0]["evidence"][0]["chapter"]
    with pytest.raises(FormatUnknown):
        export(desk.library, shown, "xls")
    relations = desk.artefact(OWNER, made("relations", window=512))
    assert "<circle" in export(desk.library, relations, "svg").decode()
    for template in ("relations", "timeline", "themes", "paper"):
        shown = desk.artefact(OWNER, made(template, window=512))
        for chart in fitting(shown):
            for language in ("en", "zh"):
                ElementTree.fromstring(export(desk.library, shown, "svg", language, chart))
            assert export(desk.library, shown, "png", "en", chart).startswith(b"\x89PNG")
    with pytest.raises(FormatUnknown):
        export(desk.library, shown, "svg", "en", "pie")


def test_a_text_without_a_word_is_refused(desk: Desk, runner: Runner, tmp_path: Path) -> None:
    path = tmp_path / "nothing.txt"
    path.write_text("…\n\n— — —\n\n* * *\n", "utf-8")
    run = desk.make(OWNER, "characters", [desk.add(OWNER, path, path.name).document.id])
    runner.run_until([run.job_id])
    shown = desk.artefact(OWNER, run.artefact_id)
    assert shown.version.state == "failed" and "has no text that" in str(shown.version.error)


def test_a_formula_in_a_cell_stays_text(desk: Desk, machine: Machine, made: Callable[..., int]) -> None:
    machine.structured = lambda asked, _: {
        "items": [{"quote": "Hatter in the garden", "front": "=HYPERLINK(1)", "back": "-5"}]
    }
    shown = desk.artefact(OWNER, made("flashcards", parts=1))
    rows = list(csv.reader(io.StringIO(export(desk.library, shown, "csv").decode("utf-8-sig"))))
    assert rows[1][:2] == ["'=HYPERLINK(1)", "-5"]


def test_the_comparison_is_a_row_a_document(desk: Desk, machine: Machine, made: Callable[..., int]) -> None:
    machine.structured = lambda asked, _: {
        "items": [{"quote": "Hatter in the garden", "column": "data", "value": "cats"}]
    }
    shown = desk.artefact(OWNER, made("comparison", inputs={"columns": "data, result"}, parts=1))
    rows = list(csv.reader(io.StringIO(export(desk.library, shown, "csv").decode("utf-8-sig"))))
    assert rows == [["Document", "data", "result"], ["Story", "cats", "–"]]


def test_every_figure_is_collected_whatever_the_model_names(
    desk: Desk, machine: Machine, made: Callable[..., int]
) -> None:
    machine.structured = lambda asked, _: {
        "items": [{"quote": "shows the Cheshire Cat", "label": "Figure 1", "shows": "the cat"}]
    }
    found = items(desk, made("figures"))
    assert [one["label"] for one in found] == [f"Figure {n}" for n in range(1, 10)]
    assert [one["shows"] for one in found[:2]] == ["the cat", "–"]
    assert all(one["label"] in one["evidence"][0]["text"] for one in found)


def test_an_epub_is_one(tmp_path: Path) -> None:
    from app.reading.making.office import Heading, Text, epub

    path = tmp_path / "book.epub"
    path.write_bytes(
        epub("我的书", "zh", [("一", [Heading(1, "一"), Text("很久以前 & 很远。")]), ("二", [Text("完。")])])
    )
    with zipfile.ZipFile(path) as archive:
        assert archive.infolist()[0].filename == "mimetype"
    book = parse_file(path, path.name)
    assert book.title == "我的书" and "很久以前 & 很远。" in book.text


def test_bad_input_is_refused_at_once(desk: Desk, story: int) -> None:
    with pytest.raises(NothingChosen):
        desk.make(OWNER, "timeline", [])
    with pytest.raises(DocumentNotFound):
        desk.make(OWNER, "timeline", [story + 9])
    with pytest.raises(TemplateNotFound):
        desk.make(OWNER, "horoscope", [story])
    with pytest.raises(SchemaTooLong):
        desk.make(OWNER, "quiz", [story], tokens=40)
    assert desk.made(OWNER) == []


def test_nothing_to_make_it_from(desk: Desk, made: Callable[..., int]) -> None:
    shown = desk.artefact(OWNER, made("timeline", chapters=[77]))
    assert shown.version.state == "failed" and "has no text" in str(shown.version.error)


def test_templates_of_ones_own(desk: Desk, made: Callable[..., int]) -> None:
    mine = desk.copy_template(OWNER, "timeline", "my-days")
    assert mine.own and mine.group == "own"
    changed = {**mine.source, "title": "My days"}
    desk.save_template(OWNER, changed)
    assert [one.title["en"] for one in desk.templates(OWNER) if one.own] == ["My days"]
    assert [one for one in desk.templates("another") if one.own] == []
    assert items(desk, made("my-days", parts=1))
    with pytest.raises(TemplateInvalid):
        desk.save_template(OWNER, {**changed, "items": [0, 1]})
    assert desk.template(OWNER, "my-days").title["en"] == "My days"
    for act in (
        lambda: desk.save_template(OWNER, {**changed, "id": "quiz"}),
        lambda: desk.remove_template(OWNER, "quiz"),
    ):
        with pytest.raises(TemplateTaken):
            act()
    desk.remove_template(OWNER, "my-days")
    with pytest.raises(TemplateNotFound):
        desk.template(OWNER, "my-days")


def test_anothers_artefacts_are_not_there(desk: Desk, made: Callable[..., int]) -> None:
    artefact = made("timeline", parts=1)
    with pytest.raises(ArtefactNotFound):
        desk.artefact("another", artefact)


def test_what_repeats_the_question_is_drawn_again(desk: Desk, machine: Machine, made: Callable[..., int]) -> None:
    drawn: list[int] = []

    def say(asked: dict[str, Any], prompt: str) -> Any:
        value = value_of(asked)
        drawn.append(1)
        if len(drawn) == 1:
            value["items"][0]["about"] = "the name as the text writes it"
        return value

    machine.structured = say
    artefact = made("characters", parts=1)
    assert len(drawn) == 2
    assert all("writes it" not in item["about"] for item in items(desk, artefact))
