#!/bin/sh
# install_size.sh: megabytes of the core with its dependencies, without and with byte code, and with the releases of
# constraints-edge.txt. Two minutes, mostly pip's.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
size() {
    name=$1
    shift
    "$folder/venv/bin/pip" install -q --target "$folder/$name" "$@" "$root"
    echo "$name: $(du -sm "$folder/$name" | cut -f1) MB"
}
size newest --no-compile
size newest_with_byte_code
size edge --no-compile -c "$root/constraints-edge.txt"
