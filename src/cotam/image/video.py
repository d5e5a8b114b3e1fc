"""Read frames and their times from video files, addresses and cameras with PyAV, and write MP4 files.

Needs the extra ``video``.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from cotam.errors import InputError, MissingExtraError
from cotam.image.containers import Pipe, inspect_container
from cotam.image.open import hdr_notes
from cotam.image.read import Pixels, read_image
from cotam.image.readers import check_size
from cotam.image.timeline import Damage, Timeline, frames_are

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Clip", "import_av", "write_mp4"]

_COVER = 0x400 | 0x800  # AV_DISPOSITION_ATTACHED_PIC, AV_DISPOSITION_TIMED_THUMBNAILS
_STILL_CODECS = {"mjpeg", "png", "bmp", "gif", "tiff", "webp"}
_CLOSES_GAPS = {"mpegts", "mpeg", "flv"}  # formats of broadcasts, in which jumps in time are ignored
_FRAME_A_PACKET = {"h264", "hevc", "mpeg1video", "mpeg2video"}
_NO_TIMES = 0x80  # AVFMT_NOTIMESTAMPS: the format is a raw stream
_RETRIES = 3
_MISSING = 1.0  # seconds at the end of a file
_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
_TAGS = {"ITU709": 1, "ITU601": 6}
"""YUV matrix in PyAV → matrix coefficients of ITU-T H.273."""


def import_av() -> Any:
    """Import the module av. Raises MissingExtraError if it is not installed."""
    try:
        import av
    except ModuleNotFoundError as error:
        raise MissingExtraError("video", error.name or "av") from error
    av.logging.set_level(av.logging.PANIC)  # errors are raised, too
    return av


def _reason(error: Exception) -> str:
    """Return the message of FFmpeg in one line."""
    return " ".join((getattr(error, "strerror", None) or str(error)).split())


class Clip:
    """The video of a file, an address or a camera.

    Raises InputError if there is no video, or the file cannot be read; MissingExtraError without the extra
    ``video``.

    Parameters
    ----------
    source : address, camera, or binary stream, from which FFmpeg opens no other file or address
    name : name of the source in error messages
    background : colour behind transparent pixels of image files
    head : the first bytes of a stream, if they were read from it already
    """

    def __init__(
        self,
        source: str | BinaryIO,
        name: str,
        background: str | tuple[int, int, int] = "white",
        head: bytes = b"",
    ) -> None:
        self._errors = (import_av().error.FFmpegError, OSError, ValueError)
        self._source, self._name, self._background = source, name, background
        self._pipe = None if isinstance(source, str) or source.seekable() else Pipe(source, head)
        self._damage = Damage()
        self._ahead: list[int] = []  # times of packets after the last frame that is shown
        self._own_notes, self._container_notes = list[str](), list[str]()
        self._cut: list[str] = []  # a note, if the end of the file is missing
        if not isinstance(source, str) and source.seekable():
            self._container_notes, self._cut = inspect_container(source)
            source.seek(0)
        self._open()

    def _open(self) -> None:
        av, form, options = import_av(), None, {}
        if not isinstance(self._source, str):
            options = {"protocol_whitelist": "none"}  # a list of files or addresses would open them
        elif self._name.startswith("/dev/video") and sys.platform == "linux":
            form, options = "v4l2", {"fflags": "nobuffer"}
        try:
            self._container = av.open(
                self._pipe or self._source, format=form, metadata_errors="ignore", container_options=options
            )
        except self._errors as error:
            raise self._error(error) from error
        try:
            self._stream = self._chosen()
        except InputError:
            self._container.close()
            raise
        if _has_alpha(self._stream) and not self._holds_images():
            self._own_notes.append("its transparency is ignored")
        if self._container.format.flags & _NO_TIMES and not self._stream.codec_context.framerate:
            self._own_notes.append(self._assumed_rate())
        self._stream.thread_type = "AUTO"
        self._timeline = self._new_timeline(self._stream.start_time)
        self._matrix = (1, 0, 0, 1)

    def _chosen(self) -> Any:
        """Choose the stream to read: FFmpeg's choice among those that are not cover images."""
        videos = [stream for stream in self._container.streams.video if not _is_cover(stream)]
        streams = [stream for stream in videos if stream.codec_context]
        if not streams and videos:
            raise InputError(f"{self._name}: its video is in a codec that this FFmpeg does not know")
        if not streams:
            only = ", only a cover image" if self._container.streams.video else ""
            raise InputError(f"{self._name}: there is no video in it{only}")
        moving = [s for s in streams if s.codec_context.name not in _STILL_CODECS and s.frames != 1]
        moving = moving or streams
        best = self._container.streams.best("video")
        chosen = next((stream for stream in moving if stream.index == best.index), moving[0])
        self._own_notes = hdr_notes(chosen.codec_context.color_trc)
        if (count := len(moving) + len(videos) - len(streams)) > 1:
            size = f"{chosen.codec_context.width}×{chosen.codec_context.height}"
            self._own_notes += [f"one of {count} videos in it is read: stream {chosen.index}, {size}"]
        return chosen

    @property
    def notes(self) -> list[str]:
        """What was left out, repaired or assumed so far, one line each; reading frames may add more."""
        found = [*self._container_notes, *self._cut, *self._own_notes]
        return [*found, *self._timeline.notes, *self._damage.notes]

    def _error(self, error: Exception) -> InputError:
        reasons = [_reason(error), *self._container_notes, *self._cut]
        if self._pipe and self._pipe.head[4:8] == b"ftyp" and b"moov" not in self._pipe.head:
            reasons.append("an MP4 whose index is not in front cannot come through a pipe: give the file")
        return InputError(f"{self._name}: cannot be read as video: {'; '.join(reasons)}")

    @property
    def stated_seconds(self) -> float | None:
        """Length that the file states; None if it does not, as for broadcasts, where FFmpeg guesses."""
        if self._closes_gaps():
            return None
        if self._stream.duration:
            return float(self._stream.duration * self._stream.time_base)
        if not self._container.duration:
            return None
        return (self._container.duration - max(self._container.start_time or 0, 0)) / 1e6  # as in Matroska

    @cached_property
    def seconds(self) -> float | None:
        """Length by the packets, which are read but not decoded if the source is a seekable stream.

        Otherwise it is `stated_seconds`. Must be accessed before `frames`.
        """
        if isinstance(self._source, str) or self._pipe:
            return self.stated_seconds
        timeline = self._new_timeline(None)
        for packet in self._packets(Damage()):
            if packet.size:
                timeline.place(packet.pts if packet.dts is None else packet.dts, packet.duration)
        self.close()
        self._source.seek(0)
        self._open()
        return timeline.end or self.stated_seconds

    def _new_timeline(self, start: int | None) -> Timeline:
        return Timeline(self._stream.time_base, start, self._rate(), close_gaps=self._closes_gaps())

    def _rate(self) -> Any:
        """Frames per second by the headers of the stream; None if they do not state them."""
        return self._stream.codec_context.framerate or self._stream.guessed_rate or self._stream.average_rate

    def _assumed_rate(self) -> str:
        return f"it states no frame rate: taken as {self._rate()} frames a second"

    def _closes_gaps(self) -> bool:
        return self._container.format.name in _CLOSES_GAPS

    def frames(self) -> Iterator[tuple[float, Callable[[], Pixels]]]:
        """Read all frames, once: yield seconds, rising from about 0, and a function that returns pixels.

        Pixels are upright, uint8 (H, W, 3). Damaged frames are left out with those that may be predicted from
        them, until the next key frame or for 2 seconds. Raises InputError if no frame can be decoded.
        """
        damage, timeline, count = self._damage, self._timeline, 0
        if self._holds_images():
            yield from self._images()
            return
        for frame in self._decoded(damage):
            seconds = timeline.place(frame.pts, frame.duration)
            if damage.spoils(seconds, key=bool(frame.key_frame), corrupt=frame.is_corrupt):
                continue
            count += 1
            self._ahead = [pts for pts in self._ahead if frame.pts is not None and pts > frame.pts]
            self._matrix = _display_matrix(frame) or self._matrix
            yield seconds, partial(self._pixels, frame, self._matrix)
        if not count and damage.error:
            raise self._error(damage.error) from damage.error
        if not count:
            raise InputError(f"{self._name}: there is no frame in it that can be decoded")
        self._cut = self._pipe.cut if self._pipe else self._cut
        self._own_notes += self._missing(count)

    def _holds_images(self) -> bool:
        """Whether the source is an image file, or several in a row."""
        form = self._container.format.name
        is_split = form == "mjpeg" or form.endswith("_pipe")
        return is_split and self._stream.codec_context.name in _STILL_CODECS

    def _images(self) -> Iterator[tuple[float, Callable[[], Pixels]]]:
        """Yield images that FFmpeg splits and Pillow decodes: PyAV hides a mirrored EXIF orientation."""
        packets = (packet for packet in self._packets(self._damage) if packet.size)
        for number, packet in enumerate(packets):
            if number == 1:
                self._own_notes.append(self._assumed_rate())
            seconds = self._timeline.place(packet.pts, packet.duration)
            yield seconds, partial(self._image, bytes(packet), seconds)

    def _image(self, data: bytes, seconds: float) -> Pixels:
        try:
            image = read_image(data, background=self._background)
        except InputError as error:
            raise InputError(f"image at {seconds:.1f} s: {error}") from error
        self._own_notes += image.notes
        return image.pixels

    def _missing(self, count: int) -> Iterator[str]:
        """Notes on frames that are gone without an error, where ``count`` are shown."""
        stated, damage = self._stream.frames, self._damage
        only_at_end = damage.packets - damage.discarded - count == len(self._ahead)
        if stated > damage.packets:
            missing = stated - damage.packets + (len(self._ahead) if only_at_end else 0)
            are = "is" if missing == 1 else "are"
            self._cut = [f"the file is cut: {missing} of {stated} frames {are} missing at its end"]
        if self._cut and only_at_end:
            self._damage = Damage()  # it was in the last packets, which the cut explains
            return
        lost = damage.packets - damage.discarded - damage.decoded - damage.errors
        # A packet may be a field of an interlaced frame: then half of them give none.
        if self._stream.codec_context.name in _FRAME_A_PACKET and 0 < lost < damage.packets / 4:
            yield f"{frames_are(lost)} missing: damaged, or predicted from frames that are not there"
        if self._container_notes or self._cut:
            return  # what is missing is said
        # The length of a file with several streams may be that of the sound.
        own = self._stream.duration or len(self._container.streams) == 1
        length, end = self.stated_seconds if own else None, self._timeline.end
        if length and length - end > max(_MISSING, 3 * self._timeline.longest):
            yield f"frames may be missing: the last one ends at {end:.1f} s, the file states {length:.1f} s"

    def _decoded(self, damage: Damage) -> Iterator[Any]:
        for packet in self._packets(damage):
            damage.packets += bool(packet.size)
            if packet.size and packet.pts is not None:
                self._ahead.append(packet.pts)
            damage.discarded += packet.is_discard
            try:
                for frame in packet.decode():  # the last packet is empty, and flushes the decoder
                    damage.decoded += 1
                    yield frame
            except self._errors as error:
                damage.found(error)

    def _packets(self, damage: Damage) -> Iterator[Any]:
        """Yield all packets, going on after ones that cannot be read."""
        failures = 0
        while failures <= _RETRIES:
            try:
                for packet in self._container.demux(self._stream):
                    failures = 0
                    yield packet
                return
            except IndexError:  # PyAV fails at the end if FFmpeg found a stream after opening the file
                self._own_notes.append("another stream begins within the file: it is left out")
                return
            except self._errors as error:
                damage.found(error)
                failures += 1
        damage.cut = True

    def _pixels(self, frame: Any, matrix: tuple[int, int, int, int]) -> Pixels:
        aspect = self._stream.sample_aspect_ratio
        width = frame.width
        if aspect and aspect > 0:
            width = max(1, round(width * float(aspect)))  # pixels that are not square
        check_size(width, frame.height)
        # Raw frames of cameras are BT.601 at all sizes, which is the default of V4L2.
        stated = frame.colorspace != _UNSPECIFIED or "v4l2" in self._container.format.name
        source = None if stated else _usual_matrix(frame.width, frame.height)
        shown = frame.to_ndarray(format="rgb24", width=width, height=frame.height, src_colorspace=source)
        return _displayed(shown, matrix)

    def close(self) -> None:
        """Close the address or camera; a stream stays open."""
        # PyAV frees a decoder with the interpreter lock held, and waits for its threads, which may wait for
        # the lock. Flushing waits for them without the lock.
        self._stream.codec_context.flush_buffers()
        self._container.close()


