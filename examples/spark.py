"""Ages as a step of a Spark pipeline.

python examples/spark.py FOLDER
"""

import sys
from collections.abc import Iterator

import pandas as pd
from pyspark.sql import SparkSession


def estimate(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """A row for each face of the pictures of a partition."""
    from agelens.batch import EstimateAges

    ages = EstimateAges("content")  # a model for each partition
    for frame in frames:
        aged = ages(frame).explode("faces").dropna(subset="faces")
        yield pd.DataFrame({"path": aged["path"], "age": [face["age"] for face in aged["faces"]]})


spark = SparkSession.builder.master("local[1]").getOrCreate()
pictures = spark.read.format("binaryFile").load(sys.argv[1]).select("path", "content")
for face in pictures.mapInPandas(estimate, "path string, age double").collect():
    print(face.path.rpartition("/")[2], round(face.age))
spark.stop()
