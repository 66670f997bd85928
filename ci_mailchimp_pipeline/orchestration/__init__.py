"""Dagster: assets, checks, jobs, and what it stores. The steps themselves are in ``pipeline``.

    home, folders, session, failures  ->  metadata, checks  ->  assets  ->  jobs  ->  launch

The page and the command line run the same jobs; only ``launch`` is for the command line alone.
"""
