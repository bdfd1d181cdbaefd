from __future__ import annotations

import pytest

from app.documents import fb2
from app.errors import DocumentDamaged, DocumentEmpty

BOOK = (
    '<?xml version="1.0" encoding="{0}"?><FictionBook xmlns="http://www.gribuser.ru/xml/fictionbook/2.0"><description>'
    "<title-info><author><first-name>Анна</first-name><last-name>Камень</last-name></author><book-title>Лампа"
    "</book-title><lang>ru</lang></title-info></description><body><title><p>Лампа</p></title><section><title><p>Часть</p>"
    "</title><section><title><p>Глава 1.</p><p>Свет</p></title><p>Был <strong>свет</strong>.</p><poem><stanza><v>раз</v>"
    "<v>два</v></stanza></poem></section><section><title><p>Глава 2</p></title><p>Тьма.</p></section></section></body>"
    '<body name="notes"><title><p>Примечания</p></title><section id="n1"><title><p>1</p></title><p>Примечание.</p>'
    '</section></body><binary id="c.jpg" content-type="image/jpeg">AAAA</binary></FictionBook>'
)


@pytest.mark.parametrize("codec", ["utf-8", "windows-1251", "koi8-r"])
def test_sections_notes_and_description(codec: str) -> None:
    document = fb2.parse(BOOK.format(codec).encode(codec), "a.fb2")
    document.check()
    assert (document.title, document.authors, document.language) == ("Лампа", ("Анна Камень",), "ru")
    assert [(c.level, c.kind, c.title) for c in document.chapters] == [
        (1, "body", "Часть"),
        (2, "body", "Глава 1. Свет"),
        (2, "body", "Глава 2"),
        (1, "back", "Примечания"),
        (1, "back", "1"),
    ]
    assert "Был свет.\n\nраз\nдва\n\nГлава 2" in document.text and "AAAA" not in document.text


def test_what_is_no_fb2() -> None:
    for data in (b"<html><body><p>x</p></body></html>", b"no markup at all"):
        with pytest.raises(DocumentDamaged):
            fb2.parse(data, "a.fb2")
    with pytest.raises(DocumentEmpty):
        fb2.parse(b"<FictionBook><body><section/></body></FictionBook>", "a.fb2")


def test_titles_outside_sections_and_titles_of_dots() -> None:
    text = (
        "<FictionBook><body><cite><title><p>One</p></title></cite><section><title><p>.</p></title><p>b</p></section>"
        "</body></FictionBook>"
    )
    document = fb2.parse(text.encode(), "a.fb2")
    document.check()
    assert [(c.level, c.title) for c in document.chapters] == [(1, "One")]
