"""Documents: a file on disk becomes one canonical text with chapters, paragraphs and pages."""

from app.documents.formats import FORMATS, LABELS, SUFFIXES
from app.documents.model import Chapter, Document, Format, Page, Paragraph
from app.documents.parse import FILE_LIMIT, PARSER_VERSION, parse_file, refuse_at_the_door
from app.documents.sandbox import parse_in_process

__all__ = [
    "FILE_LIMIT",
    "FORMATS",
    "LABELS",
    "PARSER_VERSION",
    "SUFFIXES",
    "Chapter",
    "Document",
    "Format",
    "Page",
    "Paragraph",
    "parse_file",
    "parse_in_process",
    "refuse_at_the_door",
]
