"""Time the frames of videos whose timestamps are missing or restart, and track damage."""

from __future__ import annotations

from fractions import Fraction

__all__ = ["Damage", "Timeline", "frames_are"]

_DEFAULT_RATE = 25.0  # frames a second
_LATE = 1.0  # seconds that a frame may come late without a restart of time
_GAP = 10.0  # seconds
_STUCK = 2  # repeated timestamps
_HEALED = 2.0  # seconds after damage


class Timeline:
    """Converts timestamps that may be missing, late or restart to seconds that increase from 0.

    Parameters
    ----------
    time_base : unit of timestamps, in seconds
    start : timestamp of 0 s; None is the first one placed
    rate : frames per second for frames without timestamps and durations; None if unknown
    close_gaps : whether jumps of more than 10 s are ignored, as in concatenated broadcasts
    """

    def __init__(
        self,
        time_base: Fraction,
        start: int | None,
        rate: Fraction | float | None,
        *,
        close_gaps: bool = False,
    ) -> None:
        self._unit = float(time_base)
        self._offset = None if start is None else -start * self._unit
        self._rate, self._close_gaps = float(rate or 0), close_gaps
        self._begin = 0.0  # of the part since timestamps started anew
        self._last: float | None = None
        self._timestamp: float | None = None
        self._stuck = 0  # frames in a row with the timestamp of the one before
        self._restarts: list[float] = []
        self._repeats: list[float] = []
        self._untimed = False
        self.end = 0.0  # of the last frame, in seconds
        self.longest = 0.0  # longest time from one frame to the next, in seconds

    def place(self, timestamp: int | None, duration: int | None) -> float:
        """Return the seconds of the next frame.

        ``timestamp`` and ``duration`` are in units of the time base; None, or 0 for a duration, if unknown.
        """
        length = (duration or 0) * self._unit or 1 / (self._rate or _DEFAULT_RATE)
        expected = 0.0 if self._last is None else self.end
        if timestamp is None:
            self._untimed = self._untimed or not (duration or self._rate)
            seconds = expected
        else:
            seconds = self._from_timestamp(timestamp * self._unit, expected, length)
        if self._last is not None:
            self.longest = max(self.longest, seconds - self._last)
        self._last, self.end = seconds, seconds + length
        return seconds

    def _from_timestamp(self, time: float, expected: float, length: float) -> float:
        if self._offset is None:
            self._offset = -time
        self._stuck = self._stuck + 1 if time == self._timestamp else 0
        self._timestamp = time
        if self._stuck >= _STUCK:
            if self._stuck == _STUCK:
                self._repeats.append(expected)
            return expected
        seconds = time + self._offset
        if self._last is None:
            return max(seconds, 0.0)
        back = self._last - seconds
        returned = seconds <= self._begin + length / 2 and self._last > self._begin + length / 2
        jumped = self._close_gaps and seconds - expected > _GAP
        if not (back > _LATE or (back > 0 and returned) or jumped):
            return max(seconds, self._last + 1e-3)  # a late frame is shown next
        self._restarts.append(expected)
        self._offset += expected - seconds
        self._begin = expected
        return expected

    @property
    def notes(self) -> list[str]:
        """What was assumed or corrected, one line each."""
        jumps, stops = _list_times(self._restarts), _list_times(self._repeats)
        assumed = f"it states neither times nor a frame rate: taken as {_DEFAULT_RATE:g} frames a second"
        return [
            *([f"timestamps jump at {jumps} s: time goes on from there"] if jumps else []),
            *([f"timestamps stand still at {stops} s: frames follow at their rate"] if stops else []),
            *([assumed] if self._untimed else []),
        ]


class Damage:
    """Tracks errors in a stream and the frames that they damage."""

    def __init__(self) -> None:
        self.error: Exception | None = None  # the first one
        self.packets = self.decoded = self.errors = 0
        self.discarded = 0  # packets that are not to be shown
        self.cut = False  # whether the rest of the stream cannot be read
        self._since: float | None = None  # the time of damage from which no key frame has come
        self._last = 0.0
        self._left_out = 0
        self._times: list[float] = []
        self._traces: list[float] = []

    def found(self, error: Exception | None = None) -> None:
        """Record that something after the last frame given to `spoils` cannot be read or decoded."""
        self.error = self.error or error
        self.errors += 1
        if self._since is None:
            self._since = self._last
            self._times.append(self._last)

    def spoils(self, seconds: float, *, key: bool, corrupt: bool) -> bool:
        """Whether a frame is damaged or may be predicted from damage: until a key frame, or for 2 seconds."""
        self._last = seconds
        if corrupt and self._since is None:
            self._since = seconds
            self._times.append(seconds)
        if self._since is None:
            return False
        healed = seconds - self._since > _HEALED
        if not corrupt and (key or healed):
            if not key:
                self._traces.append(seconds)
            self._since = None
            return False
        self._left_out += 1
        return True

    @property
    def notes(self) -> list[str]:
        """What is missing, one line each."""
        if not self._times:
            return []
        text = f"damaged at {_list_times(self._times)} s: {frames_are(self._left_out + self.errors)} left out"
        if self._traces:
            text += f", those from {self._traces[0]:.1f} s on may show traces of it"
        return [text + (", and what comes after it" if self.cut else "")]


def frames_are(count: int) -> str:
    """Format a number of frames as the beginning of a sentence: "1 frame is", "2 frames are"."""
    return "1 frame is" if count == 1 else f"{count} frames are"


def _list_times(times: list[float]) -> str:
    """Format the first three times."""
    return ", ".join([f"{seconds:.1f}" for seconds in times[:3]] + ["…"] * (len(times) > 3))
