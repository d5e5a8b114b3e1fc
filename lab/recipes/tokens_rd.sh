#!/bin/sh
# tokens_rd.sh [DATA [OUT]]: gain of the token adapter on Kodak: DINOv2-S features at equal rate, with and without tokens.
#
# DATA (../shared/data) holds kodak; OUT (results/tokens) gets rows.jsonl, report.md and levels.md. Settings: ADAPTER, the
# file; LIMIT images. Adapter and codec were trained with DINOv2-S, so this metric is not independent. 576 rows, a second
# of a core each; run again, it continues. Needs what mllm_rd.sh needs.
set -eu

here=$(dirname "$0")
data=${1:-$here/../../../shared/data}
out=${2:-results/tokens}
bench="${PYTHON:-python3} -m cotam bench"
qualities=0,8,17,26,35,44,54,64
base=cotam:profile=base,guide=none,view=human

$bench sweep "$data/kodak" -o "$out" --metric features --log-rate --reference "$base" ${LIMIT:+--limit "$LIMIT"} \
    --codec "$base@$qualities" --codec "cotam:profile=mllm,guide=none@$qualities"
"${PYTHON:-python3}" -m cotam_lab.bench.tokens "$data/kodak" -o "$out" ${LIMIT:+--limit "$LIMIT"} \
    --adapter "${ADAPTER:-$here/../training/tokens_dinov2s.safetensors}"
$bench report "$out" -o "$out/report.md" --reference "$base" --reference cotam:profile=mllm,guide=none --log-rate
$bench report "$out" -o "$out/levels.md" --reference "$base" --reference cotam:profile=mllm,guide=none --log-rate \
    --score features --score shallow --score middle --score late --score deep --score whole --score attended
