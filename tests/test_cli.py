"""The command line's own behaviour: help, errors, exit codes."""

import subprocess
import sys
import types
import warnings

import pytest

import wim_fast.cli
from wim_fast.cli import COMMANDS, main
from wim_fast.errors import SceneWarning, UserError


@pytest.fixture
def command(monkeypatch):
    """Replaces `wim-fast merge` by a function."""

    def install(function):
        module = types.SimpleNamespace(
            add_arguments=lambda parser: parser.add_argument("--number", type=int), run=function
        )
        monkeypatch.setattr(wim_fast.cli.importlib, "import_module", lambda name: module)

    return install


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    output = capsys.readouterr().out
    assert all(name in output for name in COMMANDS)


def test_help_of_a_command_comes_without_torch():
    code = (
        "import sys; from wim_fast.cli import main\n"
        "try: main(['train', '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'numba', 'scipy', 'rich'} & set(sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    for flag in ("--scene", "--resume", "--minutes", "--train-cameras", "--lr-grid", "--threads"):
        assert flag in result.stdout


def test_python_m_wim_fast_is_the_command():
    arguments = [sys.executable, "-m", "wim_fast", "--version"]
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0
    assert result.stdout.startswith("wim-fast ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["train", "--scen", "dog"], "unknown argument --scen, did you mean --scene?"),
        (["train", "--parts", "many"], "argument --parts: invalid whole number value: 'many'"),
        (["train", "--train-cameras"], "argument --train-cameras: expected at least one argument"),
        (["train", "dog"], "unknown argument dog"),
    ],
)
def test_bad_flags(capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert message in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--parts", "0"], "--parts is 0. It must be at least 1"),
        (["--iterations", "5", "--minutes", "5"], "schedule.iterations or schedule.minutes"),
        (["--frames", "some"], "is not a range of frames"),
    ],
)
def test_impossible_values(capsys, arguments, message):
    assert main(["train", *arguments]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert message in errors
    assert errors.count("\n") == 1


def test_user_errors_have_no_traceback(command, capsys):
    def fail(args):
        raise UserError("file.png", "is broken", "write it again")

    command(fail)
    assert main(["merge"]) == 2
    assert capsys.readouterr().err == "error: file.png: is broken. Write it again.\n"


def test_defects_are_not_hidden(command):
    def fail(args):
        raise ZeroDivisionError

    command(fail)
    with pytest.raises(ZeroDivisionError):
        main(["merge"])


def test_an_interrupt_is_quiet(command, capsys):
    def interrupt(args):
        raise KeyboardInterrupt

    command(interrupt)
    assert main(["merge"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_warnings_about_scenes_are_one_line_each(command, capsys):
    def warn(args):
        for _ in range(2):
            warnings.warn("the cameras are close together", SceneWarning, stacklevel=2)

    command(warn)
    assert main(["merge", "--number", "3"]) == 0
    assert capsys.readouterr().err == 2 * "warning: the cameras are close together\n"
