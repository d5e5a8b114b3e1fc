"""``python -m cotam``: the same as ``cotam``."""

from cotam.cli.main import main

main(prog_name="cotam")
