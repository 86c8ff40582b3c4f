"""A recipe: everything that defines a training run, from one TOML file and ``--set key=value``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agelens.errors import RecipeError

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Model(_Section):
    """The network. `backbone` is a name of timm's, `torchvision/NAME` or `agelens/resnet50-half`.

    `start` is the name of another run in the same folder, whose best weights this one begins with
    instead of ImageNet's, `agelens/NAME` for a shipped model's, or a model file's path (.onnx);
    `agelens/resnet50-half` are that network's packaged weights. A network of half the width is
    widened (see `agelens.training.initial_weights`). In the first `frozen_epochs` only the head
    learns.
    """

    backbone: str = "tf_efficientnet_lite2"
    pretrained: bool = True
    start: str | None = None
    size: Positive = 128
    dropout: Share = 0.2
    frozen_epochs: Annotated[int, Field(ge=0)] = 0


class Loss(_Section):
    """The loss, by name; see `agelens.training.losses`."""

    name: Literal[
        "l1", "mse", "huber", "cross_entropy", "dldl", "dldl_v2", "mean_variance", "corn"
    ] = "dldl_v2"
    sigma: Annotated[float, Field(gt=0)] = 2.0
    l1_weight: Weight = 0.25
    delta: Annotated[float, Field(gt=0)] = 5.0
    mean_weight: Weight = 0.2
    variance_weight: Weight = 0.05


class Teacher(_Section):
    """Trained networks that this one imitates; see `agelens.training.teacher`.

    `runs` are names of runs in the same folder, `models` names of shipped models or paths of model
    files; several are averaged. Their distribution takes `share` of the label's place, and the
    pooled features, through a linear projection, their direction. Without either there is no
    teacher.
    """

    runs: list[str] = []
    models: list[str] = []
    share: Share = 0.5
    feature_weight: Weight = 2.0


class Imbalance(_Section):
    """What answers the skew of ages and groups; see `agelens.training.imbalance`.

    `from_epoch` defers it: the first epochs learn from the data as they are, the others with it
    (Cao et al., NeurIPS 2019, "LDAM-DRW"). `sources` says, for a joined dataset, how often each of
    its sources is drawn, relative to the others: name every one. `group_adjustment` is how much of
    what gender and ethnicity alone say of an age the network need not learn: 0 nothing, 1 all.
    """

    weights: Literal["none", "sqrt_lds"] = "none"
    sampling: Literal["none", "sqrt", "sqrt_groups"] = "none"
    sources: dict[str, Annotated[float, Field(gt=0)]] = {}
    group_adjustment: Share = 0.0
    from_epoch: Annotated[int, Field(ge=0)] = 0


class Augment(_Section):
    """Training augmentation; see `agelens.training.crops.augmentation`.

    `mixup` is the alpha of the Beta distribution that pairs of pictures are mixed by (Zhang et al.,
    ICLR 2018); 0 mixes none. The keys after it are the probabilities of bad imaging conditions.
    """

    flip: Share = 0.5
    rotation: Annotated[float, Field(ge=0, le=180)] = 15.0
    zoom: Annotated[float, Field(ge=0, lt=1)] = 0.12
    shift: Annotated[float, Field(ge=0, lt=1)] = 0.08
    brightness: Share = 0.3
    contrast: Share = 0.3
    saturation: Share = 0.3
    grey: Share = 0.1
    erase: Share = 0.2
    mixup: Weight = 0.0
    zoom_out: Share = 0.0
    light: Share = 0.0
    low_resolution: Share = 0.0
    blur: Share = 0.0
    sharpen: Share = 0.0
    noise: Share = 0.0
    jpeg: Share = 0.0
    occlude: Share = 0.0


class Stage(_Section):
    """Some epochs at one input size; small sizes first make early epochs cheap."""

    epochs: Positive
    size: Positive


class Optimiser(_Section):
    """AdamW with a cosine schedule after a linear warm-up, and an average of the weights.

    `average` is exponential ("ema", after the warm-up), the plain mean of the last `swa_epochs`
    epochs ("swa"; Izmailov et al., UAI 2018), or "none". `precision` "auto" is bfloat16 where the
    hardware is faster in it.
    """

    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.02
    batch_size: Positive = 48
    warmup_steps: Annotated[int, Field(ge=0)] = 150
    clip_norm: Annotated[float, Field(gt=0)] = 5.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    average: Literal["ema", "swa", "none"] = "ema"
    ema_decay: Annotated[float, Field(gt=0, lt=1)] = 0.998
    swa_epochs: Positive = 3


class Recipe(_Section):
    """A whole training run.

    An epoch shows as many faces as the training part has, or `epoch_faces` where that is less, so
    that checkpoints of a large set come more often.
    """

    name: str
    seed: int = 0
    epoch_faces: Positive | None = None
    workers: Annotated[int, Field(ge=0)] = 2
    model: Model = Model()
    loss: Loss = Loss()
    teacher: Teacher = Teacher()
    imbalance: Imbalance = Imbalance()
    augment: Augment = Augment()
    optimiser: Optimiser = Optimiser()
    stages: list[Stage] = [Stage(epochs=6, size=128)]

    @model_validator(mode="after")
    def _ends_at_the_served_size(self) -> Recipe:
        if not self.stages or self.stages[-1].size != self.model.size:
            raise ValueError("the last stage must train at model.size, the size that is served")
        return self

    @model_validator(mode="after")
    def _adjusts_probabilities_of_ages(self) -> Recipe:
        if self.imbalance.group_adjustment and self.loss.name == "corn":
            raise ValueError('imbalance.group_adjustment needs another loss.name than "corn"')
        return self

    @property
    def epochs(self) -> int:
        return sum(stage.epochs for stage in self.stages)

    def size_at(self, epoch: int) -> int:
        """Input size in pixels of an epoch, counted from 0."""
        for stage in self.stages:
            if epoch < stage.epochs:
                return stage.size
            epoch -= stage.epochs
        return self.model.size


def load_recipe(path: Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe.

    Args:
        path: a TOML file; its stem is the recipe's default name.
        overrides: ``key=value``, dotted keys and TOML values, as in ``optimiser.batch_size=32``.

    Raises:
        RecipeError: no such file, not TOML, an unknown key, or an impossible value, by name.
    """
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
        for override in overrides:
            _set(values, override)
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: not valid TOML ({error})") from error
    values.setdefault("name", path.stem)
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc'])) or 'recipe'}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise RecipeError(f"{path}: " + "; ".join(faults)) from error


def _set(values: dict[str, Any], override: str) -> None:
    key, found, text = override.partition("=")
    if not found:
        raise RecipeError(f"--set {override}: write key=value, for example seed=1")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a bare word is a string
    *sections, last = key.strip().split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise RecipeError(f"--set {override}: {section} is not a section")
    values[last] = value
