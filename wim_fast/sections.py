"""Every setting of a training run: its default, its meaning and its limits.

A setting is one line in one of the classes below, one class a section. From that line come the flag `--its-name`, the
key `section: {its_name: ...}` of `configs/*.yaml` and of a run's `config.yaml`, and the checks of both.

Constants of the method are settings. What only says how precisely or how fast something is computed (steps of Newton's
method, sizes of blocks and caches) is a constant of the module that needs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from wim_fast.errors import UserError
from wim_fast.ops.backend import BACKENDS
from wim_fast.settings import Setting, as_text, declared_settings, field

FAST, PAPER = "fast", "paper"  # presets; the fast one is the defaults
OURS, KUNDU, SCHMIDTKE = "ours", "kundu", "schmidtke"  # methods
VGG, PYRAMID, NONE = "vgg", "pyramid", "none"  # how a baseline compares pictures
FILES_OF_METHODS = {
    OURS: (),
    KUNDU: ("smpl", "template", "pose_prior"),
    SCHMIDTKE: ("template", "vgg_weights"),
}
LEAST_AUTO, MOST_AUTO = 20, 40  # parts, where their number is left open
MOST_TOP_PARTS = 8  # what the kernels have room for: ops.articulated.reference.MAX_CANDIDATES


class ForMasks(NamedTuple):
    """Settings that masks decide: how far outlines can be believed, how closely and how soon pictures are to be matched."""

    outline_share: float
    ray_spread: float
    pyramid: bool
    inv_s_pixels: float
    final_lr_share: float
    growth_end: float


FOR_EXACT = ForMasks(
    outline_share=0.5,
    ray_spread=0.5,
    pyramid=True,
    inv_s_pixels=4.0,
    final_lr_share=0.01,
    growth_end=0.25,
)
FOR_FILM = ForMasks(
    outline_share=0.0,
    ray_spread=1.0,
    pyramid=False,
    inv_s_pixels=2.0,
    final_lr_share=0.05,
    growth_end=0.4,
)


@dataclass(frozen=True)
class SceneConfig:
    """What is read."""

    scene: str = field("dog", "folder of a recording, or the name of a scene that ships with wim-fast")
    train_cameras: tuple[int, ...] | None = field(
        None, "ids of the cameras to train on; none: all but the test cameras", minimum=0, maximum=10**9
    )
    test_cameras: tuple[int, ...] | None = field(
        None, "ids of the cameras held back for testing", minimum=0, maximum=10**9
    )
    frames: str | None = field(
        None, "frames to train on, as start:stop[:step] over the sorted frames; none: all"
    )
    size: int | None = field(
        None, "longer image side in pixels; none: as it was filmed", minimum=8, maximum=4096
    )
    coordinate_scale: float | None = field(
        None,
        "file units per world unit; none: such that the object is 1.2 units long",
        minimum=1e-9,
        maximum=1e9,
    )
    background: float = field(1.0, "grey level behind the object: 1 white, -1 black", minimum=-1, maximum=1)
    allow_missing: bool = field(False, "go on when single images are missing, and ignore those")

    @property
    def background_grey(self) -> float:
        """The grey behind the object in [0, 1]."""
        return 0.5 + 0.5 * self.background


@dataclass(frozen=True)
class ModelConfig:
    """What is learned."""

    parts: int | None = field(
        None,
        f"number of parts P, about twice the bodies that move: these are found among them; none or auto: "
        f"{LEAST_AUTO} to {MOST_AUTO}, by the number of limbs",
        minimum=1,
        maximum=256,
    )
    pose_frequencies: int = field(
        30, "cosines K of the pose trajectory: how fast parts can move", minimum=1, maximum=1024
    )
    pose_width: int = field(128, "width of the pose network", minimum=1, maximum=4096)
    pose_layers: int = field(4, "layers of the pose network", minimum=1, maximum=16)
    hash_coarsest_cell: float = field(
        0.1, "cell of the coarsest level of the hash grid, world units", minimum=1e-3, maximum=10
    )
    hash_finest_cell: float | None = field(
        None, "cell of the finest level, world units; none: a pixel at the object", minimum=1e-4, maximum=10
    )
    hash_log2_entries: int = field(
        16, "log2 of the entries per level of the hash grid", minimum=4, maximum=24
    )
    decoder_width: int = field(64, "width of the decoder", minimum=1, maximum=256)
    decoder_layers: int = field(1, "hidden layers of the decoder", minimum=1, maximum=8)
    top_parts: int = field(
        2, "parts per sample whose features are looked up", minimum=1, maximum=MOST_TOP_PARTS
    )
    part_half_extent: float = field(
        0.6, "half side of the box of a part in the hash grid, world units", minimum=0.01, maximum=10
    )
    candidate_share: float = field(
        0.75, "where the joint candidates lie, as a share of the semi-axes", above=0, maximum=1
    )
    lighting: bool = field(True, "let the colour depend on the world normal by one light for the whole scene")
    residual_max: float = field(
        0.05, "largest learned correction d_max of the distance, world units", minimum=0, maximum=1
    )
    minimum_semi_axis: float = field(
        0.02, "smallest semi-axis of a part, world units", minimum=1e-4, maximum=1
    )
    hull_start: bool = field(
        True, "begin with parts that share out the visual hull of a frame; else at random round its middle"
    )
    initial_shrink: float = field(
        0.8,
        "first semi-axes of a part, as a share of those of its piece of the visual hull",
        minimum=0.01,
        maximum=10,
    )
    initial_union_sharpness: float = field(
        50.0, "sharpness b of the union of parts, at first, 1 / world units", minimum=0.1, maximum=1e4
    )
    initial_weight_sharpness: float = field(
        30.0, "sharpness a of the part weights, at first, 1 / world units", minimum=0.1, maximum=1e4
    )

    @property
    def num_parts(self) -> int:
        """The number of parts; until the recording is read, the most there can be if it is left open."""
        return MOST_AUTO if self.parts is None else self.parts


@dataclass(frozen=True)
class CamerasConfig:
    """How cameras are corrected while the model is learned."""

    learn_cameras: bool = field(True, "correct calibration, time and colours of each training camera")
    lr_calibration: float = field(
        0.03,
        "learning rate of calibrations, in what is usual of each number (about a pixel)",
        minimum=0,
        maximum=10,
    )
    lr_lateness: float = field(0.01, "learning rate of the cameras' lateness, frames", minimum=0, maximum=10)
    lr_color: float = field(0.001, "learning rate of the cameras' colour matrices", minimum=0, maximum=10)
    camera_start: float = field(
        0.3, "share of the iterations from which cameras are corrected", minimum=0, maximum=1
    )
    camera_decision: float = field(
        0.5, "share from which corrections that stay small are dropped", minimum=0, maximum=1
    )
    camera_prior_weight: float = field(
        2e-3, "weight of the mean square of corrections in what is usual", minimum=0, maximum=1e6
    )
    camera_beta1: float = field(
        0.95, "decay of the running mean of the cameras' gradients", minimum=0, maximum=0.9999
    )


@dataclass(frozen=True)
class LossConfig:
    """What is asked of it."""

    photo_weight: float = field(1.0, "weight of the colour loss", minimum=0, maximum=1e6)
    mask_weight: float = field(1.0, "weight of the mask loss", minimum=0, maximum=1e6)
    eikonal_weight: float = field(0.02, "weight of the eikonal loss", minimum=0, maximum=1e6)
    volume_weight: float = field(
        0.02, "weight of the loss that shrinks what no view needs", minimum=0, maximum=1e6
    )
    hull_weight: float = field(
        6.0, "weight of the loss that keeps the core of the visual hull filled", minimum=0, maximum=1e6
    )
    void_weight: float = field(
        1.0, "weight of the loss that empties what no camera judges", minimum=0, maximum=1e6
    )
    silhouette_weight: float = field(400.0, "weight of the ellipsoid silhouette loss", minimum=0, maximum=1e6)
    part_center_weight: float = field(1000.0, "weight of the part centre loss", minimum=0, maximum=1e6)
    silhouette_final_share: float = field(
        0.02, "share of the two weights above that is left once they have faded", minimum=0, maximum=1
    )
    joint_weight_start: float = field(
        1.0, "weight of the joint loss at the first step", minimum=0, maximum=1e6
    )
    joint_weight_end: float = field(
        50.0, "weight of the joint loss from growth_start on", minimum=0, maximum=1e6
    )
    fit_weight: float = field(
        0.1, "weight of the loss that fits the ellipsoids to the shape", minimum=0, maximum=1e6
    )
    separation_weight: float = field(1.0, "weight of the separation loss", minimum=0, maximum=1e6)
    merge_weight: float = field(0.2, "weight of the merge loss after merge_start", minimum=0, maximum=1e6)
    motion_weight: float = field(
        0.0,
        "weight of the loss on accelerations while frames are added; 100 where limbs pass each other",
        minimum=0,
        maximum=1e6,
    )
    block_weight: float = field(
        2.0,
        "weight of a pixel's squared errors where its block of the image touches the mask",
        minimum=0,
        maximum=1e6,
    )
    doubt: float = field(
        0.0,
        "doubt of masks where the model disagrees, 8 for film with rough ones; 0: believe them",
        minimum=0,
        maximum=1000,
    )
    random_background: bool = field(True, "composite on random grey levels, through the true alpha")


@dataclass(frozen=True)
class SamplingConfig:
    """Where the losses look, in each step."""

    block_share: float = field(
        1 / 8, "side of the blocks of block_weight, as a share of the image's", maximum=1, minimum=1e-3
    )
    anywhere_share: float = field(
        0.1, "share of the rays from the whole image, the others come from the box", minimum=0, maximum=1
    )
    outline_share: float | None = field(
        None,
        "share of the rays near the mask's outline; none: 0.5 where masks are exact, else 0",
        minimum=0,
        maximum=0.9,
    )
    ray_spread: float | None = field(
        None,
        "over which share of a pixel's side rays pass through it; none: 0.5 where masks are exact, else 1",
        minimum=0,
        maximum=1,
    )
    pyramid: bool | None = field(
        None,
        "compare with images halved until their pixels suit the sharpness that the surface has by then; none: where masks "
        "are exact",
    )
    box_margin: float = field(
        0.04, "margin of the box round the mask, as a share of the image side", minimum=0, maximum=1
    )
    eikonal_points: int = field(256, "points of the eikonal and the volume loss", minimum=1, maximum=2**20)
    eikonal_tap: float = field(
        0.002, "distance of the differences that make the gradient, world units", minimum=1e-6, maximum=0.1
    )
    core_points: int = field(32, "points per image of the hull loss", minimum=1, maximum=2**16)
    core_depth: float = field(
        0.05,
        "depth in the visual hull from which a point must be in the object, world units",
        minimum=0,
        maximum=1,
    )
    core_inside: float = field(
        0.01, "how far inside of the surface such a point must be, world units", minimum=0, maximum=1
    )
    void_points: int = field(
        64, "points of the loss that empties what no camera judges", minimum=1, maximum=2**20
    )
    surface_points: int = field(8, "points per part of the silhouette loss", minimum=1, maximum=2**12)
    mask_pixels: int = field(
        32, "mask pixels per image of the silhouette and part centre losses", minimum=1, maximum=2**14
    )
    dead_zone: float = field(
        3 / 512,
        "distance that the silhouette loss does not count, as a share of the image side",
        minimum=0,
        maximum=1,
    )
    merge_frames: int = field(64, "frames of the merge loss", minimum=1, maximum=2**14)


@dataclass(frozen=True)
class StructureConfig:
    """How parts become joints and rigid groups."""

    distance_rate: float = field(
        0.05, "share of each step in the running distances between candidates", maximum=1, minimum=1e-6
    )
    tree_every: int = field(50, "steps between choices of the tree", minimum=1, maximum=10**6)
    center_weight: float = field(
        0.1, "weight lambda_l of the distance between centres in that choice", minimum=0, maximum=1e6
    )
    separation_sigma: float = field(
        0.05, "reach of the separation loss, world units", minimum=1e-4, maximum=10
    )
    merge_distance: float = field(
        0.1, "distance D of motions above which the merge loss hardly pulls", minimum=1e-4, maximum=10
    )
    merge_motion_weight: float = field(
        3.0, "weight lambda_motion of the translation in that distance", minimum=0, maximum=1e6
    )


@dataclass(frozen=True)
class ScheduleConfig:
    """When. Shares are of all iterations; with minutes, of the time."""

    iterations: int | None = field(None, "training steps N", minimum=1, maximum=10**8)
    minutes: float | None = field(
        10.0,
        "time from the first step to the last, checkpoints and previews among it; reading, compiling kernels and the "
        "measurements at the end come on top",
        above=0,
        maximum=1e5,
    )
    pace: str | None = field(
        None, "instead: repeat the pace that kept a run's minutes, as its config.yaml says in the end"
    )
    initial_frames: int = field(
        10,
        "frames T_0 to begin with; fewer, such as 2, where limbs pass each other in them",
        minimum=1,
        maximum=10**6,
    )
    growth_start: float = field(0.05, "share tau_0 at which frames begin to be added", minimum=0, maximum=1)
    growth_end: float | None = field(
        None,
        "share tau_1 at which all frames are in; none: 0.25 where masks are exact, else 0.4, as of baselines",
        minimum=0,
        maximum=1,
    )
    silhouette_decay: float = field(
        0.1, "share of the iterations in which the silhouette losses fade after that", minimum=0, maximum=1
    )
    doubt_start: float = field(
        0.6, "share from which masks are doubted, linearly more until the end", minimum=0, maximum=1
    )
    merge_start: float = field(0.75, "share tau_2 at which the merge loss begins", minimum=0, maximum=1)
    newest_frames: int = field(
        6, "newest frames that are drawn more often while frames are added", minimum=1, maximum=10**6
    )
    newest_share: float = field(0.2, "share of the draws from the newest frames", minimum=0, maximum=1)
    seed: int = field(0, "seed of everything random", minimum=0, maximum=2**32 - 1)
    checkpoint_minutes: float = field(2.0, "minutes between checkpoints", above=0, maximum=1e5)
    preview_minutes: float = field(2.0, "minutes between preview pictures", above=0, maximum=1e5)
    log_every: int = field(20, "steps between log lines", minimum=1, maximum=10**6)


@dataclass(frozen=True)
class OptimizerConfig:
    """How fast it learns."""

    lr_pose: float = field(2e-3, "learning rate of the pose network", above=0, maximum=10)
    lr_grid: float = field(1e-2, "learning rate of the hash grid", above=0, maximum=10)
    lr_decoder: float = field(2e-3, "learning rate of the decoder", above=0, maximum=10)
    lr_semi_axes: float = field(
        1e-2, "learning rate of the logarithms of the semi-axes and of the sharpnesses", above=0, maximum=10
    )
    warmup_steps: int = field(100, "steps of linear warm-up", minimum=0, maximum=10**7)
    final_lr_share: float | None = field(
        None,
        "learning rates decay to this share; none: 0.01 where masks are exact, else 0.05",
        minimum=0,
        maximum=1,
    )
    weight_decay: float = field(0.005, "decoupled weight decay of the networks", minimum=0, maximum=10)
    grid_decay: float = field(
        0.3,
        "decoupled weight decay of the hash grid: plainer where no ray needs detail",
        minimum=0,
        maximum=10,
    )
    clip_norm: float = field(
        2.0, "largest gradient norm of pose and of semi-axes with sharpnesses", minimum=1e-6, maximum=1e9
    )
    clip_all: bool = field(False, "clip the norm of all gradients together instead")
    adam_beta1: float = field(0.9, "decay of the running mean of the gradients", minimum=0, maximum=0.9999)
    adam_beta2: float = field(
        0.999, "decay of the running mean of their squares", minimum=0, maximum=0.999999
    )


@dataclass(frozen=True)
class RenderConfig:
    """How images are sampled."""

    images_per_step: int = field(32, "images per training step", minimum=1, maximum=4096)
    rays_per_image: int = field(32, "rays per image and step", minimum=1, maximum=2**16)
    inv_s_pixels: float | None = field(
        None,
        "final sharpness s of the surface, in 1 / size of a pixel at the object; none: 4 where masks are exact, else 2",
        minimum=0.01,
        maximum=100,
    )
    most_inv_s: float = field(
        600.0,
        "final sharpness s at most, 1 / world units: poses are no better than so",
        minimum=1,
        maximum=1e5,
    )
    final_inv_s: float | None = field(
        None, "final sharpness s, 1 / world units; none: from the two above", minimum=1, maximum=1e5
    )
    initial_inv_s: float = field(
        50.0, "sharpness at the first step, 1 / world units, at most the final one", minimum=1, maximum=1e5
    )
    sharpening_end: float = field(
        0.8, "share of the iterations at which the sharpness is the final one", minimum=0, maximum=1
    )
    marched_per_ray: int = field(
        32,
        "samples per ray, on average, that a GPU marches with before it was measured",
        minimum=1,
        maximum=256,
    )
    decoded_per_ray: int = field(
        10, "samples per ray, on average, that a GPU decodes before it was measured", minimum=1, maximum=256
    )
    backend: str = field("auto", "which implementation of the kernels runs, and where", choices=BACKENDS)


@dataclass(frozen=True)
class BaselineConfig:
    """What is trained in place of our model, to compare with (supplement A.9; docs/baselines.md)."""

    method: str = field(
        OURS, "what is trained: our model, or a baseline of the paper", choices=(OURS, KUNDU, SCHMIDTKE)
    )
    smpl: str | None = field(None, "kundu: SMPL_NEUTRAL.npz, the body that is posed")
    template: str | None = field(
        None,
        "kundu: another skinned body (npz of tools/make_template.py) in place of SMPL; schmidtke: the Gaussians, "
        "person, dog, arm or a JSON file; none: person",
    )
    pose_prior: str | None = field(
        None, "kundu: SMPLify's prior of poses (gmm_08.pkl or npz); none: small angles"
    )
    lr_baseline: float | None = field(
        None, "learning rate of a baseline; none: 5e-4 of kundu, 1e-3 of schmidtke", above=0, maximum=10
    )
    baseline_images: int = field(16, "whole images per step of a baseline", minimum=1, maximum=4096)
    baseline_width: int = field(256, "width of a baseline's network of time", minimum=1, maximum=4096)
    outline_weight: float = field(
        1.0, "kundu: weight of the squared error of the mask", minimum=0, maximum=1e6
    )
    consensus_weight: float = field(
        0.1,
        "kundu: weight of the squared difference of a vertex's colours in two images",
        minimum=0,
        maximum=1e6,
    )
    pose_prior_weight: float = field(1e-3, "kundu: weight of the prior of poses", minimum=0, maximum=1e6)
    outline_size: int = field(
        96, "kundu: longer side of the masks that are compared, pixels", minimum=8, maximum=1024
    )
    outline_softness: float = field(
        1.0, "kundu: width of the soft outline in the end, pixels of these masks", minimum=1e-3, maximum=1e3
    )
    perceptual: str = field(
        VGG,
        "schmidtke: how pictures are compared, by VGG19's features as published, or in its place by a pyramid of "
        "pictures or by their pixels alone",
        choices=(VGG, PYRAMID, NONE),
    )
    vgg_weights: str | None = field(None, "schmidtke: torchvision's weights of VGG19, vgg19-dcbb9e9d.pth")
    anchor_weight: float = field(
        0.5,
        "schmidtke: weight of the squared distances at the anchors, in image sizes",
        minimum=0,
        maximum=1e6,
    )
    boundary_weight: float = field(
        1.0, "schmidtke: weight of anchors that leave the image", minimum=0, maximum=1e6
    )

    @property
    def rate(self) -> float:
        """Learning rate of the method."""
        return self.lr_baseline or (5e-4 if self.method == KUNDU else 1e-3)

    @property
    def label(self) -> str:
        """The method as tables name it, with what stands in it for a part of the published one."""
        if self.method != SCHMIDTKE:
            return {OURS: "ours", KUNDU: "Kundu*"}[self.method]
        substitutes = {VGG: "", PYRAMID: ", a pyramid of pictures for VGG19", NONE: ", pixels for VGG19"}
        return f"Schmidtke*{substitutes[self.perceptual]}"


@dataclass(frozen=True)
class Config:
    """A run's settings: the preset they began with, then by section. Field names are unique over all sections."""

    preset: str = field(FAST, "settings to begin with: ours, or the paper's", choices=(FAST, PAPER))
    scene: SceneConfig = SceneConfig()
    model: ModelConfig = ModelConfig()
    cameras: CamerasConfig = CamerasConfig()
    loss: LossConfig = LossConfig()
    sampling: SamplingConfig = SamplingConfig()
    structure: StructureConfig = StructureConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    render: RenderConfig = RenderConfig()
    baseline: BaselineConfig = BaselineConfig()

    def for_masks(self, exact: bool = False) -> ForMasks:
        """What masks decide, where it is left open. Baselines have all frames in when the paper's do (A.5)."""
        given = {name: SETTINGS[name].of(self) for name in ForMasks._fields}
        usual = FOR_EXACT if exact else FOR_FILM
        if self.baseline.method != OURS:
            usual = usual._replace(growth_end=FOR_FILM.growth_end)
        return usual._replace(**{name: value for name, value in given.items() if value is not None})


