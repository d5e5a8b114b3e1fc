#!/bin/sh
# views.sh [DATA [OUT]]: gain of mllm's image adapter for people: view human against view mllm of the same files.
#
# DATA (../shared/data) holds kodak; OUT (results/views) gets rows.jsonl, table.md and curves. No guide. LIMIT counts
# images. 384 rows, under a second of a core each; run again, it continues. Needs: pip install . ./lab
set -eu

qualities=0,8,17,26,35,44,54,64
"${PYTHON:-python3}" -m cotam bench sweep "${1:-$(dirname "$0")/../../../shared/data}/kodak" -o "${2:-results/views}" --log-rate \
    --metric fidelity --reference cotam:profile=mllm,guide=none,view=mllm ${LIMIT:+--limit "$LIMIT"} \
    --codec "cotam:profile=mllm,guide=none,view=mllm@$qualities" --codec "cotam:profile=mllm,guide=none,view=human@$qualities"
