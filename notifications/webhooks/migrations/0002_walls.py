"""Row-level security of the webhooks' tables."""

from django.db import migrations

from tenants.isolation import EnableRowLevelSecurity


class Migration(migrations.Migration):
    dependencies = [("webhooks", "0001_initial"), ("tenants", "0002_walls")]

    operations = [EnableRowLevelSecurity("WebhookEndpoint"), EnableRowLevelSecurity("WebhookDelivery")]
