"""Write requests with JPEG images of quality 85 for `edge_bytes.sh`: FOLDER OUT."""

import base64
import io
import json
import sys
from pathlib import Path

from PIL import Image

paths, out = sorted(Path(sys.argv[1]).iterdir()), Path(sys.argv[2])
out.mkdir()
count = 24 if "kodak" in sys.argv[1] else 16
for path in (paths[index * len(paths) // count] for index in range(min(count, len(paths)))):
    buffer = io.BytesIO()
    Image.open(path).convert("RGB").save(buffer, "JPEG", quality=85)
    url = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    content = [{"type": "image_url", "image_url": {"url": url}}]
    (out / f"{path.stem}.json").write_text(
        json.dumps({"model": "m", "messages": [{"role": "user", "content": content}]})
    )
