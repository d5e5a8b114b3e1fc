"""Metrics of screens and pages: words read by Tesseract, and contrast-weighted error."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from io import BytesIO

from PIL import Image

from cotam.codec.contrast import balanced_error, contrast_error
from cotam.compare.words import share_read
from cotam.errors import CotamError
from cotam.image.read import Pixels
from cotam_lab.metrics.base import Metric, remember_last_image
from cotam_lab.metrics.fidelity import decibel

__all__ = ["CONTRAST", "TESSERACT", "read_with_tesseract"]

COMMAND = "tesseract"


def read_with_tesseract(image: Pixels) -> list[str]:
    """Read an image with Tesseract as installed: English, its default page segmentation, one thread.

    Returns
    -------
    list of str
        Lines, from top to bottom.

    Raises CotamError if there is no command ``tesseract``, or it fails.
    """
    _check()
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "PPM")
    result = subprocess.run(
        [COMMAND, "-", "-"],
        input=buffer.getvalue(),
        capture_output=True,
        env=os.environ | {"OMP_THREAD_LIMIT": "1"},
        check=False,
    )
    if result.returncode:
        raise CotamError(f"tesseract failed: {result.stderr.decode(errors='replace')[-200:].strip()}")
    return result.stdout.decode("utf-8", "replace").splitlines()


def _check() -> None:
    if shutil.which(COMMAND) is None:
        raise CotamError("tesseract is not installed: apt-get install tesseract-ocr")


_read_in_original = remember_last_image(read_with_tesseract)


def _score(original: Pixels, decoded: Pixels, texts: Sequence[str]) -> dict[str, float | None]:
    return {"tesseract_kept": share_read(_read_in_original(original), read_with_tesseract(decoded))}


def _contrast(original: Pixels, decoded: Pixels, texts: Sequence[str]) -> dict[str, float | None]:
    errors = {"contrast": contrast_error(original, decoded), "balanced": balanced_error(original, decoded)}
    return {name: decibel(error / 255**2) for name, error in errors.items()}


TESSERACT = Metric("tesseract", ("tesseract_kept",), ("tesseract_kept",), _score, prepare=_check)
"""Share of the words that Tesseract reads in the original that it also reads in the decoded image."""

CONTRAST = Metric("contrast", ("contrast", "balanced"), ("contrast",), _contrast)
"""Contrast-weighted and balanced error (`cotam.codec.contrast`) as peak signal-to-noise ratios in dB."""
