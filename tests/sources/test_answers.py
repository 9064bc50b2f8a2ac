"""The first answers of all: they come at once, in as many threads as there are places for polls."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from exporter import simulator
from exporter.simulator import Fleet
from tests.commands import counts

#: Runs the command line, and tells on stderr which threads msgspec looked at a type in. Two that do so at once, for the
#: same type, crash the process (msgspec 0.22).
TELLING = """
import sys, threading
looked = set()

def look(frame, event, argument):
    if frame.f_code.co_name == "get_class_annotations":
        looked.add(threading.current_thread().name)

threading.settrace(look)
sys.settrace(look)
from exporter.cli import main
status = main()
sys.settrace(None)
print(*looked, file=sys.stderr)
sys.exit(status)
"""


def test_the_first_answers_of_all_sources_may_come_at_once(tmp_path: Path) -> None:
    with simulator.running(simulator.create_app(Fleet(7, studios=4, sessions=5))) as url:
        file = tmp_path / "config.yaml"
        file.write_text(
            "targets:\n"
            f"  - {{source: nimble, aws_region: us-west-2, endpoint_url: '{url}'}}\n"
            f"  - {{source: ebs, aws_region: us-west-2, endpoint_url: '{url}'}}\n"
            f"  - {{source: aws_backup, aws_region: us-west-2, endpoint_url: '{url}'}}\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", TELLING, "once", f"--config.file={file}"],
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "MainThread\n")
    assert len({studio for studio, _, _ in counts(done.stdout)}) == 2 * 4  # EBS and AWS Backup call them the same
