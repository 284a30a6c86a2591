"""Improve: findings become incidents with cause, impact and a life; actions are proposed and carried out.

`stage` is its part of `step`, `desk` the work on one entry; `picture`, `grouping`, `cause`, `impact` and `lifecycle`
think. Its whole state is rows. It speaks to no customer and to no staff (report does), and it never looks at samples.
"""
