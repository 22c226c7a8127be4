"""The lock of a self-managed backend: whose it is, and the way out."""

from __future__ import annotations

import re

# pkg/backend/diy/lock.go: "  <url>: created by <user>@<host> (pid <n>) at <time>"
_HOLDER = re.compile(r"created by (?P<who>\S+) \(pid (?P<pid>\d+)\) at (?P<since>\S+)")


def explanation(said: str, stack: str) -> str | None:
    """What to do about the lock that Pulumi complained of in `said`; None where it complained of something else."""
    if "is currently locked by" not in said:
        return None
    holders = [f"{each['who']} (pid {each['pid']}) since {each['since']}" for each in _HOLDER.finditer(said)]
    return (
        f"stack {stack} is locked by {' and by '.join(holders) or 'somebody'}. If that run is still at work, wait for"
        " it and run this one again. If it was killed (its job was cancelled, or that process is gone), release the"
        f" lock with `pulumi cancel --yes --stack {stack}` and go on as docs/runbook.md says under «An update was"
        " interrupted»: what it was doing may exist in AWS and not stand in the state"
    )