def _is_cover(stream: Any) -> bool:
    """Whether a stream is a cover image or a thumbnail."""
    disposition = stream.disposition  # a number, or before PyAV 18 an enumeration
    return bool(getattr(disposition, "value", disposition) & _COVER)


def _has_alpha(stream: Any) -> bool:
    """Whether a stream has transparency, which in WebM FFmpeg's own decoders do not decode."""
    form = stream.codec_context.format
    named = stream.metadata.get("alpha_mode") == "1"
    return named or bool(form and any(one.is_alpha for one in form.components))


def _display_matrix(frame: Any) -> tuple[int, int, int, int] | None:
    """Return a, b, c, d of the display matrix, which maps (x, y) to (a x + c y, b x + d y); else None."""
    try:
        data = next((part for part in frame.side_data if part.type.name == "DISPLAYMATRIX"), None)
    except ValueError:  # PyAV fails on all side data if it does not know one kind, such as EXIF
        angle = math.radians(frame.rotation)
        a, b = round(math.cos(angle)), round(-math.sin(angle))
        return (a, b, -b, a) if angle else None
    if data is None:
        return None
    values = np.frombuffer(bytes(data), np.int32)
    return int(values[0]), int(values[1]), int(values[3]), int(values[4])


def _usual_matrix(width: int, height: int) -> str:
    """Return the YUV matrix that players assume if a video states none: BT.709 for HD, else BT.601."""
    return "ITU709" if width >= 1280 or height >= 720 else "ITU601"


