from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('webhooks', '0003_ordered_by'),
    ]

    operations = [
        migrations.RenameField('webhookendpoint', 'paused_until', 'probe_at'),
        migrations.RenameField('webhookendpoint', 'opened', 'backoff'),
        migrations.AlterField('webhookendpoint', 'backoff', models.PositiveSmallIntegerField(default=0)),
        migrations.AddField('webhookendpoint', 'not_before', models.DateTimeField(null=True)),
        migrations.AddField('webhookdelivery', 'failing_since', models.DateTimeField(null=True)),
        migrations.AddField('webhookdelivery', 'not_before', models.DateTimeField(null=True)),
    ]
