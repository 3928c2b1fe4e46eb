"""What Twilio's error codes mean, of answers and of receipts: https://www.twilio.com/docs/api/errors"""

from __future__ import annotations

from notifications.providers.base import FailureReason
from notifications.providers.http import Codes, Meaning

_R = FailureReason
NEVER: Meaning = (_R.PROVIDER_ERROR, False)
_AUTH: Meaning = (_R.AUTH_ERROR, False)
_CONTENT: Meaning = (_R.CONTENT_ERROR, False)
_BUSY: Meaning = (_R.RATE_LIMITED, True)
_LATER: Meaning = (_R.PROVIDER_ERROR, True)

#: Twilio's error codes, of answers and of receipts: https://www.twilio.com/docs/api/errors
CODES: Codes = {
    "14107": _BUSY,  # rate limit exceeded
    "20003": _AUTH,  # authentication error
    "20005": _AUTH,  # account not active
    "20006": _AUTH,  # access denied
    "20008": _AUTH,  # resource not accessible with test credentials
    "20403": _AUTH,  # forbidden
    "20404": _AUTH,  # there is no such account
    "20429": _BUSY,  # too many requests
    "20500": _LATER,  # internal error
    "20503": _LATER,  # service unavailable
    "21211": _CONTENT,  # invalid To number
    "21212": NEVER,  # invalid From number
    "21214": NEVER,  # To number can not be reached
    "21217": _CONTENT,  # number is not formatted correctly
    "21265": _CONTENT,  # To number is a short code
    "21266": _CONTENT,  # To and From are the same
    "21408": NEVER,  # no permission to send to this region
    "21602": _CONTENT,  # body is required
    "21603": NEVER,  # From is required
    "21604": _CONTENT,  # To is required
    "21605": _CONTENT,  # body is too long
    "21606": NEVER,  # From is not a number that can send this
    "21608": NEVER,  # trial account: To is not verified
    "21609": NEVER,  # StatusCallback is not valid
    "21610": (_R.SUPPRESSED, False),  # the recipient replied STOP
    "21611": _BUSY,  # the queue of this From number is full
    "21612": NEVER,  # To can not be reached from this From
    "21614": NEVER,  # To is not a mobile number
    "21617": _CONTENT,  # body is longer than 1600 characters
    "21619": _CONTENT,  # a text or media is required
    "21620": _CONTENT,  # invalid media address
    "21623": _CONTENT,  # too many media
    "21635": NEVER,  # To is a landline
    "21656": _CONTENT,  # invalid content variables
    "21659": NEVER,  # From is not a Twilio number
    "21660": NEVER,  # From belongs to another account
    "21661": NEVER,  # From can not send text messages
    "21703": NEVER,  # the messaging service has no number
    "21704": NEVER,  # the messaging service has no number for this country
    "21705": NEVER,  # the messaging service is not valid
    "30001": _BUSY,  # queue overflow
    "30002": _AUTH,  # account suspended
    "30003": _LATER,  # handset is switched off or out of reach
    "30004": NEVER,  # message blocked
    "30005": NEVER,  # unknown handset
    "30006": NEVER,  # landline or unreachable carrier
    "30007": _CONTENT,  # filtered as spam
    "30008": _LATER,  # unknown error
    "30009": _LATER,  # a segment is missing
    "30010": NEVER,  # price exceeds the limit
    "30019": _CONTENT,  # content is larger than the carrier takes
    "30022": _BUSY,  # messages per second exceeded
    "30034": NEVER,  # sender is not registered (A2P 10DLC)
    "30036": _LATER,  # validity period expired
    "30454": _BUSY,  # daily limit of the account
}
#: Codes after which nothing will ever reach the number: it is wrong, can not receive texts, or has said STOP.
DEAD_NUMBERS = frozenset({"21211", "21610", "21614", "21635", "30005", "30006"})
