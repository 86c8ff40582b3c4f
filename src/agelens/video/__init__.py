"""Faces of a video or a camera, followed from frame to frame. Needs ``agelens[video]``."""
