"""Print the median balanced error by codec and quality for `screens.sh`: ROWS."""

import json
import statistics
import sys
from pathlib import Path

found: dict[tuple[str, int], list[float]] = {}
for row in map(json.loads, Path(sys.argv[1]).read_text().splitlines()):
    found.setdefault((row["codec"], row["quality"]), []).append(row["balanced"])
for (codec, quality), values in sorted(found.items()):
    print(f"{codec} {quality} {255**2 * 10 ** (-statistics.median(values) / 10):.1f}")
