"""Training and export. Needs ``agelens[train]``."""
