"""`python3 -m lockgate.deploy.node.inside`: what the node's container runs."""

from __future__ import annotations

import sys
from pathlib import Path

from lockgate.deploy.node.inside import plan, settle, supervise

PLAN = Path("/etc/lockgate/node.json")
LOGS = Path("/var/log/lockgate")


def main() -> int:
    """Be the node; return its exit code."""
    try:
        found = settle.settle()
    except (settle.UnsettledError, OSError) as error:
        supervise.say("container", "failed", why=str(error), log=[])
        return 1
    supervise.say("container", "ready", **found)
    read = plan.from_json(PLAN.read_text(encoding="utf-8"), found)
    LOGS.mkdir(parents=True, exist_ok=True)
    return supervise.Supervisor(read, path=found["path"], logs=LOGS).run()


if __name__ == "__main__":
    sys.exit(main())
