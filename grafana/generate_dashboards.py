"""Write the two Grafana dashboards of grafana/dashboards/.

In: the panels that grafana/panels/ describes. Out: `studio-backups.json` and `studio-backup-exporter.json`, plain
dashboard JSON for Grafana 11 and later. `--check` writes nothing and exits 1 when a file differs from what would be
written.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs as a plain script

from grafana.panels import studio_backup_exporter, studio_backups
from grafana.panels.parts import Json

DASHBOARDS = Path(__file__).resolve().parent / "dashboards"


def dashboards() -> dict[str, Json]:
    """Both dashboards by file name."""
    return {f"{model['uid']}.json": model for model in (studio_backups.model(), studio_backup_exporter.model())}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or with `--check` compare them. Returns the exit code: 1 where a compared file differs."""
    parser = argparse.ArgumentParser(description="Write the Grafana dashboards.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is not current")
    parser.add_argument("--folder", type=Path, default=DASHBOARDS, help="where the files are (default: %(default)s)")
    options = parser.parse_args(arguments)
    stale = False
    for name, model in dashboards().items():
        path: Path = options.folder / name
        text = json.dumps(model, indent=2, ensure_ascii=False) + "\n"
        if not options.check:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            print(f"{path}: not current; run grafana/generate_dashboards.py", file=sys.stderr)
            stale = True
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
