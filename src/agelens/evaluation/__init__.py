"""Evaluation of a model file on a prepared dataset. Needs ``agelens[train]``."""
