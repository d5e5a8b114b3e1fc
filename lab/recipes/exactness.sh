#!/bin/sh
# exactness.sh [FOLDER …]: decode 50 images at 5 qualities with ONNX Runtime (1 and 2 threads, graph optimisation on and
# off) and with onnx.reference, node by node in NumPy. Fails if any symbol differs from the encoder's. Prints how far the
# pixels of ONNX Runtime are apart.
#
# FOLDERs hold images; by default kodak, charts and objects in ../shared/data. Settings: COUNT of images, SET, the weight
# set (mllm). onnx.reference takes most of the time: minutes per megapixel. Needs: pip install . ./lab
set -eu

here=$(dirname "$0")
data=$here/../../../shared/data
[ $# -gt 0 ] || set -- "$data/kodak" "$data/charts" "$data/objects"
PYTHONPATH="$here/../tests:$here/../../tests${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-python3}" "$here/exactness.py" "${COUNT:-50}" "${SET:-mllm}" "$@"
