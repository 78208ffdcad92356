"""Checkpoints and the run folder: nothing is lost, and bad files say what is wrong."""

import dataclasses
import errno
import io
import os
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_run import SETTINGS, differences, tiny_scene

from wim_fast.config import Config, load_config, to_yaml
from wim_fast.errors import UserError
from wim_fast.model.motion import Motion, joint_positions
from wim_fast.ops.backend import select_backend
from wim_fast.runs.run import load_run
from wim_fast.scene.load import load_scene
from wim_fast.scene.scene import Scene
from wim_fast.training.checkpoint import FORMAT_VERSION, TrainedOn, load_checkpoint, restore, snapshot
from wim_fast.training.run_folder import RunFolder
from wim_fast.training.trainer import Trainer


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return load_scene(tiny_scene(tmp_path_factory.mktemp("scene") / "tiny"))


@pytest.fixture(scope="module")
def config(scene: Scene) -> Config:
    return load_config(str(scene.path), SETTINGS)


def make_trainer(scene: Scene, config: Config, steps: int = 0) -> Trainer:
    trainer = Trainer(scene, config, 60, select_backend("numba"))
    for _ in range(steps):
        trainer.train_step()
    return trainer


def trained_on(scene: Scene) -> TrainedOn:
    return TrainedOn(scene.frame_ids, scene.cameras.ids, scene.coordinate_scale)


@pytest.fixture
def run(scene: Scene, config: Config, tmp_path: Path) -> tuple[RunFolder, Trainer]:
    """A run of 7 steps."""
    trainer, folder = make_trainer(scene, config, 7), RunFolder(tmp_path / "run")
    folder.create(to_yaml(config))
    folder.save(trainer, trained_on(scene))
    return folder, trainer


def test_a_restored_trainer_goes_on_as_the_one_that_was_saved(run, scene, config):
    folder, trainer = run
    other = make_trainer(scene, config, 3)
    restore(other, load_checkpoint(folder.all_checkpoints()[-1]))
    assert differences(snapshot(trainer), snapshot(other)) == []
    for _ in range(40):  # across frames added, trees chosen anew and the merge loss
        trainer.train_step()
        other.train_step()
    assert differences(snapshot(trainer), snapshot(other)) == []


def test_a_snapshot_is_a_copy(scene, config):
    trainer = make_trainer(scene, config, 2)
    state = snapshot(trainer)
    trainer.train_step()
    assert "/model/field.table" in differences(state, snapshot(trainer))
    restore(trainer, state)
    assert trainer.step == 2


def test_only_the_newest_checkpoints_stay(run, scene):
    folder, trainer = run
    for _ in range(3):
        trainer.train_step()
        folder.save(trainer, trained_on(scene))
    assert [path.name for path in folder.all_checkpoints()] == ["step_00000009.pt", "step_00000010.pt"]


def test_load_run_gives_the_model_and_what_it_was_trained_on(run, scene, config):
    folder, trainer = run
    loaded = load_run(folder.path)
    assert (loaded.step, loaded.iterations, loaded.config) == (7, 60, config)
    assert loaded.frame_ids == scene.frame_ids
    assert loaded.camera_ids == scene.cameras.ids
    assert loaded.inv_s == trainer.inv_s
    assert differences(loaded.model.state_dict(), trainer.model.state_dict()) == []
    again = loaded.load_scene(cameras=[2])
    assert again.coordinate_scale == scene.coordinate_scale
    np.testing.assert_array_equal(again.cameras.T_camera_world[0], scene.cameras.T_camera_world[2])


def test_the_trajectory_is_in_the_units_of_the_files(run, scene):
    folder, trainer = run
    scale = scene.coordinate_scale
    assert scale != 1
    with torch.no_grad():
        rotation, translation = (x.numpy() for x in trainer.model.trajectory(torch.arange(6)))
    axes, joints = trainer.model.semi_axes.detach().numpy(), trainer.model.joints
    folder.write_results(trainer, trained_on(scene))
    with np.load(folder.trajectory) as data:
        bodies = data["body_of_part"].max() + 1
        assert {key: value.shape for key, value in data.items()} == {
            "part_rotation": (6, 3, 3, 3),
            "part_translation": (6, 3, 3),
            "semi_axes": (3, 3),
            "edges": (2, 2),
            "joint_position": (6, 2, 3),
            "part_of_joint": (2, 2),
            "body_of_part": (3,),
            "body_edges": (bodies - 1, 2),
            "body_joint_position": (6, bodies - 1, 3),
            "frame_ids": (6,),
        }
        np.testing.assert_array_equal(data["part_rotation"], rotation)
        np.testing.assert_allclose(data["part_translation"], scale * translation, rtol=1e-6)
        np.testing.assert_allclose(data["semi_axes"], scale * axes, rtol=1e-6)
        np.testing.assert_array_equal(data["part_of_joint"], data["edges"])
        expected = joint_positions(
            Motion(rotation, scale * translation), scale * axes, data["edges"], joints.edge_candidates.numpy()
        )
        np.testing.assert_allclose(data["joint_position"], expected, atol=1e-6)


