"""What is remembered: three SQLite files with one writer thread each, behind narrow protocols.

`base` has the protocols and the columns that pass through them, `memory` and `sqlite` implement them, `sealing` turns
samples into chunks, `upkeep` backs up, restores and bounds. SQL stands in `queries.sql` and `migrations/`. No wing and
no meaning of a row lives here: bodies of rows are opaque.
"""
