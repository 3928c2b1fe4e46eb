"""Addresses of the baselines."""

from django.urls import path

from benchmarks.baselines.api import NotificationCreate, Upload

urlpatterns = [
    path("api/notifications/", NotificationCreate.as_view()),
    path("api/uploads/", Upload.as_view()),
]
