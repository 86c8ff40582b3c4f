"""A detector that BlazeFace teaches: a study, see README.md."""
