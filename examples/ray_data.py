"""Ages as a step of a Ray Data pipeline.

python examples/ray_data.py FOLDER
"""

import sys

import ray

from agelens.batch import EstimateAges

pictures = ray.data.read_binary_files(sys.argv[1], include_paths=True)
aged = pictures.map_batches(
    EstimateAges,
    fn_constructor_args=("bytes",),
    batch_size=32,
    compute=ray.data.ActorPoolStrategy(size=1),  # a model for each
    num_cpus=1,
)
for picture in aged.drop_columns(["bytes"]).iter_rows():
    print(picture["path"].rpartition("/")[2], [round(face["age"]) for face in picture["faces"]])
