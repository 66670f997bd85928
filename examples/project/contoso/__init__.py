"""Contoso's data platform."""
