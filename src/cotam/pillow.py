"""Pillow plugin: importing it registers ``.cotam`` with Pillow, for opening and saving.

::

    import cotam.pillow
    Image.open("photo.cotam")
    image.save("photo.cotam", quality=40)

``save`` takes the options of `cotam.encode`, for example ``quality`` (0 … 100), ``target_size`` (bytes) and
``guide``, and Pillow's ``exif``, ``icc_profile`` and ``xmp``. Only still images are saved; of a sequence the
first frame is opened. Pillow truncates an existing file before it calls the plugin, so its contents are lost
even if an option is refused.
"""

from __future__ import annotations

from contextlib import suppress
from inspect import signature
from threading import Lock
from typing import IO, TYPE_CHECKING, Any

from PIL import Image, ImageFile

import cotam
from cotam.api import pillow_info
from cotam.errors import CotamError
from cotam.format.header import HEADER_BYTES, MAGIC, is_sequence, read_file, read_header
from cotam.format.sequence import read_index
from cotam.image.metadata import PILLOW_KEYS

if TYPE_CHECKING:
    from PIL._imaging import PixelAccess

__all__ = ["CotamImageFile"]


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(MAGIC)


class CotamImageFile(ImageFile.ImageFile):
    """A ``.cotam`` file: opening it reads the header, ``load`` decodes the pixels.

    Threads may share an image before it is loaded; it is decoded once.
    """

    format = "COTAM"
    format_description = "CoTAM image"

    def _open(self) -> None:
        self._loading = Lock()
        assert self.fp is not None
        try:
            header = read_header(self.fp.read(HEADER_BYTES))
        except CotamError as error:
            raise SyntaxError(str(error)) from error  # Image.open goes on to UnidentifiedImageError
        self._mode = "RGB"
        self._size = header.width, header.height
        self.info["quality"] = header.quality
        if header.has_metadata:
            with suppress(CotamError):  # load() raises errors in the rest
                self.fp.seek(0)
                self.info |= pillow_info(read_file(self.fp.read()).metadata)

    def verify(self) -> None:
        """Raise OSError if the file is truncated, or its header, metadata or index are damaged."""
        if self.fp:
            self.fp.seek(0)
            data = self.fp.read()
            try:
                if is_sequence(data):
                    read_index(data)
                else:
                    read_file(data)
            except CotamError as error:
                raise OSError(str(error)) from error
        super().verify()

    def load(self) -> PixelAccess | None:
        """Decode the pixels. Raises OSError, from the `CotamError`, if the file is damaged."""
        if self._im is None:
            with self._loading:
                if self._im is None:  # no other thread was first
                    self._decode()
        return Image.Image.load(self)

    def _decode(self) -> None:
        if self.fp is None:
            raise OSError("cannot load this image: its file was closed")
        self.fp.seek(0)
        try:
            decoded = cotam.decode(self.fp.read()).im
        except CotamError as error:
            raise OSError(str(error)) from error
        if self._exclusive_fp:
            self.fp.close()
        self.fp, self.readonly = None, 0
        self.im = decoded


def _save(im: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    options: dict[str, Any] = im.encoderinfo
    if options.get("lossless"):
        raise ValueError("COTAM is a lossy format: save without lossless, or as PNG or WebP")
    known = signature(cotam.encode).parameters
    given = {name: value for name, value in options.items() if name in known and value is not None}
    # Metadata in Pillow's own arguments are kept.
    if boxes := {kind: options[key] for kind, key in PILLOW_KEYS.items() if options.get(key)}:
        im = im.copy()
        for kind, box in boxes.items():
            im.info[PILLOW_KEYS[kind]] = box.tobytes() if isinstance(box, Image.Exif) else box
        kept = given.get("metadata", ())
        given["metadata"] = {*([kept] if isinstance(kept, str) else kept), *boxes}
    fp.write(cotam.encode(im, **given))


def _save_all(im: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    raise ValueError("a COTAM file holds one image: save without save_all and append_images")


Image.register_open(CotamImageFile.format, CotamImageFile, _accept)
Image.register_extension(CotamImageFile.format, ".cotam")
Image.register_mime(CotamImageFile.format, "image/vnd.cotam")

Image.register_save(CotamImageFile.format, _save)
Image.register_save_all(CotamImageFile.format, _save_all)
