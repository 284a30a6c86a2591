"""Files in, frozen objects out: the vocabulary of `probes/`, `config/` and `rules/`.

Each kind of file has its models in one module (`settings`, `catalogue`, `probes`, `rules`, `channels`); `yaml` reads
with marks, `load` checks the whole set and collects every fault (`params`, `check`, `references`; `words` makes the
sentences), `topology` compiles the catalogue into a graph; `schema`, `reference` and `diff` tell about it. Unknown
keys, duplicates, dangling references are refused here and nowhere else. No wing's behaviour, no database, no network.
"""
