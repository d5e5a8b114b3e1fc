"""The command ``cotam``; ``python -m cotam`` is the same."""

import signal

# Meanwhile Ctrl-C ends the process: as an exception it would show a traceback of the imports.
_raises = signal.getsignal(signal.SIGINT) is signal.default_int_handler
if _raises:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
from cotam.cli.main import main  # noqa: E402

if _raises:
    signal.signal(signal.SIGINT, signal.default_int_handler)

if __name__ == "__main__":
    main(prog_name="cotam")
