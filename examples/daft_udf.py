"""Ages as a step of a Daft pipeline.

python examples/daft_udf.py FOLDER
"""

import sys

import daft

from agelens.batch import EstimateAges


@daft.cls(max_concurrency=1)  # a model for each
class Ages:
    """The age of every face in a picture."""

    def __init__(self) -> None:
        self._estimate = EstimateAges()

    @daft.method.batch(return_dtype=daft.DataType.list(daft.DataType.float64()))
    def __call__(self, addresses: daft.Series) -> list[list[float]]:
        """A list for each address."""
        rows = self._estimate.rows(addresses.to_pylist())
        return [[face["age"] for face in row["faces"]] for row in rows]


pictures = daft.from_glob_path(f"{sys.argv[1]}/*.jpg")
for picture in pictures.select("path", Ages()(daft.col("path")).alias("ages")).to_pylist():
    print(picture["path"].rpartition("/")[2], [round(age) for age in picture["ages"]])
