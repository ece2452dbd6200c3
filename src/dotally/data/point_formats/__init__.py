"""Formats of dots, one file each: ``read(path) -> list[Dots]``, and never another error than AnnotationError."""

from dotally.data.point_formats.dots import Dots
from dotally.data.point_formats.formats import READERS, SUFFIXES, Format, format_of

__all__ = ["READERS", "SUFFIXES", "Dots", "Format", "format_of"]
