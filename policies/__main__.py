"""The pack as Pulumi starts it. Its constructor serves until it is interrupted, so nothing imports this file."""

import sys
from pathlib import Path

# Pulumi puts this directory on the path; the rules are a package, imported from the checkout.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from pulumi_policy import EnforcementLevel, PolicyPack  # noqa: E402

from policies.crossguard import policies  # noqa: E402

PolicyPack("meetinity-data", policies(), enforcement_level=EnforcementLevel.MANDATORY)
