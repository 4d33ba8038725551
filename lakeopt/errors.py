"""Every error that lakeopt raises on purpose.

::

    LakeoptError                      exit 1
    ├── WorkFailed                    exit 1   the work was tried and did not succeed; the table is as it was
    │   ├── ProofFailed                        written rows differ from the rows that were read
    │   ├── DataFileError                      a data file, footer or manifest is missing or cannot be read
    │   └── NoSpace                            not enough disk for spill or output
    ├── UsageError                    exit 2   what was asked cannot be asked
    │   ├── UnknownName                        no such table, column, strategy, engine, view … (did you mean)
    │   ├── ConfigurationError                 lakeopt.toml, environment or catalog configuration
    │   ├── MissingExtra                       an optional package is not installed
    │   └── Refused                            understood, but not done because it would not be safe
    ├── Unreachable                   exit 3   catalog or storage does not answer
    │   └── CommitOutcomeUnknown               the answer to a commit was lost and the snapshot is not (yet) there
    ├── Stale                         exit 4   the table moved on
    │   ├── StalePlan                          a saved plan no longer holds
    │   └── CommitConflict                     a concurrent change touched what the rewrite replaces
    └── Interrupted                   exit 130 SIGINT or SIGTERM

An error names the thing in one line; ``hint`` names the way out.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LakeoptError(Exception):
    """Base of all errors raised on purpose: one line that names the thing, and a hint.

    >>> str(LakeoptError("no space left", hint="free 2 GB"))
    'no space left'
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def first_line(error: BaseException) -> str:
    """What another library's error says, in one line; the name of its kind where it says nothing.

    >>> first_line(ValueError("no\\nmore")), first_line(EOFError())
    ('no', 'EOFError')
    """
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


class WorkFailed(LakeoptError):
    """The work was tried and did not succeed; the table is as it was."""


class ProofFailed(WorkFailed):
    """The written rows differ from the rows that were read."""


class DataFileError(WorkFailed):
    """A data file, footer or manifest is missing or cannot be read."""


class NoSpace(WorkFailed):
    """Not enough disk for spill or output."""


class UsageError(LakeoptError):
    """What was asked cannot be asked."""

    exit_code = 2


class UnknownName(UsageError):
    """No such table, column, strategy, engine or view; the hint says which names are close.

    >>> error = UnknownName("column", "flihgt", ["flight", "origin"])
    >>> str(error), error.hint
    ("no column named 'flihgt'", "did you mean 'flight'?")
    """

    def __init__(self, what: str, name: str, known: Iterable[str], *, hint: str | None = None) -> None:
        names = sorted(set(known))
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
        if not close:
            folded = {known_name.casefold(): known_name for known_name in names}
            close = [folded[name.casefold()]] if name.casefold() in folded else []
        if close:
            hint = "did you mean " + " or ".join(repr(c) for c in close) + "?"
        elif hint is None and names:
            shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
            hint = f"known: {shown}"
        super().__init__(f"no {what} named {name!r}", hint=hint)


class ConfigurationError(UsageError):
    """lakeopt.toml, the environment or the catalog configuration is wrong."""


class MissingExtra(UsageError):
    """An optional package is not installed.

    >>> MissingExtra("pyspark", "spark").hint
    "pip install 'lakeopt[spark]'"
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"the package {package!r} is not installed", hint=f"pip install 'lakeopt[{extra}]'")


class Refused(UsageError):
    """Understood, but not done, because it would not be safe."""


class Unreachable(LakeoptError):
    """The catalog or the storage does not answer."""

    exit_code = 3


class CommitOutcomeUnknown(Unreachable):
    """The answer to a commit was lost, and our snapshot is not (yet) there: nothing may be deleted."""


class Stale(LakeoptError):
    """The table moved on since the plan was made."""

    exit_code = 4


class StalePlan(Stale):
    """A saved plan no longer holds."""


class CommitConflict(Stale):
    """A concurrent change touched what the rewrite replaces."""


class Interrupted(LakeoptError):
    """SIGINT or SIGTERM: the table is untouched, our own files are removed."""

    exit_code = 130


class Notice(UserWarning):
    """What a run goes on without: told once as a warning, and by the program in one line; no error.

    >>> str(Notice("no leases", hint="pip install obstore"))
    'no leases (hint: pip install obstore)'
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message + (f" (hint: {hint})" if hint else ""))
