"""``python -m agelens``."""

from agelens.cli import main

main()