def test_results_are_of_the_newest_checkpoint_or_not_there(run, scene):
    """Training that goes on has none until it ends or stops: they take longer than a checkpoint."""
    folder, trainer = run
    folder.write_results(trainer, trained_on(scene))
    folder.cameras.write_text("{}")
    trainer.train_step()
    folder.save(trainer, trained_on(scene))
    assert not folder.trajectory.exists()
    assert not folder.cameras.exists()


def test_a_full_disk_leaves_the_last_checkpoint_and_no_unfinished_file(run, scene, monkeypatch):
    folder, trainer = run
    before = load_checkpoint(folder.all_checkpoints()[-1])

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    trainer.train_step()
    with pytest.raises(OSError, match="No space left"):
        folder.save(trainer, trained_on(scene))
    assert [path.name for path in folder.checkpoints.iterdir()] == ["step_00000007.pt"]
    assert differences(before, load_checkpoint(folder.all_checkpoints()[-1])) == []


def test_what_a_killed_process_left_half_written_goes(run, config):
    folder, _ = run
    unfinished = folder.checkpoints / ".step_00000008.pt.123.tmp"
    unfinished.write_bytes(b"half")
    folder.create(to_yaml(config))
    assert not unfinished.exists()
    assert len(folder.all_checkpoints()) == 1


class TestBadRuns:
    def test_no_such_run(self, tmp_path):
        with pytest.raises(UserError, match="there is no such run"):
            load_run(tmp_path / "nowhere")

    def test_not_a_run(self, tmp_path):
        with pytest.raises(UserError, match=r"is not a run: it has no config\.yaml"):
            load_run(tmp_path)

    def test_no_checkpoint(self, run):
        folder, _ = run
        folder.all_checkpoints()[-1].unlink()
        with pytest.raises(UserError, match="has no checkpoint"):
            load_run(folder.path)

    def test_newer_format(self, run):
        folder, _ = run
        path = folder.all_checkpoints()[-1]
        content = torch.load(path, weights_only=True)
        torch.save({**content, "version": FORMAT_VERSION + 1}, path)
        with pytest.raises(UserError, match=rf"newer format version {FORMAT_VERSION + 1}.*Update wim-fast"):
            load_run(folder.path)

    @pytest.mark.parametrize("keep", [0, 10, 5000])
    def test_damaged_checkpoint(self, run, keep):
        folder, _ = run
        path = folder.all_checkpoints()[-1]
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(UserError, match="is damaged") as caught:
            load_run(folder.path)
        assert "\n" not in str(caught.value)

    def test_a_flipped_bit(self, run):
        """In whatever is stored: the checksums of the archive are compared."""
        folder, _ = run
        path = folder.all_checkpoints()[-1]
        whole = path.read_bytes()
        for record in zipfile.ZipFile(path).infolist():
            content = bytearray(whole)
            content[record.header_offset + 30 + len(record.filename) + 64 + record.file_size // 2] ^= 4
            path.write_bytes(content)
            with suppress(UserError):  # it fell into the padding
                assert (
                    differences(load_checkpoint(path), torch.load(io.BytesIO(whole), weights_only=True)) == []
                )

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("step", -1), ("step", "7"), ("coordinate_scale", float("nan")), ("inv_s", 0.0), ("frame_ids", ("a",)),
            ("camera_ids", ()), ("model", {"field.table": torch.tensor([float("nan")])}), ("model", 3), ("pace", None),
            ("optimizer", None), ("generator", 4),
        ],
    )  # fmt: skip
    def test_what_cannot_be(self, run, key, value):
        folder, _ = run
        path = folder.all_checkpoints()[-1]
        torch.save({**torch.load(path, weights_only=True), key: value}, path)
        with pytest.raises(UserError, match="is damaged"):
            load_run(folder.path)

    def test_settings_that_are_not_as_they_were_written(self, run):
        folder, _ = run
        text = folder.config.read_text()
        folder.config.write_text(text.replace("background: 1.0", "background: 0.0"))
        with pytest.raises(UserError, match="not as it was written"):
            load_run(folder.path)
        folder.config.write_text(text.partition("\n")[2])  # a person who means it removes the first line
        load_run(folder.path)

    def test_a_pickle_that_would_run_code(self, run, tmp_path):
        class Attack:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "attacked"),)

        folder, _ = run
        torch.save(Attack(), folder.all_checkpoints()[-1])
        with pytest.raises(UserError, match="is damaged"):
            load_run(folder.path)
        assert not (tmp_path / "attacked").exists()

    def test_another_file_of_torch(self, run):
        folder, _ = run
        torch.save({"weights": torch.zeros(3)}, folder.all_checkpoints()[-1])
        with pytest.raises(UserError, match="is not a checkpoint of wim-fast"):
            load_run(folder.path)

    def test_settings_of_another_model(self, run, config):
        folder, _ = run
        other = dataclasses.replace(config, model=dataclasses.replace(config.model, parts=5))
        folder.config.write_text(to_yaml(other))
        with pytest.raises(UserError, match="does not fit the model settings"):
            load_run(folder.path)
