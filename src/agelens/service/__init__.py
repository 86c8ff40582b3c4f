"""The HTTP service: `agelens serve`. Needs the packages of ``agelens[web]``."""
