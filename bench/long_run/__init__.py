"""The long run: very many mixed probes on peers that count, and whether cemd's records say exactly the same."""
