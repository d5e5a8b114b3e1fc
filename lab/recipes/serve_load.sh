#!/bin/sh
# serve_load.sh [DATA [REQUESTS [CLIENTS]]]: send REQUESTS (600) with Kodak images as .cotam through cotam serve on
# loopback, CLIENTS (64) at a time, with curl. Prints answers by status, requests per second, quantiles of the response
# time, and the gateway's memory at the end.
#
# DATA (../shared/data) holds kodak. Run it on an idle machine: clients use the same cores.
# Needs Linux, curl and: pip install '.[serve]'
set -eu

here=$(dirname "$0")
data=${1:-$here/../../../shared/data}
requests=${2:-600}
clients=${3:-64}
python=${PYTHON:-python3}
work=$(mktemp -d)
pids=
trap 'kill $pids 2>/dev/null; rm -rf "$work"' EXIT
"$python" "$here/../tests/openai_server.py" 8765 &
pids="$pids $!"
"$python" -m cotam serve --upstream http://127.0.0.1:8765 --port 8766 2>"$work/log" &
gateway=$!
pids="$pids $gateway"
"$python" "$here/serve_load.py" "$data/kodak/images" "$work"
until curl -s -o /dev/null http://127.0.0.1:8766/; do sleep 0.2; done
set -- "$work"/*.json
bodies=$#
started=$(date +%s.%N)
seq 0 $((requests - 1)) | awk -v n="$bodies" -v folder="$work" '{ printf "%s/%03d.json\n", folder, $1 % n }' |
    xargs -P "$clients" -I BODY curl -s -o /dev/null -w '%{http_code} %{time_total}\n' \
        -H 'content-type: application/json' --data-binary @BODY http://127.0.0.1:8766/v1/chat/completions >"$work/times"
ended=$(date +%s.%N)
cut -d' ' -f1 "$work/times" | sort | uniq -c | awk '{ print $2 ": " $1 " answers" }'
sort -k2n "$work/times" | awk -v time="$ended $started" '{ t[NR] = $2 }
    END { split(time, at, " "); printf "%.1f answers a second; p50 %.2f s, p95 %.2f s\n", NR / (at[1] - at[2]), t[int(NR / 2) + 1], t[int(NR * 0.95) + 1] }'
awk '/VmHWM/ { printf "gateway: at most %d MB\n", $2 / 1024 }' "/proc/$gateway/status"
