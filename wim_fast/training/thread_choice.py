"""As many threads of the compiled kernels as are fastest at the time.

Beside other programs, threads that wait for one that has no core lose more than they gain: beside one busy program for
each of two cores one thread is 1.4 times as fast as two (docs/results.md). Results do not depend on their number.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable

import numba

from wim_fast.training.learner import Learner

COMPARED = 6  # steps of each of two numbers of threads
FASTER = 0.95  # of the time of a step that another number must take to be chosen
CHANGED = 1.3  # times slower or faster than when last compared: steps are compared anew at once
SHORTEST, LONGEST = 50, 400  # steps between comparisons: twice as many each time that nothing changes


class ThreadChoice:
    """Now and then tries half or twice as many threads for a few steps, and keeps what is faster; made before a step."""

    def __init__(
        self, most: int, use: Callable[[int], None], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.most, self.use, self.clock = most, use, clock
        self.count = most
        self.tried = 0  # how many threads are being tried; 0 for none
        self.fewer = False  # than `count` were tried last
        self.times: deque[float] = deque(maxlen=COMPARED)  # of the last steps with `count` threads
        self.trial: list[float] = []  # of the steps with as many as are tried
        self.usual = 0.0  # time of a step when last compared; 0 before that
        self.pause = self.wait = SHORTEST
        self.last = clock()

    @classmethod
    def of(cls, trainer: Learner) -> ThreadChoice:
        """Of a training: up to as many as its process may have; of several processes and on a GPU always these."""
        alone = trainer.backend.name == "numba" and trainer.processes.count == 1
        return cls(numba.get_num_threads(), numba.set_num_threads) if alone else cls(1, lambda _: None)

    def stepped(self) -> None:
        """After every step."""
        if self.most == 1:
            return
        now = self.clock()
        seconds, self.last = now - self.last, now
        if self.tried:
            self.trial.append(seconds)
            if len(self.trial) > COMPARED:
                self._choose()
            return
        self.times.append(seconds)
        self.wait -= 1
        if self.wait <= 0 or self._changed():
            self._try()

    def end(self) -> None:
        """All threads are used again."""
        self.use(self.most)

    def _changed(self) -> bool:
        """Whether steps take another time than they did."""
        if len(self.times) < COMPARED or self.usual == 0:
            return False
        ratio = statistics.median(self.times) / self.usual
        return not 1 / CHANGED < ratio < CHANGED

    def _try(self) -> None:
        """Half as many threads, or twice as many, in turn where both are possible."""
        self.fewer = self.count == self.most or (self.count > 1 and not self.fewer)
        self.tried = max(self.count // 2, 1) if self.fewer else min(2 * self.count, self.most)
        self.trial = []
        self.use(self.tried)

    def _choose(self) -> None:
        """The faster of the two numbers; the first step after a change tells nothing."""
        before, after = statistics.median(self.times), statistics.median(self.trial[1:])
        if after < FASTER * before:
            self.count, self.usual, self.pause = self.tried, after, SHORTEST
            self.times.clear()
        else:
            self.usual, self.pause = before, min(2 * self.pause, LONGEST)
            self.use(self.count)
        self.tried, self.wait = 0, self.pause
