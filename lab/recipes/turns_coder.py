"""Encode and decode IMAGE with OPTIONS, JSON, for `turns.py`, and print the seconds, once a line."""

import json
import sys
import time

from PIL import Image

import cotam

pixels, options = Image.open(sys.argv[1]).convert("RGB"), json.loads(sys.argv[2])
while True:
    started = time.perf_counter()
    data = cotam.encode(pixels, quality=32, **options)
    between = time.perf_counter()
    cotam.decode(data)
    print(json.dumps([between - started, time.perf_counter() - between]), flush=True)
    sys.stdin.readline() or sys.exit()
