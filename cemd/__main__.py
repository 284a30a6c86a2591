"""`python -m cemd`: the same as the command `cemd`."""

from cemd.cli import main

main()
