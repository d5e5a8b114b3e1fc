"""What is lost between a picture and its decoded copy: squared error, structure, and legibility.

Judges by a network's view are in `cotam_lab.metrics.features` and `cotam_lab.metrics.classes`; `judge` finds all by name.
"""

from __future__ import annotations

import functools
import hashlib
import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from scipy.ndimage import correlate1d

from cotam.errors import InputError, MissingExtraError
from cotam.image.read import Pixels

__all__ = [
    "FIDELITY",
    "JUDGES",
    "READING",
    "TEXT",
    "Judge",
    "WordScore",
    "check_sizes",
    "judge",
    "ms_ssim",
    "of_last_picture",
    "psnr",
    "read_text",
    "word_score",
    "words",
]

JUDGES = ("fidelity", "features", "class", "text", "reading", "tesseract", "contrast")
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
MS_SSIM_MIN_SIDE = 161
MAX_DECIBEL = 100.0

T = TypeVar("T")


@dataclass(frozen=True)
class Judge:
    """A judge of decoded pictures.

    Attributes
    ----------
    name : str
        As in tables.
    keys : tuple of str
        The values that it gives; more is better in each.
    main : tuple of str
        Those that tables show unless asked for others.
    score : callable
        (picture, decoded picture, texts written in it) to a value for each of the keys, None where the
        judge cannot say. Both pictures are uint8 (height, width, 3) RGB of one size.
    prepare : callable
        Loads what the judge needs, so that what is missing is said before a sweep begins.
    """

    name: str
    keys: tuple[str, ...]
    main: tuple[str, ...]
    score: Callable[[Pixels, Pixels, Sequence[str]], dict[str, float | None]]
    prepare: Callable[[], object] = tuple


def judge(spec: str) -> Judge:
    """A judge by name: one of `JUDGES`, or ``features:TEACHER`` for another teacher than the default.

    Raises
    ------
    InputError
        If there is no such judge.
    """
    from cotam_lab.metrics import classes, features, tesseract

    name, _, teacher = spec.partition(":")
    if name == "features":
        return features.features_judge(teacher or features.DEFAULT)
    known = {"fidelity": FIDELITY, "class": classes.CLASS, "text": TEXT, "reading": READING}
    known |= {"tesseract": tesseract.TESSERACT, "contrast": tesseract.CONTRAST}
    if spec not in known:
        raise InputError(f"unknown judge {spec!r}: choose from {', '.join(JUDGES)}, features:TEACHER")
    return known[spec]


def of_last_picture(function: Callable[..., T]) -> Callable[..., T]:
    """Let a function of a picture, and of arguments that can be compared, remember its last answer.

    A sweep goes picture by picture: what a judge finds in an original serves all codecs and qualities.
    """
    last: list[tuple[Any, T]] = []

    @functools.wraps(function)
    def remembered(picture: Pixels, *rest: Any) -> T:
        key = picture.shape, hashlib.blake2b(picture.tobytes()).digest(), rest
        if not last or last[0][0] != key:
            last[:] = [(key, function(picture, *rest))]
        return last[0][1]

    return remembered


def check_sizes(picture: Pixels, decoded: Pixels) -> None:
    """Refuse pictures of different sizes, with `InputError`."""
    if picture.shape != decoded.shape:
        raise InputError(f"the decoded picture is {decoded.shape}, the picture is {picture.shape}")


def psnr(picture: Pixels, decoded: Pixels) -> float:
    """Peak signal-to-noise ratio over all three channels of 8-bit RGB.

    Returns
    -------
    float
        10 log10(255² / mean squared error) in dB; 100 for equal pictures and never more.

    Raises
    ------
    InputError
        If the sizes differ.
    """
    check_sizes(picture, decoded)
    error = float(np.mean(np.square(picture.astype(np.float32) - decoded), dtype=np.float64))
    return MAX_DECIBEL if error == 0 else min(MAX_DECIBEL, 10 * math.log10(255**2 / error))


def ms_ssim(picture: Pixels, decoded: Pixels) -> float:
    """Multi-scale structural similarity of 8-bit RGB, the mean over the channels.

    Wang, Simoncelli, Bovik: "Multiscale structural similarity for image quality assessment", 2003, with its
    five weights; Gaussian window of 11 with σ = 1.5, K = (0.01, 0.03), negative means counted as 0, halving
    by 2×2 means with odd sides padded by a zero row before. These conventions, and so the numbers up to
    1e-4, are those of the package ``pytorch-msssim``, which results in the literature use.

    Returns
    -------
    float
        0…1.

    Raises
    ------
    InputError
        If the sizes differ or a side is under 161 pixels, where the fifth scale is smaller than the window.
    """
    check_sizes(picture, decoded)
    if min(picture.shape[:2]) < MS_SSIM_MIN_SIDE:
        raise InputError(
            f"MS-SSIM needs sides of at least {MS_SSIM_MIN_SIDE} pixels, not {picture.shape[:2]}"
        )
    x, y = picture.astype(np.float64), decoded.astype(np.float64)
    product = np.ones(3)
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        if scale:
            x, y = _halved(x), _halved(y)
        luminance, contrast = _ssim_maps(x, y)
        last = scale == len(MS_SSIM_WEIGHTS) - 1
        values = (luminance * contrast if last else contrast).mean(axis=(0, 1))
        product *= np.maximum(values, 0) ** weight
    return float(product.mean())


