import pytest

from wim_fast.config import load_config


@pytest.mark.parametrize(
    ("name", "cameras", "parts", "scale"),
    [
        ("atlas", (0, 2, 5, 13, 18), 20, 1.0),
        ("baxter", (0, 2, 5, 13, 18), 20, 1.0),
        ("spot", (0, 2, 5, 10, 13), 15, 1.0),
        ("pandas", (0, 2, 5, 10, 13), 10, 1.0),
        ("cassie", (0, 3, 5, 10, 13), 15, 1.0),
        ("iiwa", (0, 2, 4, 5, 13), 8, 1.0),
        ("nao", (7, 10, 11, 14, 15), 20, 0.333),
    ],
)
def test_robots(name, cameras, parts, scale):
    config = load_config("some/folder", config_file=name)
    assert (config.scene.scene, config.scene.train_cameras) == ("some/folder", cameras)
    assert (config.scene.frames, config.scene.coordinate_scale) == ("0:300", scale)
    assert (config.model.parts, config.model.pose_frequencies) == (parts, 30)
    assert config.scene.background == 1


@pytest.mark.parametrize("person", [366, 377, 381, 384, 387])
def test_people(person):
    config = load_config(f"zju-{person}")
    assert config.scene.train_cameras == (1, 5, 9, 13, 17, 21)
    assert len(config.scene.test_cameras) == 5
    assert (config.scene.frames, config.scene.coordinate_scale, config.scene.background) == ("0:80%", 1.5, -1)
    assert (config.model.parts, config.model.pose_frequencies) == (20, 50)
    assert (config.loss.silhouette_weight, config.loss.eikonal_weight) == (600, 0.2)
