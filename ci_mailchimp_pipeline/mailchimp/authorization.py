"""The account's credentials and the address they belong to. Nothing here ever shows a secret."""

import base64
import re
from dataclasses import dataclass
from ipaddress import ip_address

import msgspec
from requests import PreparedRequest
from requests.auth import AuthBase

from ci_mailchimp_pipeline.errors import FixConfigError

# "<32 hex>-<data centre>", for example "...-us21". Mailchimp lists us1 to us22 today and adds more, so the
# shape is checked, not the list; nothing that could leave the host name of the address passes.
_DATA_CENTER = re.compile(r"[a-z]{2,10}[0-9]{0,4}")
_KEY = re.compile(rf"[0-9A-Za-z]+-(?P<dc>{_DATA_CENTER.pattern})")
_TOKEN = re.compile(r"[0-9A-Za-z._~+/=-]+")
_ROOT = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*/?",
    re.IGNORECASE,
)


class _TokenFile(msgspec.Struct):
    access_token: str
    dc: str


@dataclass(frozen=True, slots=True, repr=False)
class Authorization(AuthBase):
    """Signs a request; ``repr`` shows only the data centre.

    Being an explicit ``auth``, it also keeps ``requests`` from looking for credentials in ``.netrc``.
    """

    header: str
    data_center: str | None

    @classmethod
    def from_api_key(cls, key: str) -> "Authorization":
        """Reads an API key ``<hex>-<data centre>``.

        Raises:
            FixConfigError: ``bad_api_key`` when it has another shape; the key is not repeated.
        """
        match = _KEY.fullmatch(key.strip())
        if match is None:
            raise FixConfigError(
                "bad_api_key",
                "The Mailchimp API key does not look like one: letters and digits, '-', a data centre.",
                fix="Copy the whole key from Mailchimp: Profile, Extras, API keys.",
            )
        # Mailchimp takes any user name with the key as password (its own examples: "anystring:key").
        pair = base64.b64encode(f"ci-mailchimp-pipeline:{match[0]}".encode()).decode()
        return cls(f"Basic {pair}", match["dc"])

    @classmethod
    def from_token(cls, token: str, data_center: str | None = None) -> "Authorization":
        """Reads an OAuth token, or the JSON ``{"access_token", "dc"}`` that signing in stored.

        Raises:
            FixConfigError: ``bad_token`` when it is neither; the token is not repeated.
        """
        text = token.strip()
        if text.startswith("{"):
            stored = _read_token_file(text)
            text, data_center = (stored.access_token, stored.dc) if stored else ("", None)
        if not _TOKEN.fullmatch(text) or (
            data_center is not None and not _DATA_CENTER.fullmatch(data_center)
        ):
            raise FixConfigError(
                "bad_token",
                "The Mailchimp token is neither a token nor the JSON that signing in stores.",
                fix="Run `ci-mailchimp connect CONNECTION` to store a new one.",
            )
        return cls(f"Bearer {text}", data_center)

    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        """Adds the header."""
        r.headers["Authorization"] = self.header
        return r

    def __repr__(self) -> str:
        return f"Authorization(data_center={self.data_center!r})"


def api_root_for(authorization: Authorization, api_root: str | None = None) -> str:
    """The address the API is spoken at: ``api_root`` when given and safe, else the data centre's.

    Raises:
        FixConfigError: ``bad_api_root``, or ``no_data_center`` for a plain token without an ``api_root``.
    """
    if api_root is not None:
        return checked_api_root(api_root)
    if authorization.data_center is None:
        raise FixConfigError(
            "no_data_center",
            "A plain token does not say at which Mailchimp data centre the account lives.",
            fix="Run `ci-mailchimp connect CONNECTION`, or set the connection's `api_root`.",
        )
    return f"https://{authorization.data_center}.api.mailchimp.com/3.0"


def checked_api_root(api_root: str) -> str:
    """The address without a trailing slash, if a secret is safe there: https, or http to this machine.

    Raises:
        FixConfigError: ``bad_api_root``.
    """
    match = _ROOT.fullmatch(api_root)
    if match is None or (match["scheme"].lower() == "http" and not is_loopback(match["host"])):
        raise FixConfigError(
            "bad_api_root",
            "The `api_root` of a Mailchimp connection must be an https address, or http to this machine.",
            fix="Remove `api_root`, or use for example http://127.0.0.1:8899/3.0 for the emulator.",
        )
    return api_root.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether a host of an address means this machine and nothing else."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _read_token_file(text: str) -> _TokenFile | None:
    try:
        return msgspec.json.decode(text, type=_TokenFile)
    except (msgspec.DecodeError, RecursionError):
        return None
