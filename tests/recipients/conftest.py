"""A tenant's own user service for all tests of this room."""

from tests.recipients.their_service import store, theirs, this_machine_is_allowed  # noqa: F401 - fixtures
