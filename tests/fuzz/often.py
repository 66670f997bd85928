"""How often a law is tried: a little in every run, a lot in a soak (``--hypothesis-profile=soak``)."""

from hypothesis import settings

USUAL = 100  # examples, of which a law states how many it needs in every run


def often(examples: int) -> int:
    """So many *examples*; as many times more as the profile asks for."""
    return max(1, examples * settings().max_examples // USUAL)
