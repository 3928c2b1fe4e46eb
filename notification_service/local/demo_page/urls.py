"""Addresses of the demo page; only ``make up`` mounts them (``DEMO_FILE``)."""

from notification_service.local.demo_page.views import DemoFile, DemoPage, DemoPeople
from tenants.api.routing import route

urlpatterns = [
    route("demo/", DemoPage, "demo"),
    route("demo/people", DemoPeople, "demo-people"),
    route("demo/files/<str:name>", DemoFile, "demo-file"),
]
