"""Write crops of 256×256 pixels for `batch.sh`: FOLDER OUT COUNT."""

import random
import sys
from pathlib import Path

from PIL import Image

images, out = [Image.open(p).convert("RGB") for p in sorted(Path(sys.argv[1]).iterdir())], Path(sys.argv[2])
out.mkdir()
random.seed(0)
for number in range(int(sys.argv[3])):
    image = images[number % len(images)]
    x, y = random.randrange(image.width - 255), random.randrange(image.height - 255)
    image.crop((x, y, x + 256, y + 256)).save(out / f"{number:05}.jpg", quality=85)
