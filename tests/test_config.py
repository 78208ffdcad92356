import argparse
import subprocess
import sys

import pytest

from wim_fast import config as configuration
from wim_fast.config import (
    SETTINGS,
    Config,
    add_config_flags,
    config_names,
    config_overrides,
    from_yaml,
    load_config,
    named_config,
    replace,
    to_yaml,
)
from wim_fast.errors import UserError
from wim_fast.sections import MOST_AUTO


def parse(*arguments: str) -> dict:
    parser = argparse.ArgumentParser()
    add_config_flags(parser)
    return config_overrides(parser.parse_args(arguments))


def failure(tmp_path, text: str) -> str:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        load_config(config_file=file)
    assert str(caught.value).startswith(str(file))
    return str(caught.value)


def test_defaults_are_valid_and_documented():
    config = Config()
    for setting in SETTINGS.values():
        assert setting.help
        assert setting.of(config) == setting.default
    assert replace(config) == config


def test_every_number_has_limits():
    for setting in SETTINGS.values():
        if setting.kind in (int, float):
            least = setting.above if setting.minimum is None else setting.minimum
            assert least is not None, setting.name
            assert setting.maximum is not None, setting.name
            assert setting.default is None or setting.is_tuple or least <= setting.default <= setting.maximum


def test_yaml_round_trip(tmp_path):
    config = load_config(
        "1e5", {"frames": "10:50", "train_cameras": [1, 2], "lr_pose": 1e-7, "iterations": 5, "size": None}
    )
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(config))
    assert from_yaml(file) == config
    assert load_config(config_file=file) == config
    assert set(to_yaml(config).split()) >= {f"{name}:" for name in SETTINGS}


def test_yaml_scalars_mean_what_people_mean(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(
        "optimizer:\n  lr_pose: 2e-3\n  clip_norm: 3\nscene:\n  frames: 10:50\n  train_cameras: [08, 9]\n"
    )
    config = from_yaml(file)
    assert config.optimizer.lr_pose == 0.002
    assert config.optimizer.clip_norm == 3.0
    assert isinstance(config.optimizer.clip_norm, float)
    assert config.scene.frames == "10:50"
    assert config.scene.train_cameras == (8, 9)
    (tmp_path / "empty.yaml").write_text("# nothing\nmodel:\n")
    assert from_yaml(tmp_path / "empty.yaml") == Config()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model:\n  prats: 3", "unknown key model.prats. Did you mean model.parts?"),
        ("model:\n  top_parts: 9", "model.top_parts is 9. It must be at most 8."),
        ("preset: slow", "preset is slow. It must be one of fast, paper."),
        ("modell:\n  parts: 3", "unknown key modell. Did you mean model?"),
        ("zzz: 1", "unknown key zzz. Known are scene, model"),
        ("parts: 3", "parts is in no section. Move it under model."),
        ("scene:\n  parts: 3", "scene.parts is in the wrong section. Move it to model."),
        ("scene: dog", "scene is 'dog'. It must hold settings"),
        ("- 1", "holds no sections"),
        ("model:\n  parts: ten", "model.parts is 'ten'. It must be a whole number, or null."),
        ("model:\n  parts: 3.5", "model.parts is 3.5. It must be a whole number, or null."),
        ("model:\n  parts: true", "model.parts is True"),
        ("model:\n  pose_width: null", "model.pose_width is None"),
        ("model:\n  parts: [3]", "model.parts is [3]"),
        ("model:\n  parts: 0", "model.parts is 0. It must be at least 1."),
        ("model:\n  hash_log2_entries: 99", "model.hash_log2_entries is 99. It must be at most 24."),
        ("optimizer:\n  lr_pose: 0", "optimizer.lr_pose is 0. It must be greater than 0."),
        ("optimizer:\n  lr_pose: .nan", "optimizer.lr_pose is nan. It must be finite."),
        ("optimizer:\n  lr_pose: .inf", "optimizer.lr_pose is inf. It must be finite."),
        ("loss:\n  random_background: yes", "loss.random_background is 'yes'. It must be true or false."),
        ("scene:\n  train_cameras: 3", "scene.train_cameras is 3. It must be a list"),
        ("scene:\n  train_cameras: [1, x]", "scene.train_cameras is 'x'"),
        ("scene:\n  train_cameras: [1, -1]", "scene.train_cameras is -1. It must be at least 0."),
        ("scene:\n  train_cameras: []", "scene.train_cameras is empty"),
        ("scene:\n  train_cameras: [1, 1]", "scene.train_cameras names a camera twice"),
        ("scene:\n  train_cameras: [1, 2]\n  test_cameras: [2]", "cameras 2 are in scene.train_cameras and"),
        ("scene:\n  scene: 5", "scene.scene is 5. It must be a text."),
        ("schedule:\n  iterations: 5\n  minutes: 5", "give exactly one"),
        ("schedule:\n  minutes: null", "give exactly one"),
        ("schedule:\n  growth_start: 0.5", "schedule.growth_start 0.5 is after growth_end 0.4"),
        ("model:\n  hash_finest_cell: 1.0", "model.hash_finest_cell 1 is larger than"),
        ("model:\n  parts: 1", "model.top_parts 2 is more than"),
        ("model:\n  parts: 3\n  parts: 4", "parts is there twice"),
        ("model: {parts: 3", "is not valid YAML near line"),
        ("model:\n\tparts: 3", "is not valid YAML"),
        ("? [a]\n: 1", "is not valid YAML"),
        ("a: !!python/object/apply:os.system [ls]", "is not valid YAML"),
    ],
)
def test_bad_files_name_the_key(tmp_path, text, expected):
    assert expected.lower() in failure(tmp_path, text).lower()


