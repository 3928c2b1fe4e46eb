"""Addresses of campaigns, and of the links in their mails."""

from notifications.campaigns import pages
from notifications.campaigns.api import views
from tenants.api.routing import route

_ONE = "api/notifications/campaigns/<uuid:campaign_id>"

urlpatterns = [
    route("api/notifications/campaigns/", views.CampaignList, "campaigns"),
    route(f"{_ONE}/", views.CampaignDetail, "campaign"),
    route(f"{_ONE}/launch/", views.CampaignLaunch, "campaign-launch"),
    route(f"{_ONE}/schedule/", views.CampaignSchedule, "campaign-schedule"),
    route(f"{_ONE}/pause/", views.CampaignPause, "campaign-pause"),
    route(f"{_ONE}/resume/", views.CampaignResume, "campaign-resume"),
    route(f"{_ONE}/cancel/", views.CampaignCancel, "campaign-cancel"),
    route(f"{_ONE}/duplicate/", views.CampaignDuplicate, "campaign-duplicate"),
    route(f"{_ONE}/test-send/", views.CampaignTestSend, "campaign-test-send"),
    route(f"{_ONE}/progress/", views.CampaignProgress, "campaign-progress"),
    route(f"{_ONE}/recipients/", views.CampaignRecipients, "campaign-recipients"),
    route(f"{_ONE}/report/", views.CampaignReport, "campaign-report"),
    route(f"{_ONE}/report.csv", views.CampaignReportCsv, "campaign-report-csv"),
    route("t/o/<str:token>.gif", pages.Opened, "opened"),
    route("t/c/<str:token>", pages.Clicked, "clicked"),
]
