"""REST doors of the tenants room, and what every room's views are built from."""
