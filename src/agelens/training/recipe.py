"""A recipe: everything that defines a training run. See `recipe_files` for where they are read."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from agelens.ages import CLASSES

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    old_names: ClassVar[dict[str, str]] = {}
    """What keys are called in checkpoints and recipes of agelens 0.1."""

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {cls.old_names.get(key, key): value for key, value in values.items()}


class Model(_Section):
    """The network. `backbone` is a name of timm's, `torchvision/NAME` or `agelens/resnet50-half`.

    It begins with ImageNet's weights where `pretrained`, or with `initial_weights`: the name of
    another run, whose best checkpoint is meant, `agelens/NAME` for a shipped model, or a model file
    (.onnx); see `agelens.training.references`. `agelens/resnet50-half` are that network's packaged
    weights. A network of half the width is widened (see `agelens.training.initial_weights`). In the
    first `frozen_epochs` only the head learns. `knots` are for labels that are bands: the bands'
    lowest ages, between which the log-probabilities follow a smooth curve; see
    `agelens.training.network.CurveOverAges`.
    """

    old_names = {"start": "initial_weights"}

    backbone: str = "tf_efficientnet_lite2"
    pretrained: bool = True
    initial_weights: str | None = None
    size: Positive = 128
    dropout: Fraction = 0.2
    frozen_epochs: Annotated[int, Field(ge=0)] = 0
    knots: list[Annotated[int, Field(ge=0, lt=CLASSES)]] = []

    @field_validator("knots")
    @classmethod
    def _rise(cls, knots: list[int]) -> list[int]:
        if len(knots) == 1 or knots != sorted(set(knots)):
            raise ValueError("knots are at least two ages, each higher than the one before")
        return knots


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

    `runs` are names of other runs, `models` names of shipped models or model files (.onnx); see
    `agelens.training.references`. Several are averaged. The loss is `weight` times the distance
    from their distribution and 1 - `weight` times that from the label, and `feature_weight` times
    that of the pooled features' direction, through a linear projection, from theirs. Without either
    there is no teacher.
    """

    old_names = {"share": "weight"}

    runs: list[str] = []
    models: list[str] = []
    weight: Fraction = 0.5
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
    group_adjustment: Fraction = 0.0
    from_epoch: Annotated[int, Field(ge=0)] = 0


class Augment(_Section):
    """Training augmentation; see `agelens.training.crops.augmentation`.

    `mixup` is the alpha of the Beta distribution that pairs of pictures are mixed by (Zhang et al.,
    ICLR 2018); 0 mixes none. The keys after it are the probabilities of bad imaging conditions.
    """

    flip: Fraction = 0.5
    rotation: Annotated[float, Field(ge=0, le=180)] = 15.0
    zoom: Annotated[float, Field(ge=0, lt=1)] = 0.12
    shift: Annotated[float, Field(ge=0, lt=1)] = 0.08
    brightness: Fraction = 0.3
    contrast: Fraction = 0.3
    saturation: Fraction = 0.3
    grey: Fraction = 0.1
    erase: Fraction = 0.2
    mixup: Weight = 0.0
    zoom_out: Fraction = 0.0
    light: Fraction = 0.0
    low_resolution: Fraction = 0.0
    blur: Fraction = 0.0
    sharpen: Fraction = 0.0
    noise: Fraction = 0.0
    jpeg: Fraction = 0.0
    occlude: Fraction = 0.0


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
    """A whole training run. `summary` is a line for whoever chooses among recipes.

    An epoch shows as many faces as the training part has, or `epoch_faces` where that is less, so
    that checkpoints of a large set come more often.
    """

    name: str
    summary: str = Field("", exclude=True)
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
        if self.model.knots and self.loss.name == "corn":
            raise ValueError('model.knots needs another loss.name than "corn"')
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