def test_files_that_cannot_be_read(tmp_path):
    for path in (tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(UserError, match=str(path)):
            from_yaml(path)
    (tmp_path / "latin.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UserError, match=r"latin\.yaml"):
        from_yaml(tmp_path / "latin.yaml")


def test_every_setting_has_a_flag(capsys):
    parser = argparse.ArgumentParser()
    add_config_flags(parser, skip=("scene",))
    text = parser.format_help()
    for setting in SETTINGS.values():
        assert (setting.flag + " " in text or setting.flag + "\n" in text) == (setting.name != "scene")
    assert parse() == {}


def test_flags():
    assert parse(
        "--train-cameras", "0", "1", "10", "--frames", "0:60", "--parts", "10", "--lr-pose", "1e-3"
    ) == {
        "train_cameras": [0, 1, 10],
        "frames": "0:60",
        "parts": 10,
        "lr_pose": 0.001,
    }
    assert parse("--no-random-background", "--allow-missing", "--size", "none") == {
        "random_background": False,
        "allow_missing": True,
        "size": None,
    }
    assert parse("--parts", "auto", "--frames", "auto") == {
        "parts": None,
        "frames": "auto",
    }  # a text is a text
    with pytest.raises(SystemExit, match="2"):
        parse("--parts", "many")


def test_flags_over_file_over_defaults(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("model:\n  parts: 7\n  top_parts: 3\nschedule:\n  minutes: 3\n")
    config = load_config("folder/of/mine", {"parts": 9, "iterations": 100}, config_file=file)
    assert (config.model.parts, config.model.top_parts, config.model.decoder_layers) == (9, 3, 1)
    assert (config.schedule.iterations, config.schedule.minutes) == (100, None)
    assert config.scene.scene == "folder/of/mine"
    file.write_text("model:\n  parts: auto\n")
    assert load_config("x", config_file=file).model.num_parts == MOST_AUTO
    assert load_config("x", {"parts": "auto"}).model.parts is None
    with pytest.raises(UserError, match="command line: --parts is 0"):
        load_config("x", {"parts": 0})
    with pytest.raises(UserError, match="Give exactly one"):
        load_config("x", {"minutes": 1.0, "iterations": 1})
    with pytest.raises(UserError, match="unknown key part"):
        load_config("x", {"part": 0})
    with pytest.raises(UserError, match="unknown key part"):
        replace(config, part=0)
    assert replace(config, minutes=2).schedule.iterations is None


def test_a_scene_finds_its_own_file(tmp_path, monkeypatch):
    monkeypatch.setattr(configuration, "resource_folder", lambda kind: tmp_path)
    (tmp_path / "spot.yaml").write_text("model:\n  parts: 15\n")
    assert load_config("spot").model.parts == 15
    assert load_config(None, {"scene": "spot"}).model.parts == 15
    assert load_config("data/spot").model.parts == Config().model.parts
    assert load_config("data/spot", config_file="spot").model.parts == 15
    assert named_config("../spot") is None
    assert named_config("") is None


def test_shipped_files_are_valid():
    names = config_names()
    assert {"dog", "rgbd-dog", "atlas", "zju-366"} <= set(names)
    for name in names:
        assert load_config(name).scene.scene == name


def test_a_walking_dog_begins_with_few_frames():
    """Within ten a paw lands where the other one stood, and parts change legs. Others begin with the paper's ten."""
    assert load_config("dog").schedule.initial_frames == 2
    assert load_config("x").schedule.initial_frames == 10


def test_importing_is_light():
    """The configuration and scene rooms load without torch and its company."""
    code = (
        "import sys, wim_fast, wim_fast.config, wim_fast.scene.load;"
        "print([m for m in ('torch', 'scipy', 'skimage', 'numba', 'tensorboard') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_preset_lies_between_defaults_and_file(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("preset: paper\nloss:\n  eikonal_weight: 0.02\n")
    paper, both = load_config("x", {"preset": "paper"}), load_config("x", {"parts": 9}, config_file=file)
    assert (paper.preset, paper.loss.merge_weight, paper.loss.eikonal_weight) == ("paper", 5, 0.2)
    assert (paper.schedule.iterations, paper.schedule.minutes) == (200_000, None)
    assert (both.model.parts, both.loss.merge_weight, both.loss.eikonal_weight) == (9, 5, 0.02)
    fast = load_config("x", {"preset": "fast"}, config_file=file)  # the flag has the last word
    assert (fast.preset, fast.loss.merge_weight, fast.loss.eikonal_weight) == ("fast", 0.2, 0.02)
    assert load_config("x", {"preset": "paper", "minutes": 3.0}).schedule.iterations is None
    file.write_text(to_yaml(both))
    assert from_yaml(file) == both
    with pytest.raises(UserError, match=r"--preset is papers\. It must be one of fast, paper"):
        load_config("x", {"preset": "papers"})
    assert parse("--preset", "paper") == {"preset": "paper"}


def test_the_papers_preset_says_only_what_is_the_papers():
    """It names no recording, no length of logs, no backend."""
    paper, fast = load_config("x", {"preset": "paper"}), load_config("x")
    changed = {setting.key for setting in SETTINGS.values() if setting.of(paper) != setting.of(fast)}
    assert {key.split(".")[0] for key in changed} == {
        "preset", "model", "cameras", "loss", "sampling", "structure", "schedule", "optimizer", "render",
    }  # fmt: skip
    assert "render.backend" not in changed


def test_tables_hold_a_row_for_each_subject(tmp_path, monkeypatch):
    monkeypatch.setattr(configuration, "resource_folder", lambda kind: tmp_path)
    (tmp_path / "tables").mkdir()
    table = tmp_path / "tables" / "robots.yaml"
    table.write_text(
        "loss:\n  merge_weight: 3\nsubjects:\n  spot: {parts: 15}\n  iiwa: {parts: 8, prats: 1}\n"
    )
    config = load_config("spot")
    assert (config.model.parts, config.loss.merge_weight) == (15, 3)
    assert config_names() == ["iiwa", "spot"]
    with pytest.raises(UserError, match=r"subjects\.iiwa\.prats. Did you mean subjects\.iiwa\.parts"):
        load_config("iiwa")
    with pytest.raises(UserError, match=r"is a table of subjects\. Name one of them: spot, iiwa"):
        load_config(config_file=table)


def test_settings_of_older_runs_are_read(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("loss:\n  guide_final_share: 0.5\n")
    assert from_yaml(file).loss.silhouette_final_share == 0.5


def test_the_kernels_have_room_for_the_top_parts():
    from wim_fast.ops.articulated.reference import MAX_CANDIDATES
    from wim_fast.sections import MOST_TOP_PARTS

    assert MOST_TOP_PARTS == MAX_CANDIDATES
