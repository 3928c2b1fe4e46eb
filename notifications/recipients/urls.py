"""Addresses of people, their preferences, devices and suppressions, and of the way out."""

from notifications.recipients import api, pages, preferences_api, user_service_api, users_api
from tenants.api.routing import route

urlpatterns = [
    route("api/notifications/devices/", api.DeviceList, "devices"),
    route("api/notifications/devices/<uuid:device_pk>/", api.DeviceDetail, "device"),
    route("api/notifications/suppressions/", api.SuppressionList, "suppressions"),
    route("api/notifications/suppressions/<uuid:suppression_id>/", api.SuppressionDetail, "suppression"),
    route("api/v1/users", users_api.UserList, "users"),
    route("api/v1/users/sync", users_api.UserSync, "users-sync"),
    # ``me`` is no id: whoever is signed in.
    route("api/v1/users/me/preferences", preferences_api.MyPreferences, "my-preferences"),
    route("api/v1/users/<uuid:user_pk>", users_api.UserDetail, "user"),
    route("api/v1/users/<uuid:user_pk>/approve", users_api.UserApprove, "user-approve"),
    route("api/v1/users/<uuid:user_pk>/export", users_api.UserExport, "user-export"),
    route("api/v1/users/<uuid:user_pk>/preferences", preferences_api.UserPreferences, "user-preferences"),
    route("api/v1/roles", users_api.RoleList, "roles"),
    route("api/v1/roles/<uuid:role_id>", users_api.RoleDetail, "role"),
    route("api/v1/categories", preferences_api.CategoryList, "categories"),
    route("api/v1/categories/<uuid:category_id>", preferences_api.CategoryDetail, "category"),
    route("api/v1/projects/me/user-service", user_service_api.UserServiceDetail, "user-service"),
    route("u/<str:token>", pages.Unsubscribe, "unsubscribe"),
]
