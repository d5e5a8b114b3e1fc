#!/bin/sh
# edge_bytes.sh [DATA [OUT]]: bytes of requests before and after cotam edge, for JPEG images of quality 85: Kodak and 16 of
# objects. A model server with fixed answers, cotam serve and cotam edge run on loopback.
#
# DATA (../shared/data) holds kodak and objects. Two minutes on two cores. Needs curl and: pip install '.[serve]'
set -eu

here=$(dirname "$0")
data=${1:-$here/../../../shared/data}
python=${PYTHON:-python3}
work=$(mktemp -d)
pids=
trap 'kill $pids 2>/dev/null; rm -rf "$work"' EXIT
"$python" "$here/../tests/openai_server.py" 8765 &
pids="$pids $!"
"$python" -m cotam serve --upstream http://127.0.0.1:8765 --port 8766 2>"$work/serve.log" &
pids="$pids $!"
"$python" -m cotam edge --gateway http://127.0.0.1:8766 --port 8767 2>"$work/edge.log" &
pids="$pids $!"
for port in 8766 8767; do
    tries=0
    until curl -s -o /dev/null "http://127.0.0.1:$port/"; do
        [ $((tries = tries + 1)) -lt 300 ] || { cat "$work"/*.log >&2 && exit 1; }
        sleep 0.2
    done
done
for folder in kodak objects; do
    "$python" "$here/edge_bytes.py" "$data/$folder/images" "$work/$folder"
    for body in "$work/$folder"/*.json; do
        curl -sf -D - -o /dev/null -H 'content-type: application/json' --data-binary "@$body" \
            http://127.0.0.1:8767/v1/chat/completions
    done | tr -d ',\r' | awk -v name="$folder" 'tolower($1) == "x-cotam-bytes:" { before += $2; after += $3; count++ }
        END { printf "%s: %d requests, %d bytes before, %d after, %.1f times fewer\n", name, count, before, after, before / after }'
done
