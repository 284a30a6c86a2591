"""`python -m cemd`: the same as the command `cemd`."""

from cemd.cli import main

main(prog_name="cemd")
