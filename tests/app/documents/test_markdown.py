from __future__ import annotations

import pytest

from app.documents.markdown import parse
from app.errors import DocumentEmpty

SAMPLE = """\
---
title: "A Book of Tests"
author:
  - Ada Stone
  - name: "Bo Reed"
lang: en-GB
---

# A Book of Tests

Some *prose* that is
wrapped here.
A hard break{two}
stays.

## One `code` [link](http://x) {#one}

- item
- item two
  continued

```python
# not a heading

x = 1
```

Two
---

> quoted
> text

| a | b |
|---|---|
| 1 | 2 |

<!-- a
comment -->
![a lamp](data:image/png;base64,AAAA) text

### Deeper ###

End.
""".replace("{two}", "  ")  # spaces that an editor would strip


def test_a_whole_file() -> None:
    document = parse(SAMPLE.encode(), "tests.md")
    document.check()
    assert (document.title, document.authors, document.language) == ("A Book of Tests", ("Ada Stone", "Bo Reed"), "en")
    # the one first-level heading is the title
    assert [(c.level, c.title) for c in document.chapters] == [(1, "One code link"), (1, "Two"), (2, "Deeper")]
    blocks = [document.text[p.start : p.end] for p in document.paragraphs]
    assert blocks == [
        "A Book of Tests",
        "Some *prose* that is wrapped here. A hard break\nstays.",
        "One `code` [link](http://x) {#one}",
        "- item\n- item two\n  continued",
        "```python\n# not a heading",
        "x = 1\n```",
        "Two",
        "> quoted\n> text",
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "a lamp text",
        "Deeper",
        "End.",
    ]


def test_several_first_level_headings_are_chapters() -> None:
    document = parse(b"# One\n\ntext\n\n# Two\n\ntext\n", "notes.md")
    assert [c.title for c in document.chapters] == ["One", "Two"]
    assert document.title == "One"


def test_a_text_without_headings_takes_its_name_from_the_file() -> None:
    document = parse("只有一段话，没有标题。".encode("gb18030"), "my_notes.md")
    assert (document.title, document.text, document.language) == ("My Notes", "只有一段话，没有标题。", "zh")
    assert document.chapters == ()


def test_a_rule_at_the_top_is_no_front_matter() -> None:
    document = parse(b"---\n\nJust prose between rules.\n\n---\n\nMore.\n", "x.md")
    assert "Just prose between rules." in document.text


def test_an_unclosed_fence_loses_nothing() -> None:
    assert parse(b"```\ncode\n\n# more", "x.md").text == "```\ncode\n\n# more"


@pytest.mark.parametrize("text", ["---\ntitle: x\n---\n", "<!-- only a comment -->", " \n"])
def test_nothing_to_read(text: str) -> None:
    with pytest.raises(DocumentEmpty):
        parse(text.encode(), "x.md")
