"""Addresses of templates and lookups."""

from notifications.templates import api, lookups_api
from tenants.api.routing import route

_TEMPLATES = (
    ("", api.TemplateList, "templates"),
    ("<str:key>/", api.TemplateDetail, "template"),
    ("<str:key>/preview/", api.TemplatePreview, "template-preview"),
    ("<str:key>/publish/", api.TemplatePublish, "template-publish"),
    ("<str:key>/restore/<int:number>/", api.TemplateRestore, "template-restore"),
    ("<str:key>/versions/", api.VersionList, "template-versions"),
    ("<str:key>/versions/<int:number>/", api.VersionDetail, "template-version"),
    ("<str:key>/versions/<int:number>/diff/<int:other>/", api.VersionDiff, "template-diff"),
)

urlpatterns = [
    *(route(f"api/notifications/templates/{path}", view, name) for path, view, name in _TEMPLATES),
    *(
        route(f"api/v1/admin/templates/{path}".removesuffix("/"), view, f"admin-{name}")
        for path, view, name in _TEMPLATES
    ),
    route("api/v1/admin/lookups", lookups_api.LookupList, "lookups"),
    route("api/v1/admin/lookups/types", lookups_api.LookupTypes, "lookup-types"),
    route("api/v1/admin/lookups/<uuid:lookup_id>", lookups_api.LookupDetail, "lookup"),
]
