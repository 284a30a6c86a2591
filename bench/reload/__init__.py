"""What a reload of very many probes costs: reading their files, and taking them into a daemon that is at work.

Nothing here is part of the product.
"""
