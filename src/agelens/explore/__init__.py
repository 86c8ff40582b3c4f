"""What a dataset is and what is wrong with it: measures, statistics, and the report of both."""
