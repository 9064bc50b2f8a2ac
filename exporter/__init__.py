"""A Prometheus exporter that counts the backups of a studio's virtual workstations."""
