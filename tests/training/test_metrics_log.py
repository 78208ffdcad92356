import json
import os
from types import SimpleNamespace

import pytest
import torch
from errors import refused

from wim_fast.training.metrics_log import MetricsLog
from wim_fast.training.run_folder import RunFolder
from wim_fast.training.step_report import StepReport


def report(photo: float, dropped: float) -> StepReport:
    return StepReport(("photo",), torch.tensor([photo, 0.01, 100.0, dropped, 300.0, 0.0]), num_rays=64)


def trainer_at(step: int) -> SimpleNamespace:
    return SimpleNamespace(
        step=step, iterations=100, progress=step / 100, active_frames=6, facts={"inv_s": 90.0}
    )


def test_rows_are_means(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create("")
    with MetricsLog(folder, 0, 2) as log:
        for step, (photo, dropped) in enumerate(
            [(1.0, 0), (3.0, 0), (1.0, 7), (1.0, 5), (1.0, 9), (1.0, 0)], 1
        ):
            log.add(report(photo, dropped), trainer_at(step))
    rows = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4, 6]
    assert rows[0]["losses"] == {"photo": pytest.approx(2.0)}
    assert rows[0]["psnr"] == pytest.approx(20.0)
    assert [row["samples_dropped"] for row in rows] == [0, 12, 9]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a POSIX system")
def test_a_pipe_in_the_place_of_the_file_is_not_waited_for(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create("")
    os.mkfifo(folder.metrics)
    with refused(folder.metrics, "is a pipe"), MetricsLog(folder, 0, 2):
        pass
