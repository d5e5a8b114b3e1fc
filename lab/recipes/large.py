"""Repeat an image to a size for `large.sh`: IMAGE MEGAPIXELS OUT."""

import sys

from PIL import Image

tile, height = Image.open(sys.argv[1]).convert("RGB"), round((float(sys.argv[2]) * 1e6 / 1.5) ** 0.5)
large = Image.new("RGB", (round(1.5 * height), height))
for y in range(0, large.height, tile.height):
    for x in range(0, large.width, tile.width):
        large.paste(tile, (x, y))
large.save(sys.argv[3], quality=95)
