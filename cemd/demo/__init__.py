"""DemoTelco: one model of a small operator, its real servers on loopback, its customers, its faults; and `cemd demo`.

`operator`, `faults`, `population` and `verdict` hold the truth, which no wing can import; `telco` is the operator as a
process of its own; `command` lets the ordinary daemon watch it on a copy of the shipped files (`files`) and judges by
what really arrived. `world` is an operator from a scenario file in virtual time, and `day` lets the real core live in
it (`cemd bench day`). Nothing here may help the daemon: it is asked through its HTTP API and its command line only.
"""
