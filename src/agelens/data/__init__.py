"""From a raw dataset to a manifest. Needs ``agelens[train]``."""
