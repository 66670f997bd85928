"""What PostgreSQL's errors mean to a person: https://www.postgresql.org/docs/current/errcodes-appendix.html."""

from ci_mailchimp_pipeline.errors import FixConfigError, PipelineError, RunLaterError

BUSY_SECONDS = 30.0  # a commit takes milliseconds and a bulk write seconds; nobody waits longer than this


def meaning_of(state: str) -> PipelineError | None:
    """Return what an SQLSTATE means to a person; None when it can only be a bug of ours."""
    return next((meaning() for known, meaning in _MEANINGS.items() if state.startswith(known)), None)


def bad_option() -> FixConfigError:
    """The URL cannot be understood."""
    return FixConfigError(
        "unknown_ledger",
        "the ledger's URL names PostgreSQL, and an option in it is none that PostgreSQL knows",
        fix="correct CI_MAILCHIMP_LEDGER after the question mark; the options are those of "
        "https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS",
    )


def unreachable() -> RunLaterError:
    """There is no connection, and there may be one later."""
    return RunLaterError(
        "ledger_unreachable",
        "the PostgreSQL server of the ledger did not answer, or the connection to it was lost",
        fix="see whether the server is well and CI_MAILCHIMP_LEDGER names it, then run again",
    )


def no_access() -> FixConfigError:
    """There will be no connection until somebody mends the URL, or the server's rights."""
    return FixConfigError(
        "ledger_no_access",
        "the PostgreSQL server does not let us use the ledger's database",
        fix="correct user, password, database and schema in CI_MAILCHIMP_LEDGER; the user must be allowed to "
        "create tables there",
    )


def _busy() -> RunLaterError:
    return RunLaterError(
        "ledger_busy",
        f"the ledger was locked in PostgreSQL for {BUSY_SECONDS:.0f} s, or the server had too much to do",
        fix="wait for what else uses it (a run, a backup, maintenance), then run again",
    )


def _disk_full() -> RunLaterError:
    return RunLaterError(
        "ledger_disk_full",
        "no space left for the ledger on the PostgreSQL server",
        fix="free disk space there, then run again",
    )


def _io_error() -> RunLaterError:
    return RunLaterError(
        "ledger_io_error",
        "the disk under the PostgreSQL server did not read or write",
        fix="check the server's disk, then run again",
    )


def _damaged() -> FixConfigError:
    return FixConfigError(
        "ledger_damaged",
        "PostgreSQL says that the ledger's tables or their indexes are damaged",
        fix="restore the database from a backup",
    )


_MEANINGS = {
    "08": unreachable,  # connection lost
    "25P03": unreachable,  # we were stopped inside a transaction for too long
    "25006": unreachable,  # a standby: somebody is about to become the primary, or the URL names the wrong one
    "57P": unreachable,  # shut down, crashed, starting up
    "53100": _disk_full,
    "53300": unreachable,  # too many connections
    "53": _busy,
    "28": no_access,
    "3D000": no_access,  # no such database
    "3F000": no_access,  # no such schema
    "42501": no_access,  # not permitted
    "22P05": no_access,  # the database is not UTF-8
    "55P03": _busy,  # lock_timeout
    "57014": _busy,  # canceled: statement_timeout, or an administrator
    "40": _busy,  # deadlock, serialization
    "58": _io_error,
    "XX001": _damaged,
    "XX002": _damaged,
}
