"""``/api/notifications/campaigns/``: shape in, one service call, shape out."""
