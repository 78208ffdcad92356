"""The number of threads follows what is fastest, and trying costs next to nothing."""

import pytest

from wim_fast.training.thread_choice import LONGEST, ThreadChoice


class Machine:
    """A clock, and how long a step takes with each number of threads."""

    def __init__(self, **seconds):
        self.now, self.threads, self.taken = 0.0, 0, []
        self.seconds = seconds

    def use(self, count):
        self.threads = count

    def run(self, choice, steps):
        self.taken = []
        for step in range(steps):
            self.now += self.seconds[f"t{self.threads}"] * (1 + 0.2 * (step % 3 == 0))
            self.taken.append(self.threads)
            choice.stepped()


def started(most, **seconds):
    machine = Machine(**seconds)
    machine.use(most)
    return machine, ThreadChoice(most, machine.use, lambda: machine.now)


def test_quiet_machine_keeps_all_threads():
    machine, choice = started(2, t1=1.3, t2=1.0)
    machine.run(choice, 2000)
    assert machine.taken.count(1) < 0.03 * 2000
    machine.run(choice, LONGEST)
    assert machine.taken.count(2) > 0.95 * LONGEST


def test_threads_that_wait_are_given_up_and_taken_back():
    machine, choice = started(2, t1=1.3, t2=1.0)
    machine.run(choice, 1000)
    machine.seconds = {
        "t1": 2.0,
        "t2": 3.0,
    }  # another program begins: steps that became slower are reason enough
    machine.run(choice, 20)
    assert choice.count == 1
    machine.seconds = {"t1": 1.3, "t2": 1.0}
    machine.run(choice, LONGEST + 50)
    assert choice.count == 2


@pytest.mark.parametrize(("best", "seconds"), [(8, (4, 3, 2, 1)), (2, (2, 1, 2, 3)), (1, (1, 2, 3, 4))])
def test_halves_and_doubles(best, seconds):
    machine, choice = started(8, **dict(zip(("t1", "t2", "t4", "t8"), seconds, strict=True)))
    machine.run(choice, 4 * LONGEST)
    assert choice.count == best
    assert machine.taken[-LONGEST:].count(best) > 0.9 * LONGEST


def test_uneven_numbers_stay_possible():
    machine, choice = started(6, t1=9.0, t3=2.0, t6=1.0)
    machine.run(choice, 1000)
    machine.seconds = {"t1": 1.0, "t2": 2.0, "t3": 2.5, "t6": 9.0}
    machine.run(choice, 1000)
    assert choice.count == 1
    machine.seconds = {"t1": 8.0, "t2": 4.0, "t4": 2.0, "t6": 1.0, "t3": 3.0}
    machine.run(choice, 4 * LONGEST)
    assert choice.count == 6


def test_one_thread_has_no_choice():
    machine, choice = started(1, t1=1.0)
    machine.run(choice, 500)
    assert set(machine.taken) == {1}
