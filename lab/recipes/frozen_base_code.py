"""Code and decode with the frozen code of `frozen_base.sh`: OUT FOLDER QUALITIES."""

import json
import sys
from pathlib import Path

import cotam

out, folder, qualities = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3].split(",")
sizes = []
for name in sorted({json.loads(line)["image"] for line in (out / "rows.jsonl").open()}):
    for quality in map(int, qualities):
        data = cotam.encode(str(folder / name), quality=quality, profile="base", guide="none")
        decoded = out / f"{Path(name).stem}_{quality}.png"
        cotam.decode(data, view="human").save(decoded)
        sizes.append([name, quality, len(data), decoded.name])
(out / "sizes.json").write_text(json.dumps(sizes))
