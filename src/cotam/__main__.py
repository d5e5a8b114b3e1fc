"""The command ``cotam``; ``python -m cotam`` is the same."""

import signal

# Before and after the command Ctrl-C ends the process: an exception would show a traceback.
_raises = signal.getsignal(signal.SIGINT) is signal.default_int_handler
if _raises:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
from cotam.cli.main import main as _command  # noqa: E402


def main() -> None:
    """Run the command line."""
    if _raises:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        _command(prog_name="cotam")
    finally:
        if _raises:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    main()