SETTINGS: dict[str, Setting] = declared_settings(Config)


def check_together(config: Config, where: str) -> None:
    """What no field can check alone; UserError naming `where`."""

    def require(holds: bool, problem: str, remedy: str) -> None:
        if not holds:
            raise UserError(where, problem, remedy)

    scene, model, schedule = config.scene, config.model, config.schedule
    for key in ("train_cameras", "test_cameras"):
        ids = getattr(scene, key)
        require(ids != (), f"scene.{key} is empty", "name at least one camera, or leave it out")
        once = len(set(ids or ())) == len(ids or ())
        require(once, f"scene.{key} names a camera twice", "name each camera once")
    both = sorted(set(scene.train_cameras or ()) & set(scene.test_cameras or ()))
    require(
        not both,
        f"cameras {as_text(both)} are in scene.train_cameras and in scene.test_cameras",
        "a camera can be in one of them only",
    )
    require(
        (schedule.iterations, schedule.minutes, schedule.pace).count(None) == 2,
        "training needs a length, schedule.iterations or schedule.minutes or schedule.pace",
        "give exactly one of them",
    )
    growth_end = config.for_masks().growth_end  # checked once more when masks have been seen
    require(
        schedule.growth_start <= growth_end,
        f"schedule.growth_start {schedule.growth_start:g} is after growth_end {growth_end:g}",
        "choose a growth_start no later than growth_end",
    )
    finest = model.hash_finest_cell
    require(
        finest is None or finest <= model.hash_coarsest_cell,
        f"model.hash_finest_cell {as_text(finest)} is larger than "
        f"model.hash_coarsest_cell {model.hash_coarsest_cell:g}",
        "make the finest cell the smaller one",
    )
    baseline = config.baseline
    bodies = [key for key in ("smpl", "template") if getattr(baseline, key) is not None]
    require(
        baseline.method != KUNDU or len(bodies) == 1,
        f"baseline.method kundu poses one body, and has {len(bodies)}",
        "give --smpl SMPL_NEUTRAL.npz (from https://smpl.is.tue.mpg.de, as docs/baselines.md says) or "
        "--template FILE of tools/make_template.py",
    )
    files = sorted({key for keys in FILES_OF_METHODS.values() for key in keys})
    unused = [
        key
        for key in files
        if getattr(baseline, key) is not None and key not in FILES_OF_METHODS[baseline.method]
    ]
    require(
        not unused,
        f"baseline.{(unused or [''])[0]} is given, but baseline.method {baseline.method} has no use for it",
        "leave it out, or choose another --method",
    )
    require(
        model.top_parts <= model.num_parts,
        f"model.top_parts {model.top_parts} is more than the {model.num_parts} of model.parts",
        "lower top_parts or raise parts",
    )
