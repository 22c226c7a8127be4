"""Every rule, in the order of the documentation."""

from collections.abc import Mapping

from policies import backups, connections, exposure, firewall, insights, roles, workloads
from policies.rule import Rule

GROUPS: Mapping[str, tuple[Rule, ...]] = {
    "Backups": backups.RULES,
    "Insights": insights.RULES,
    "Exposure and encryption": exposure.RULES,
    "Firewalls": firewall.RULES,
    "Secrets and who reads them": (*connections.RULES, *roles.RULES),
    "Workloads": workloads.RULES,
}
RULES: tuple[Rule, ...] = tuple(rule for rules in GROUPS.values() for rule in rules)
