"""The first sight of something that triggers runs: what is there then is the baseline, and starts nothing.

A sensor's cursor holds this and nothing else. What was done since is read from the runs.
"""

from dataclasses import dataclass

import msgspec

# Sensors look twice a minute. One that did not for so long was not there: Dagster was down, or the export was
# switched off; which of the two, the file tells.
ABSENT_SECONDS = 600


class Sight(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A cursor.

    Attributes:
        baseline: What was there at first sight; None when nothing was, or when something else came since.
        of: A hash of the declaration of what is looked at.
        file: Hash of exports.yaml at the last look.
        seen: When that was, seconds since 1970.
    """

    baseline: str | None
    of: str
    file: str
    seen: int

    def encode(self) -> str:
        """As a cursor."""
        return msgspec.json.encode(self).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a sensor looks at, now."""

    of: str
    file: str
    now: int

    def at(self, baseline: str | None) -> Sight:
        """A cursor that remembers this look."""
        return Sight(baseline=baseline, of=self.of, file=self.file, seen=self.now)

    def known(self, cursor: str | None) -> Sight | None:
        """What *cursor* remembers; None when this is a first sight.

        It is one after another declaration of what is looked at, and after an absence during which the file
        changed: somebody may just have switched the export on, and saving never runs anything.
        """
        try:
            sight = msgspec.json.decode(cursor or "", type=Sight)
        except msgspec.DecodeError:
            return None
        if sight.of != self.of:
            return None
        if sight.file != self.file and self.now - sight.seen > ABSENT_SECONDS:
            return None
        return sight
