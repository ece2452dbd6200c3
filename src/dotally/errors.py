"""Errors a user can act on: one clear line each, saying what was wrong, where, and what to do."""


class DotallyError(Exception):
    """Base of every error that is the input's fault, not the program's.

    The command line prints the message alone, without a traceback, and leaves with ``exit_code``.
    """

    exit_code = 2


class DataError(DotallyError):
    """A data set is missing, incomplete or not what its name promises."""


class AnnotationError(DataError):
    """An annotation file cannot be understood; the message names the file and, where it has lines, the line."""


class PictureError(DataError):
    """A picture is unreadable, truncated or larger than allowed."""


class WeightsError(DotallyError):
    """A weights file is damaged, unknown or made for another network."""


class TrainingError(DotallyError):
    """Training broke down, for instance because the loss became NaN."""

    exit_code = 1