def words(text: str) -> list[str]:
    """Split text into the words that count.

    Unicode form NFKC, casefold, split at white space; of each piece the part from its first to its last
    letter or digit; pieces without any are dropped. "TEL : 03-7731 (Kuala)." gives tel, 03-7731, kuala.
    """
    found = []
    for piece in unicodedata.normalize("NFKC", text).casefold().split():
        places = [place for place, character in enumerate(piece) if character.isalnum()]
        if places:
            found.append(piece[places[0] : places[-1] + 1])
    return found


@dataclass(frozen=True)
class WordScore:
    """How many words of a picture were read.

    Attributes
    ----------
    recall : float
        0…1, the share of labelled words that were read: the word accuracy of our tables.
    precision : float
        0…1, the share of words read that are labelled. Text that nobody labelled, such as what is marked
        illegible, counts against it.
    f1 : float
        Harmonic mean of the two.
    """

    recall: float
    precision: float
    f1: float


def word_score(labelled: Iterable[str], read: Iterable[str]) -> WordScore:
    """Compare what is written in a picture with what a reader found, wherever in the picture.

    Both are taken as multisets of `words`: a word that is written three times counts three times, and is
    read as often as it is found, up to three. Equal means equal in every character; place and order do not
    count, and a word that the reader ran together with its neighbour is lost.

    Raises
    ------
    InputError
        If no word is labelled.
    """
    truth = Counter(word for text in labelled for word in words(text))
    found = Counter(word for text in read for word in words(text))
    if not truth:
        raise InputError("a picture without labelled words cannot be judged by its text")
    hits = (truth & found).total()
    precision = hits / found.total() if found else 0.0
    return WordScore(hits / truth.total(), precision, 2 * hits / (truth.total() + found.total()))


def read_text(picture: Pixels) -> list[str]:
    """Read a picture with RapidOCR: the lines of text found, from top to bottom, as strings.

    The models are PP-OCRv6 small, which the package carries, with its own thresholds and sizes. Lines are
    read one by one: in its batches of six a line is padded to the longest and then read worse, so that what
    it says depends on the others. The classifier of upside-down lines is off, and there is one thread, as the
    benchmark runs one process per core. RapidOCR packages before 3 have PP-OCRv4, which loses the spaces
    between English words and with them half of the words.

    Raises
    ------
    MissingExtraError
        If RapidOCR is not installed.
    """
    result = _reader()(np.ascontiguousarray(picture[:, :, ::-1]))  # it takes arrays for BGR
    return list(result.txts or ())


@functools.cache
def _reader() -> Any:
    try:
        from rapidocr import RapidOCR
    except ImportError as error:
        raise MissingExtraError("bench", "rapidocr") from error
    engine = "EngineConfig.onnxruntime"
    return RapidOCR(
        params={
            f"{engine}.intra_op_num_threads": 1,
            f"{engine}.inter_op_num_threads": 1,
            f"{engine}.enable_cpu_mem_arena": True,
            "Rec.rec_batch_num": 1,
            "Global.use_cls": False,
            "Global.log_level": "error",
        }
    )


def _fidelity(picture: Pixels, decoded: Pixels, texts: Sequence[str]) -> dict[str, float | None]:
    small = min(picture.shape[:2]) < MS_SSIM_MIN_SIDE
    similarity = None if small else ms_ssim(picture, decoded)
    decibel = None if similarity is None else -10 * math.log10(max(1 - similarity, 10 ** (-MAX_DECIBEL / 10)))
    return {"psnr": psnr(picture, decoded), "ms_ssim": similarity, "ms_ssim_db": decibel}


def _text(picture: Pixels, decoded: Pixels, texts: Sequence[str]) -> dict[str, float | None]:
    if not texts:
        return dict.fromkeys(("recall", "precision", "f1"))
    score = word_score(texts, read_text(decoded))
    return {"recall": score.recall, "precision": score.precision, "f1": score.f1}


def _reading(picture: Pixels, decoded: Pixels, texts: Sequence[str]) -> dict[str, float | None]:
    read = _read_before(picture)
    return {"words_kept": word_score(read, read_text(decoded)).recall if read else None}


@of_last_picture
def _read_before(picture: Pixels) -> list[str]:
    return [line for line in read_text(picture) if words(line)]


FIDELITY = Judge("fidelity", ("psnr", "ms_ssim", "ms_ssim_db"), ("psnr", "ms_ssim_db"), _fidelity)
"""PSNR in dB, MS-SSIM, and the same in dB as -10 log10(1 - MS-SSIM), up to 100; None below 161 pixels."""

TEXT = Judge("text", ("recall", "precision", "f1"), ("recall", "f1"), _text, prepare=_reader)
"""Words read by RapidOCR in the decoded picture: `word_score` of `read_text`; None without labelled ones."""

READING = Judge("reading", ("words_kept",), ("words_kept",), _reading, prepare=_reader)
"""Of the words that RapidOCR reads in the original, those that it reads in the decoded picture, for pictures
without labels: what it misreads in the original has to be misread again. None where it reads nothing."""


def _blurred(image: np.ndarray) -> np.ndarray:
    """Gaussian blur of (height, width, 3), only where the window of 11 fits whole."""
    kernel = np.exp(-np.square(np.arange(-5, 6)) / (2 * 1.5**2))
    kernel /= kernel.sum()
    for axis in (0, 1):
        image = correlate1d(image, kernel, axis=axis)
    return image[5:-5, 5:-5]


def _ssim_maps(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y = _blurred(x), _blurred(y)
    variance_x = _blurred(x * x) - mean_x**2
    variance_y = _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return luminance, (2 * covariance + c2) / (variance_x + variance_y + c2)


def _halved(image: np.ndarray) -> np.ndarray:
    even = np.pad(image, [*((side % 2, 0) for side in image.shape[:2]), (0, 0)])
    quarters: np.ndarray = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
    return quarters / 4
