"""What providers over HTTP share: one guarded session per event loop, and one way to name what went wrong.

A provider builds a request, calls ``request`` and turns the answer into a result::

    try:
        answer = await self.request("POST", url, body=body, headers=headers)
    except HttpError as error:
        return error.result(secrets)
    if answer.ok: ...
    return refusal(answer, code=code, text=text, codes=CODES, secrets=secrets)

What the client guards against is said in ``http_client``.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeAlias, TypeVar
from urllib.parse import quote, quote_plus

from notifications.providers.base import CheckResult, CheckStep, CredentialSchema, FailureReason, Provider, SendResult
from notifications.providers.http_client import (
    MAX_ANSWER,
    MAX_RETRY_AFTER,
    BaseUrl,
    HttpAnswer,
    HttpClient,
    HttpError,
    check_base_url,
    redact,
)

__all__ = [
    "MAX_ANSWER",
    "MAX_RETRY_AFTER",
    "BaseUrl",
    "Codes",
    "HttpAnswer",
    "HttpError",
    "HttpProvider",
    "Meaning",
    "check_base_url",
    "redact",
    "refusal",
    "secret_forms",
]

#: What a code or a status means: the reason, and whether another try can help.
Meaning: TypeAlias = tuple[FailureReason, bool]

_R = FailureReason
#: RFC 9110 §15 and RFC 6585 §4, read as vendors use them. What is not here is decided by its first digit.
STATUSES: Mapping[int, Meaning] = {
    400: (_R.CONTENT_ERROR, False),
    401: (_R.AUTH_ERROR, False),
    403: (_R.AUTH_ERROR, False),
    408: (_R.PROVIDER_ERROR, True),
    413: (_R.CONTENT_ERROR, False),
    415: (_R.CONTENT_ERROR, False),
    422: (_R.CONTENT_ERROR, False),
    425: (_R.PROVIDER_ERROR, True),
    429: (_R.RATE_LIMITED, True),
    501: (_R.PROVIDER_ERROR, False),
    505: (_R.PROVIDER_ERROR, False),
}
#: A gateway that lost the answer of the server behind it (RFC 9110 §15.6.3, §15.6.5): the server may have acted.
AMBIGUOUS_STATUSES = frozenset({502, 504})


C = TypeVar("C", bound=CredentialSchema)


class HttpProvider(HttpClient, Provider[C]):
    """Base of the providers over HTTP. Credentials travel with each request, so tenants share the connections."""

    concurrency: ClassVar[int] = 64

    async def check_request(
        self,
        name: str,
        url: str,
        *,
        headers: Mapping[str, str],
        secrets: tuple[str, ...],
        codes: Codes | None = None,
        objection: Callable[[dict[str, Any]], str] = lambda found: "",
    ) -> CheckResult:
        """Fetch something that only a working credential may fetch, and tell what came of it as a check of one step.

        ``objection`` looks at the answer and returns why the credential will not do after all, or an empty text.
        """
        started = asyncio.get_running_loop().time()
        reason: FailureReason | None = None
        try:
            answer = await self.request("GET", url, headers=headers)
        except HttpError as error:
            reason, detail = error.reason, redact(error.text, secrets)
        else:
            found = answer.json()
            if answer.ok and found is not None:
                objections = objection(found)
                reason = _R.AUTH_ERROR if objections else None
                detail = objections or f"{self.label} accepts the credential."
            else:
                code, text = self.problem(answer)
                failure = refusal(answer, code=code, text=text, codes=codes or {}, secrets=secrets)
                reason, detail = failure.reason, f"{failure.code} {failure.response}".strip()
        duration = round((asyncio.get_running_loop().time() - started) * 1000)
        return CheckResult(
            reason is None, detail, reason, (CheckStep(name, reason is None, detail),), duration_ms=duration
        )

    def problem(self, answer: HttpAnswer) -> tuple[str, str]:
        """Return (code, words) of a refusal, in the vendor's own terms; empty where the answer has none."""
        return "", ""


#: A vendor's own error codes.
Codes: TypeAlias = Mapping[str, Meaning]


def refusal(
    answer: HttpAnswer, *, code: str = "", text: str = "", codes: Codes, secrets: tuple[str, ...] = ()
) -> SendResult:
    """Return the result of an answer that is not the vendor's yes: by its code, else by the HTTP status.

    A 2xx that is not what the API promises may be an acceptance all the same, and is ambiguous.
    """
    status = answer.status
    if answer.ok:
        return SendResult.failure(
            _R.PROVIDER_ERROR,
            f"The provider answered {status} with something that its API does not promise.",
            code=str(status),
            ambiguous=True,
        )
    if not text:
        text = (
            "The provider answered with a redirect, which is not followed."
            if status < 400
            else f"The provider answered with HTTP status {status}."
        )
    reason, retryable = codes.get(code) or STATUSES.get(status) or (_R.PROVIDER_ERROR, status >= 500)
    return SendResult.failure(
        reason,
        redact(text, secrets),
        code=redact(code, secrets)[:64] or str(status),
        retryable=retryable,
        retry_after=answer.retry_after if retryable else None,
        ambiguous=status in AMBIGUOUS_STATUSES,
    )


def secret_forms(credential: CredentialSchema, *more: str) -> tuple[str, ...]:
    """Return every spelling in which a credential's secrets may come back, longest first.

    ``more`` are derived secrets, such as the value of an Authorization header.
    """
    payload = credential.reveal()
    forms: set[str] = set()
    for value in (*(payload[name] for name in credential.secret_fields()), *more):
        for secret in value if isinstance(value, list | tuple) else (value,):
            if secret:
                text = str(secret)
                forms |= {text, quote(text, safe=""), quote_plus(text), base64.b64encode(text.encode()).decode()}
    return tuple(sorted(forms, key=len, reverse=True))
