"""A local Mailchimp for tests, demonstrations and CI: real HTTP, real rules, faults on demand.

It imports nothing else of this package, so it can check the client without sharing its mistakes.
"""
