"""How fast a training goes through its schedule: so many steps, or as many as fit into its minutes."""

from __future__ import annotations

from dataclasses import dataclass

from wim_fast.errors import UserError

GUESS = 1000  # steps that are expected before the first was timed


@dataclass(frozen=True)
class Pace:
    """How progress, the share of the schedule that is done, follows from the number of steps taken.

    It grows evenly, to be 1 at the step at which training ends. Where that is expected may change on the way: from
    there progress grows faster or slower, but never jumps.

    Attributes:
        changes: (step, iterations) in the order of the steps, the first at step 0: from this step on, it was to end
            after so many iterations.
    """

    changes: tuple[tuple[int, int], ...]

    @classmethod
    def steady(cls, iterations: int) -> Pace:
        """The same all the way: progress is step / iterations."""
        return cls(((0, iterations),))

    @classmethod
    def parse(cls, text: str) -> Pace:
        """From what `str` gives, such as "0:1000 1:620"; UserError if it is not a pace."""
        try:
            changes = tuple((int(step), int(end)) for step, end in (word.split(":") for word in text.split()))
        except ValueError:
            changes = ()
        steps = [step for step, _ in changes]
        ends = [end for _, end in changes]
        follows = all(a < b < end for a, b, end in zip(steps, steps[1:], ends, strict=False))
        if not changes or steps[0] != 0 or not follows or ends[-1] < max(steps[-1], 1):
            example = "give STEP:ITERATIONS ... from step 0 on, each step before the iterations left of it"
            raise UserError("schedule.pace", f"{text!r} is not a pace", example)
        return cls(changes)

    def __str__(self) -> str:
        return " ".join(f"{step}:{iterations}" for step, iterations in self.changes)

    @property
    def iterations(self) -> int:
        """After how many steps training ends, as far as is known."""
        return self.changes[-1][1]

    def progress(self, step: int) -> float:
        """Share of the schedule done after so many steps: 0 at first, 1 from the last step on."""
        if step >= self.iterations:
            return 1.0
        done = 0.0
        untils = [start for start, _ in self.changes[1:]]
        for (start, end), until in zip(self.changes, [*untils, step], strict=True):
            if start >= step:
                break
            done += (1 - done) * (min(until, step) - start) / (end - start)
        return done

    def changed(self, step: int, iterations: int) -> Pace:
        """From `step` on, which is no earlier than the last change, so that it ends after `iterations`, at least `step`."""
        before = tuple(change for change in self.changes if change[0] < step)
        return Pace((*before, (step, max(iterations, step))))
