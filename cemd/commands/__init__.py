"""What a person asks at the command line of a running or stopped cemd: epochs, explanations, customers, backups.

Each module prints for people and, with --json, for machines. They read the state directory with connections of their
own, which is safe beside a running daemon. Nothing here decides anything, and nothing long-running lives here.
"""
