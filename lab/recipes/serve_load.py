"""Write requests with images as .cotam for `serve_load.sh`: FOLDER OUT."""

import base64
import json
import sys
from pathlib import Path

import cotam

for number, path in enumerate(sorted(Path(sys.argv[1]).iterdir())):
    url = "data:image/vnd.cotam;base64," + base64.b64encode(cotam.encode(path)).decode()
    content = [{"type": "image_url", "image_url": {"url": url}}]
    body = {"model": "m", "messages": [{"role": "user", "content": content}]}
    Path(sys.argv[2], f"{number:03}.json").write_text(json.dumps(body))
