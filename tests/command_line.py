"""Run commands in this process, on a small image."""

from __future__ import annotations

import numpy as np
from click.testing import CliRunner, Result
from PIL import Image
from synthetic import picture

import cotam
from cotam.cli.main import main

PIXELS = picture(70, 100)
CODED = cotam.encode(PIXELS)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], prog_name="cotam", catch_exceptions=False)


def pixels_of(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
