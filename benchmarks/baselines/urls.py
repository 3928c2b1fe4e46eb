"""Addresses of the baselines."""

from django.urls import path

from benchmarks.baselines.api import NotificationCreate

urlpatterns = [path("api/notifications/", NotificationCreate.as_view())]
