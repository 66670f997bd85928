"""Check a cron schedule of five fields without the scheduler that will run it.

Accepts the part of cron that Dagster reads: ``*``, numbers, names of months and weekdays, ranges, steps,
lists.
"""

import re
from dataclasses import dataclass

from ci_mailchimp_pipeline.config.phrases import breach, shown

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # days of each month in a leap year
_ITEM = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d{1,3}))?", re.ASCII)
_FIX = 'write minute, hour, day of month, month and day of week, like "0 6 * * *" (06:00 every day)'


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    lowest: int
    highest: int
    names: tuple[str, ...] = ()

    @property
    def legal(self) -> str:
        names = f" or {self.names[0]} to {self.names[-1]}" if self.names else ""
        return f"{self.lowest} to {self.highest}{names}"

    def number(self, word: str) -> int:
        """Return the number that *word* stands for, or -1."""
        if word.lower() in self.names:
            return self.names.index(word.lower()) + self.lowest
        return int(word) if re.fullmatch(r"[0-9]{1,2}", word) else -1


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 7, _WEEKDAYS),
)


def check_cron(text: str) -> str:
    """Return *text* with single blanks if it is a cron schedule that comes true at some time.

    Raises:
        PydanticCustomError: A field is wrong, the number of fields is not five, or no day ever matches.
    """
    words = text.split()
    if len(words) != len(_FIELDS):
        raise breach(f"{shown(text)} has {len(words)} fields; a cron schedule has 5", _FIX)
    _, _, days, months, _ = (_values(field, word) for field, word in zip(_FIELDS, words, strict=True))
    if not any(min(days) <= _LONGEST[month - 1] for month in months):
        raise breach(f"{shown(text)} never comes true: no such month has a day {min(days)}", _FIX)
    return " ".join(words)


def _values(field: _Field, word: str) -> set[int]:
    found: set[int] = set()
    for item in word.split(","):
        match = _ITEM.fullmatch(item)
        if not match:
            raise breach(f"the {field.name} {shown(item)} is not *, a number, a range or a step", _FIX)
        star, first_word, last_word, step_word = match.groups()
        first = field.lowest if star else field.number(first_word)
        # "5/15" counts from 5 to the end, as "5-59/15" does
        to_end = star or (step_word and not last_word)
        last = field.highest if to_end else field.number(last_word or first_word)
        step = int(step_word or 1)
        if not (field.lowest <= first <= last <= field.highest and 0 < step <= field.highest):
            raise breach(f"the {field.name} {shown(item)} is outside {field.legal}", _FIX)
        found.update(range(first, last + 1, step))
    return found
