"""What `inv deploy.status` says to people of an inventory in a cluster."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lockgate.oci.digest import Digest
from lockgate.tasks.console import printable

if TYPE_CHECKING:
    from lockgate.deploy.kube.model import InventoryStatus


def status_lines(found: InventoryStatus) -> list[str]:
    """Return what was applied to its end, and what was not."""
    lines = []
    if found.artifact:
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(found.applied))
        said = f"{found.source or '-'}  {found.revision or '-'}"
        lines.append(f"{Digest(found.artifact).short}  {said}  {day}")
    if found.pending:
        words = f"interrupted: {Digest(found.pending).short} was not applied to its end"
        lines.append(f"{found.holder} works on it" if found.holder else words)
    return lines


def object_lines(found: InventoryStatus) -> list[str]:
    """Return each object, how it is, and whether somebody changed it; a line each."""
    return [
        f"{one.id.label:<48} {one.phase:<12} {printable(one.message)}"
        f"{'  changed by somebody else' if one.touched == 'yes' else ''}".rstrip()
        for one in found.objects
    ]
