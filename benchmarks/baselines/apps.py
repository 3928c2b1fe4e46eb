"""The application of the baselines."""

from django.apps import AppConfig


class BaselinesConfig(AppConfig):
    name = "benchmarks.baselines"
    label = "baselines"
