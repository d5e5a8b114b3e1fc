#!/bin/sh
# tokens_rd.sh [DATA [OUT]]: what the token adapter adds on Kodak: features of DINOv2-S at equal rate, with and without its tokens.
#
# DATA holds the folder kodak (../shared/data if not given); OUT (results/tokens) gets rows.jsonl, report.html and levels.md.
# ADAPTER is another adapter's file; LIMIT takes so many images only. DINOv2-S taught the adapter and the codec: a metric that
# training saw. 576 rows, about a second of a core each; run again, it continues.
# Needs what mllm_rd.sh needs.
set -eu

here=$(dirname "$0")
data=${1:-$here/../../../shared/data}
out=${2:-results/tokens}
bench="${PYTHON:-python3} -m cotam_lab.bench.cli"
qualities=0,8,17,26,35,44,54,64
base=cotam:profile=base,guide=none,view=human

$bench sweep "$data/kodak" -o "$out" --metric features --log-rate --reference "$base" ${LIMIT:+--limit "$LIMIT"} \
    --codec "$base@$qualities" --codec "cotam:profile=mllm,guide=none@$qualities"
"${PYTHON:-python3}" -m cotam_lab.bench.tokens "$data/kodak" -o "$out" ${LIMIT:+--limit "$LIMIT"} \
    --adapter "${ADAPTER:-$here/../training/tokens_dinov2s.safetensors}"
$bench report "$out" -o "$out/report.html" --reference "$base" --reference cotam:profile=mllm,guide=none --log-rate
$bench report "$out" -o "$out/levels.md" --reference "$base" --reference cotam:profile=mllm,guide=none --log-rate \
    --score features --score shallow --score middle --score late --score deep --score whole --score attended
