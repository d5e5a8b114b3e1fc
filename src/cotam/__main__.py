"""``python -m cotam`` is ``cotam``."""

from cotam.cli.main import main

main(prog_name="cotam")
