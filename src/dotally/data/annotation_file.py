"""The care that every reader of annotations takes: files of bounded size, numbers that are some, short messages."""

from pathlib import Path

from dotally.errors import AnnotationError

# larger annotation files are refused before they are read: a million dots take some 20 MB as text
MAX_BYTES = 256 << 20
# a coordinate
LARGEST = 1e9


def read_bytes(path: Path) -> bytes:
    """Read a file of bounded size.

    Raises:
        AnnotationError: It cannot be read, is empty or too large.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise AnnotationError(f"{path}: {size / 1e6:.0f} MB, more than annotations may have ({MAX_BYTES >> 20} MB)")
        content = path.read_bytes()
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read ({error.strerror})") from error
    if not content:
        raise AnnotationError(f"{path}: line 1: the file is empty; annotate the picture again")
    return content


def read_text(path: Path) -> str:
    """Read a text file of bounded size, with or without a byte order mark.

    Raises:
        AnnotationError: It cannot be read, is empty, too large or not in UTF-8.
    """
    content = read_bytes(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise AnnotationError(f"{path}: line {line}: not a text in UTF-8; save it again as that") from error


def shown(value: object) -> str:
    """Return a value out of a file as it may stand in a message: short, and in one line whatever it holds."""
    text = ascii(value) if not isinstance(value, str) or not value.isprintable() else repr(value)
    return text if len(text) <= 42 else f"{text[:40]}..."


def is_number(value: object) -> bool:
    """Tell whether a value is a number that may be a coordinate: finite and below a thousand million."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST


def parse_number(text: str, where: object, what: str) -> float:
    """Parse a coordinate.

    Args:
        text: What stands in the file.
        where: File and line, for the message.
        what: Name of the number, likewise.

    Raises:
        AnnotationError: If it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not is_number(value):
        raise AnnotationError(f"{where}: {what} should be a number, it is {shown(text)}")
    return value
