#!/bin/sh
# frozen_base.sh [DATA [OUT]]: rate of mllm without guide against the float set base 28dd65d4332d of commit 21da0bb, which
# codes and decodes in a worktree of its own (view human, no guide). Today's metrics score both.
#
# DATA (../shared/data) holds kodak; OUT (results/frozen_base) gets rows.jsonl, table.md and the decoded images. LIMIT is a
# number of images. 384 rows, one to two seconds of a core each. Needs what mllm_rd.sh needs, and git.
set -eu

here=$(cd "$(dirname "$0")/../.." && pwd)
data=${1:-$here/../shared/data}
out=${2:-results/frozen_base}
python=${PYTHON:-python3}
qualities=0,8,17,26,35,44,54,64
old=$(mktemp -d)
trap 'git -C "$here" worktree remove --force "$old/21da0bb"; rmdir "$old"' EXIT
git -C "$here" worktree add -q --detach "$old/21da0bb" 21da0bb

rm -f "$out/rows.jsonl"
"$python" -m cotam bench sweep "$data/kodak" -o "$out" --metric features --metric class --log-rate \
    --codec "cotam:profile=mllm,guide=none@$qualities" ${LIMIT:+--limit "$LIMIT"}

PYTHONPATH=$old/21da0bb/src "$python" - "$out" "$data/kodak" "$qualities" <<'END'
import json, sys
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
END

"$python" - "$out" "$data/kodak" <<'END'
import json, sys
from pathlib import Path

from cotam.image.read import to_rgb
from cotam_lab.metrics.base import metric

out, folder = Path(sys.argv[1]), Path(sys.argv[2])
with (out / "rows.jsonl").open("a") as rows:
    for name, quality, size, decoded in json.loads((out / "sizes.json").read_text()):
        original = to_rgb(folder / name)
        height, width = original.shape[:2]
        row = {"codec": "frozen base", "version": "28dd65d4332d", "quality": quality, "image": name, "width": width}
        row |= {"height": height, "bytes": size, "bpp": 8 * size / height / width, "encode_s": 0.0, "decode_s": 0.0}
        for scored in map(metric, ("features", "class")):
            row |= scored.score(original, to_rgb(out / decoded), ())
        rows.write(json.dumps(row) + "\n")
END
"$python" -m cotam bench report "$out" -o "$out/table.md" --reference "frozen base" --score features \
    --score shallow --score middle --score late --score deep --score attended --score whole --score class_overlap