def _displayed(pixels: Pixels, matrix: tuple[int, int, int, int]) -> Pixels:
    """Rotate and mirror pixels by the display matrix, in quarter turns."""
    a, b, c, d = matrix
    if abs(a) + abs(d) < abs(b) + abs(c):
        pixels, a, d = pixels.transpose(1, 0, 2), c, b
    if a < 0:
        pixels = pixels[:, ::-1]
    if d < 0:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


# Writing


def write_mp4(target: BinaryIO, frames: Iterable[tuple[float, Image.Image]]) -> None:
    """Write frames at their times to a seekable stream, as MP4 (H.264, CRF 12).

    Raises InputError if H.264 cannot hold such frames, and OSError if ``target`` cannot be written.
    """
    av = import_av()
    clock = Fraction(1, 90_000)
    stream = None
    try:
        with av.open(target, "w", format="mp4") as container:
            for seconds, image in frames:
                pixels = np.asarray(image)
                # H.264 in 4:2:0 needs even sides.
                pixels = np.pad(pixels, [(0, n % 2) for n in pixels.shape[:2]] + [(0, 0)], mode="edge")
                if stream is None:
                    stream = container.add_stream("libx264", options={"crf": "12", "preset": "medium"})
                    stream.height, stream.width = pixels.shape[:2]
                    stream.pix_fmt, stream.time_base = "yuv420p", clock
                    stream.codec_context.time_base = clock
                    colours = _usual_matrix(stream.width, stream.height)
                    stream.codec_context.colorspace = _TAGS[colours]
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
                frame = frame.reformat(format="yuv420p", dst_colorspace=colours)
                frame.pts, frame.time_base = round(seconds / clock), clock
                container.mux(stream.encode(frame))
            if stream is not None:
                container.mux(stream.encode(None))
    except av.error.FFmpegError as error:
        failed = error.__context__
        if isinstance(failed, OSError) and not isinstance(failed, av.error.FFmpegError):
            raise failed from None  # of ``target``: closing the file has failed because of it
        size = "" if stream is None else f" of {stream.width}×{stream.height}"
        raise InputError(f"frames{size} cannot be written as MP4: {_reason(error)}") from error
