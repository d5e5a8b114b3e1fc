#!/bin/sh
# photo_bodies.sh [DATA [OUT]]: five phone photos, three of them of pages, as a hosted API gets them from
# cotam edge --format jpeg --for claude: bytes of the body, which way up they are, and of how many words
# RapidOCR reads the same in the photo and in what was sent.
#
# The photos are made of the folders highres and documents of DATA (../shared/data if not given): 12 megapixels,
# stored on their side with an EXIF orientation. PHOTOS and PAGES take others than 2 and 3; OUT gets what went in
# and out. About three minutes on two cores. Needs: pip install '.[serve]' ./lab.
set -eu

data=${1:-$(dirname "$0")/../../../shared/data}
exec "${PYTHON:-python3}" -m cotam_lab.bench.gateway hosted "$data/highres" --limit "${PHOTOS:-2}" \
    --pages "$data/documents" --page-limit "${PAGES:-3}" ${2:+--out "$2"}
