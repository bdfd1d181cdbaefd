"""What is shown on a terminal, and on what is none."""

from __future__ import annotations

from app.terminal import Status, one_line, printable


def test_a_terminal_is_not_commanded_by_a_book() -> None:
    assert printable("a\x1b[2J\x07b\u202ec\r\n\td") == "a[2Jbc\n\td"
    assert one_line(" a \n\x1b b ") == "a b"
    assert printable("誰 é 👩‍👩‍👧") == "誰 é 👩‍👩‍👧"


class Terminal:
    def __init__(self, tty: bool) -> None:
        self.tty, self.text = tty, ""

    def isatty(self) -> bool:
        return self.tty

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


def test_progress_is_one_line_on_a_terminal_and_few_lines_elsewhere() -> None:
    terminal, file = Terminal(tty=True), Terminal(tty=False)
    for stream in (terminal, file):
        with Status(stream) as status:  # type: ignore[arg-type]
            for done in range(0, 100, 10):
                status.share("reading", done, 100, 50.0, 120.0)
            status.say("done")
    assert terminal.text.count("\n") == 1
    assert "reading 90 % · 50 tokens/s · 2 min left" in terminal.text
    assert terminal.text.endswith("\r\x1b[Kdone\n")
    assert file.text == "reading 0 % · 50 tokens/s · 2 min left\ndone\n"
