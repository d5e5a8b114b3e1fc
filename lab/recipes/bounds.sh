#!/bin/bash
# Run the tests of images and videos with the oldest and the newest Pillow, PyAV and pillow-heif that pyproject.toml
# allows. Run it before a bound is changed. Takes some minutes, and the network.
set -euo pipefail
cd "$(dirname "$0")/../.."
for packages in "pillow==11.3.0 av==17.0.0 pillow-heif==1.0.0" "pillow av pillow-heif"; do
    venv=$(mktemp -d)
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q '.[video,heic]' pytest pytest-timeout hypothesis $packages
    echo "== $packages"
    "$venv/bin/pip" list 2>/dev/null | grep -iE '^(av|pillow)'
    OMP_NUM_THREADS=1 "$venv/bin/python" -m pytest -q tests/image
    rm -r "$venv"
done
