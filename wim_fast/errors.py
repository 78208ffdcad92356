"""What goes wrong for a person, as opposed to a defect of the program."""

from __future__ import annotations

from pathlib import Path


class UserError(Exception):
    """Input that cannot be used: where it is, what is wrong with it, and what to do about it.

    The command line prints it as one line and exits with code 2, without a traceback.
    """

    def __init__(self, where: str | Path, problem: str, remedy: str) -> None:
        super().__init__(where, problem, remedy)
        self.where = where
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        remedy = self.remedy.strip()
        remedy = remedy[:1].upper() + remedy[1:]
        ending = "" if remedy.endswith((".", "?", "!")) or not remedy else "."
        return f"{self.where}: {self.problem.strip().rstrip('.')}. {remedy}{ending}".rstrip()


class SceneWarning(UserWarning):
    """A scene can be used, but the person should know something about it."""


class GpuWarning(UserWarning):
    """There is a GPU, and it is not used: why."""
