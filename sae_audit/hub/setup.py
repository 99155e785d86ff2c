"""This machine's settings for the hub: address, token, proxies, certificates."""

import os
from urllib.parse import urlsplit

from sae_audit.errors import AuditError
from sae_audit.hub.refusals import first_line
from sae_audit.hub.sessions import bounded_session
from sae_audit.untrusted import shown

_SECONDS = ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT")
"""Variables that the hub library, and with it transformers, parses as numbers on import."""


def check_environment() -> None:
    """Check that the hub library can be imported with this environment.

    Raises:
        AuditError: A variable must hold a number and does not.
    """
    for name in _SECONDS:
        value = os.environ.get(name)
        try:
            _ = int(value) if value is not None else 0
        except ValueError as error:
            raise AuditError(
                f"{name} is {shown(repr(value), 60)}, where whole seconds are needed; correct it, or "
                "unset it."
            ) from error


def known_token() -> str | None:
    """The token that the hub library would send; None if there is none.

    Raises:
        AuditError: It cannot be read, or is invalid.
    """
    from huggingface_hub import get_token
    from huggingface_hub.constants import HF_TOKEN_PATH

    try:
        token = get_token()
    except (OSError, UnicodeError) as error:
        raise AuditError(
            f"The hub's token cannot be read from {shown(HF_TOKEN_PATH)} ({shown(first_line(error))}); "
            "log in again (hf auth login), or set HF_HOME to a folder of yours."
        ) from error
    if token is not None and not (token.isascii() and token.isprintable()):
        raise AuditError(
            "The hub's token (HF_TOKEN, or what hf auth login stored) holds characters that no token "
            "has; set it again."
        )
    return token


def check_setup() -> str | None:
    """The token, after a check that requests to the hub are possible at all.

    Raises:
        AuditError: The address, the token, a proxy or the certificates are invalid.
    """
    from huggingface_hub.constants import ENDPOINT

    try:
        _ = urlsplit(ENDPOINT).port
    except ValueError as error:
        raise AuditError(
            f"HF_ENDPOINT is {shown(ENDPOINT)}, which is no address ({shown(error)}); correct it."
        ) from error
    token = known_token()
    try:
        bounded_session()
    except (ValueError, ImportError, OSError) as error:
        raise AuditError(
            f"No connection to the hub can be set up ({shown(first_line(error))}); correct the proxy "
            "(HTTPS_PROXY, HTTP_PROXY, ALL_PROXY) or the certificates (SSL_CERT_FILE) that are set."
        ) from error
    return token
