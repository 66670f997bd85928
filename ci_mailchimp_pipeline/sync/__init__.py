"""Carry a plan out: read what Mailchimp shows, write batch by batch, record each answer before the next.

The only step that knows the plan, Mailchimp and the ledger together.
"""
