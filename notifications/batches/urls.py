"""Addresses of batches and of files."""

from notifications.batches.api import batches, jobs
from tenants.api.routing import route

_PREFIX = "api/v1/services/notifications"

urlpatterns = [
    route(f"{_PREFIX}/send-batch", batches.SendBatch, "send-batch"),
    route(f"{_PREFIX}/send-chunk", batches.SendChunk, "send-chunk"),
    route(f"{_PREFIX}/batches", batches.BatchList, "batches"),
    route(f"{_PREFIX}/batches/<uuid:batch_id>", batches.BatchDetail, "batch"),
    route(f"{_PREFIX}/batches/<uuid:batch_id>/notifications", batches.BatchNotifications, "batch-notifications"),
    route(f"{_PREFIX}/batches/<uuid:batch_id>/cancel", batches.BatchCancel, "batch-cancel"),
    route(f"{_PREFIX}/bulk", jobs.JobList, "jobs"),
    route(f"{_PREFIX}/bulk/csv", jobs.JobUpload, "job-upload"),
    route(f"{_PREFIX}/bulk/<uuid:job_id>", jobs.JobDetail, "job"),
    route(f"{_PREFIX}/bulk/<uuid:job_id>/errors.csv", jobs.JobErrors, "job-errors"),
    route(f"{_PREFIX}/bulk/<uuid:job_id>/pause", jobs.JobPause, "job-pause"),
    route(f"{_PREFIX}/bulk/<uuid:job_id>/resume", jobs.JobResume, "job-resume"),
    route(f"{_PREFIX}/bulk/<uuid:job_id>/cancel", jobs.JobCancel, "job-cancel"),
]
