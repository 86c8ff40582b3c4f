"""Pictures by the million: from folders, buckets, tars and tables to Parquet files."""

from agelens.batch.pipelines import EstimateAges
from agelens.batch.progress import Status
from agelens.batch.run import run
from agelens.batch.settings import Counts

__all__ = ["Counts", "EstimateAges", "Status", "run"]
