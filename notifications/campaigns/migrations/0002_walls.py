"""Row-level security of the campaigns' tables."""

from django.db import migrations

from tenants.isolation import EnableRowLevelSecurity


class Migration(migrations.Migration):
    dependencies = [("campaigns", "0001_initial"), ("tenants", "0002_walls")]

    operations = [
        EnableRowLevelSecurity("Campaign"),
        EnableRowLevelSecurity("CampaignRecipient"),
        EnableRowLevelSecurity("CampaignTally"),
    ]
