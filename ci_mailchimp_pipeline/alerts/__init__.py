"""Who hears of failed, stopped, doubtful and recovered runs: what is due, in which words, and its delivery.

    incident  ->  message  ->  receivers  ->  (a process of its own) deliver

Nothing in here fails a run: what could not be delivered is told to the caller, who logs it.
"""
