"""Help and bad flags of the commands that look at a run come at once: nothing heavy is imported for them."""

from __future__ import annotations

import subprocess
import sys


def test_help_comes_without_torch() -> None:
    code = (
        "import sys; from wim_fast.cli import main\n"
        "for command in ('evaluate', 'render', 'render-novel-pose', 'merge'):\n"
        "    try: main([command, '--help'])\n"
        "    except SystemExit: pass\n"
        "assert not {'torch', 'numba', 'scipy', 'rich', 'PIL'} & set(sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    for flag in ("--cameras", "--turntable", "--pose", "--drive", "--list-joints", "--parts-found"):
        assert flag in result.stdout
