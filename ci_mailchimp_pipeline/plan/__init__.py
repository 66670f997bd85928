"""Decide what to change: desired × ledger × what Mailchimp shows, a pure function of files handed in.

No network, no clock, no ledger: the same files give the same plan and the same ``plan_id``.
Members this pipeline never wrote are in none of the inputs as ours, so they are never touched.
"""
