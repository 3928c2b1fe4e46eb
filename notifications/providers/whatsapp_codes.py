"""Error codes of the WhatsApp Cloud API, in answers and in webhooks.

https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes
"""

from __future__ import annotations

from collections.abc import Mapping

from notifications.providers.base import FailureReason
from notifications.providers.http import Codes

_R = FailureReason
_AUTH, _CONTENT, _LIMIT = (_R.AUTH_ERROR, False), (_R.CONTENT_ERROR, False), (_R.RATE_LIMITED, True)
_TROUBLE, _NEVER = (_R.PROVIDER_ERROR, True), (_R.PROVIDER_ERROR, False)
#: Reason, and whether another try can help.
CODES: Codes = {
    # Authorization
    "0": _AUTH,  # the token could not be verified
    "3": _AUTH,  # no permission for the API
    "10": _AUTH,  # no permission
    "190": _AUTH,  # the token has expired
    **{str(code): _AUTH for code in range(200, 300)},  # no permission for the resource
    # Integrity
    "368": _AUTH,  # the account is restricted for a violation of policy
    "130497": _NEVER,  # not allowed to write to this country
    "131031": _AUTH,  # the account is locked
    # Throttling
    "4": _LIMIT,  # too many calls of the app
    "80007": _LIMIT,  # too many calls of the account
    "130429": _LIMIT,  # too many messages a second
    "131048": _LIMIT,  # too many messages were blocked or reported as spam
    "131056": _LIMIT,  # too many messages to this recipient
    "133016": _LIMIT,  # too many registrations
    # Other
    "1": _TROUBLE,  # unknown
    "2": _TROUBLE,  # down or overloaded
    "33": _AUTH,  # the sender's number was deleted
    "100": _CONTENT,  # an unknown or misspelt parameter
    "130472": _NEVER,  # the recipient is part of an experiment of WhatsApp's
    "131000": _TROUBLE,
    "131005": _AUTH,  # access denied
    "131008": _CONTENT,  # a parameter is missing
    "131009": _CONTENT,  # a parameter has a wrong value
    "131016": _TROUBLE,  # service unavailable
    "131021": _CONTENT,  # recipient and sender are the same
    "131026": _NEVER,  # undeliverable: no WhatsApp, old version, terms not accepted
    "131030": _NEVER,  # not in the list of a test number's recipients
    "131037": _AUTH,  # the display name is not approved
    "131042": _AUTH,  # payment
    "131045": _AUTH,  # the number is not registered
    "131047": _CONTENT,  # the 24-hour window is closed
    "131049": _NEVER,  # kept back "to maintain healthy ecosystem engagement"
    "131050": (_R.SUPPRESSED, False),  # the recipient wants no marketing from this sender
    "131051": _CONTENT,  # the type of message is not supported
    "131052": _CONTENT,  # media could not be downloaded from the sender
    "131053": _CONTENT,  # media could not be uploaded
    "131057": _TROUBLE,  # the account is in maintenance
    "132000": _CONTENT,  # the number of parameters is not the template's
    "132001": _CONTENT,  # the template does not exist in this language, or is not approved
    "132005": _CONTENT,  # too long once translated
    "132007": _CONTENT,  # against the rules for characters
    "132012": _CONTENT,  # a parameter has the wrong format
    "132015": _CONTENT,  # the template is paused for its quality
    "132016": _CONTENT,  # the template is disabled for its quality
    "132018": _CONTENT,  # something is wrong with the template's parameters
    "132068": _CONTENT,  # the flow is blocked
    "132069": _LIMIT,  # the flow is throttled
    "133004": _TROUBLE,  # server temporarily unavailable
    "133010": _AUTH,  # the number is not registered
    "135000": _CONTENT,  # generic: something is wrong with the parameters
}
#: What a person should know that the vendor's words do not say.
HINTS: Mapping[str, str] = {
    "131047": "The recipient has not written in the last 24 hours: only a template can be sent now.",
    "190": "The access token has expired or was revoked.",
}
#: Codes of a failure that lies with the recipient.
UNDELIVERABLE = frozenset({"130472", "131026", "131049", "131050"})
