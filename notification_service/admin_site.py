"""The admin site."""

from unfold.sites import UnfoldAdminSite


class AdminSite(UnfoldAdminSite):  # type: ignore[misc]
    """Django admin in the service's clothes."""

    site_title = site_header = "Notification service"
    index_title = "Desk"
