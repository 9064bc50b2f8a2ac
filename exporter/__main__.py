"""`python -m exporter` is the command `studio-backup-exporter`."""

import sys

from exporter.cli import main

sys.exit(main())
