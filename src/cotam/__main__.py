"""``python -m cotam`` is ``cotam``."""

from cotam.cli import main

main(prog_name="cotam")
