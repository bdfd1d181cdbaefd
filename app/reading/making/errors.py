"""What can be wrong with a template, an artefact or what was asked of them. Each message is the remedy.

LecternError
└── MakingError
    ├── TemplateInvalid(id, where, reason)
    ├── TemplateNotFound(id)
    ├── TemplateTaken(id)
    ├── InputInvalid(name, reason)
    ├── NothingToMake(template, titles)
    ├── ArtefactNotFound(id)
    ├── VersionNotFound(id, number)
    ├── ArtefactUnfinished(id)
    ├── ContentInvalid(reason)
    ├── FormatUnknown(format, known)
    └── StepFailed(reason)
"""

from __future__ import annotations

from collections.abc import Sequence

from app.errors import LecternError


class MakingError(LecternError):
    """Base of what is refused or fails in making artefacts."""


class TemplateInvalid(MakingError):
    """``where`` is the path of the mistake in the template."""

    def __init__(self, id: str, where: str, reason: str) -> None:
        super().__init__(id, where, reason)
        self.id, self.where, self.reason = id, where, reason

    def __str__(self) -> str:
        place = f", at {self.where}" if self.where else ""
        return f"The template {self.id!r} has a mistake{place}: {self.reason}. Correct it and save it again."


class TemplateNotFound(MakingError):
    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.id = id

    def __str__(self) -> str:
        return f"There is no template {self.id!r}. `lectern templates` lists those that exist."


class TemplateTaken(MakingError):
    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.id = id

    def __str__(self) -> str:
        return f"A template of Lectern's own is called {self.id!r}. Give your copy another id."


class InputInvalid(MakingError):
    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return f"“{self.name}” cannot be used: {self.reason}."


class NothingToMake(MakingError):
    """No sentence of the documents is what the template is about."""

    def __init__(self, template: str, titles: Sequence[str]) -> None:
        super().__init__(template, tuple(titles))
        self.template, self.titles = template, tuple(titles)

    def __str__(self) -> str:
        titles = ", ".join(f"“{title}”" for title in self.titles)
        return f"{titles} has no text that “{self.template}” could be made from. Choose other documents or chapters."


class ArtefactNotFound(MakingError):
    def __init__(self, id: int) -> None:
        super().__init__(id)
        self.id = id

    def __str__(self) -> str:
        return f"There is no artefact {self.id}. `lectern artefacts` lists those that exist."


class VersionNotFound(MakingError):
    def __init__(self, id: int, number: int) -> None:
        super().__init__(id, number)
        self.id, self.number = id, number

    def __str__(self) -> str:
        return f"The artefact {self.id} has no version {self.number}. `lectern artefact {self.id}` names its versions."


class ArtefactUnfinished(MakingError):
    def __init__(self, id: int) -> None:
        super().__init__(id)
        self.id = id

    def __str__(self) -> str:
        return f"Nothing of the artefact {self.id} is made yet. Let it be made first: `lectern make --go-on {self.id}`."


class ContentInvalid(MakingError):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"This cannot be saved: {self.reason}. The version before it is unchanged."


class FormatUnknown(MakingError):
    def __init__(self, format: str, known: Sequence[str]) -> None:
        super().__init__(format, tuple(known))
        self.format, self.known = format, tuple(known)

    def __str__(self) -> str:
        return f"It cannot be exported as {self.format!r}. It can be as {', '.join(self.known)}."


class StepFailed(MakingError):
    """One step came to nothing; the others stand."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"This part came to nothing: {self.reason}. Try it again alone."
