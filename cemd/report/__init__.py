"""Report: staff are alerted, exactly the affected customers are told, once, and told again when it is over.

`stage` is its part of `step`; `alerts` (staff) and `audience`, `decide`, `told` (customers) are two engines that share
no policy; `edge` sends what is committed and brings outcomes back; `channels/` has one file a kind. Its whole state is
rows, the outbox, and the customer columns. Nothing is sent here that is not in the outbox first.
"""
