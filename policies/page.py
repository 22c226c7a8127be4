"""`python -m policies.page` writes docs/policies.md from the rules and the environments' files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from policies.catalogue import GROUPS, RULES
from policies.configuration import ENVIRONMENTS, Setting, for_environment
from policies.coverage import CONTROLS, PULUMI_PACKS, REASONS, covering
from policies.rule import EXEMPTIONS, Rule, StackRule
from policies.stores import REFUSED
from policies.support import ENDS, WARNING_DAYS

_URN = "urn:pulumi:prod::meetinity-data::meetinity:data:AuroraCluster$aws:rds/cluster:Cluster::database-r1-cluster"

HEADER = f"""\
# Policies

What an environment refuses. The rules are a CrossGuard pack, `policies/`; they run before merge, and in every preview
and update that names the pack. A value that is left out, null or of the wrong kind is refused like a wrong one. A value
that is not known before the update is reported as *undecided*, by name, and decided during `pulumi up`: rules about one
resource before it is touched, rules about the stack at the end of the update. To the latter a resource that is only
read (`aws.rds.Cluster.get`) looks like one of the stack's own; the look-up functions (`aws.rds.get_cluster`) do not.

```console
make policy STACK=prod                                    # from the committed stack file: no cloud, no credentials
make policy STACK=prod JSON=1                             # the same for a program
pulumi preview --policy-pack policies --policy-pack-config policies/environments/prod.json   # and up, and any other
pulumi policy analyze --policy-pack policies --policy-pack-config policies/environments/prod.json --stack prod
```

The last one looks at what is deployed, or with `--file` at an exported state, without the program.

`policies/environments/ENVIRONMENT.json` says what differs from a rule's own default, which is as strict as production:
without a file only what an environment adds is missing. A level is `mandatory`, `advisory`, `disabled`, and for rules
marked with ⚒ `remediate`: then the engine puts the value right instead of refusing it.

To let one resource pass one rule for a while, name it under that rule in the environment's file. Every run then says
who answers for it, why and until when; one that nothing needs any more is reported too. From the day after `until` the
resource is refused again, and so it is where `until` is no day of the calendar:

```json
"aurora-deletion-protection": {{
  "{EXEMPTIONS}": [
    {{
      "urn": "{_URN}",
      "owner": "platform team",
      "reason": "generation r1 is retired, ticket 1234",
      "until": "2026-12-01"
    }}
  ]
}}
```

This page is generated from the rules: `make docs`.
"""


def page() -> str:
    settings = {environment: for_environment(environment) for environment in ENVIRONMENTS}
    parts = [
        HEADER,
        *(_group(title, rules, settings) for title, rules in GROUPS.items()),
        _options(settings),
        _exemptions(settings),
        _support(),
        _stores(),
        _controls(),
        _packs(),
    ]
    return "\n".join(parts)


def _table(title: str, text: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(columns)
    lines = [f"## {title}", "", *([text, ""] if text else []), _row(heads), _row("---" for _ in heads)]
    return "\n".join([*lines, *(_row(row) for row in rows), ""])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(each.replace('|', chr(92) + '|') for each in cells)} |"


def _group(title: str, rules: Iterable[Rule], settings: Mapping[str, Mapping[str, Setting]]) -> str:
    rows = (
        (
            f"`{rule.name}`{_mark(rule)}",
            rule.requires,
            _alike({environment: known[rule.name].level for environment, known in settings.items()}),
            rule.severity,
            rule.why,
            rule.advice().replace("<", "&lt;"),
            ", ".join(rule.controls),
        )
        for rule in rules
    )
    return _table(title, "", ("rule", "it asks that", "level", "severity", "why", "how to fix", "controls"), rows)


def _mark(rule: Rule) -> str:
    return "" if isinstance(rule, StackRule) or rule.remedy is None else " ⚒"


def _alike(values: Mapping[str, str]) -> str:
    if len(set(values.values())) == 1:
        return next(iter(values.values()))
    return ", ".join(f"{environment}: {value}" for environment, value in values.items())


def _options(settings: Mapping[str, Mapping[str, Setting]]) -> str:
    rows = (
        (f"`{rule.name}`", f"`{option}`", str(schema["description"]), f"`{json.dumps(schema['default'])}`",
         *(f"`{json.dumps(settings[environment][rule.name].options[option])}`" for environment in ENVIRONMENTS))
        for rule in RULES
        for option, schema in rule.options.items()
    )  # fmt: skip
    columns = ("rule", "option", "", "where no file says", *ENVIRONMENTS)
    return _table("Floors, by environment", "", columns, rows)


def _exemptions(settings: Mapping[str, Mapping[str, Setting]]) -> str:
    rows = [
        (environment, f"`{name}`", f"`{each['urn']}`", each["owner"], each["reason"], each["until"])
        for environment, known in settings.items()
        for name, setting in known.items()
        for each in setting.options.get(EXEMPTIONS, ())
    ]
    if not rows:
        return "## Exemptions\n\nNone.\n"
    return _table("Exemptions", "", ("environment", "rule", "resource", "owner", "reason", "until"), rows)


def _support() -> str:
    rows = (
        (engine, major, str(end) if end else "none announced")
        for engine, ends in ENDS.items()
        for major, end in ends.items()
    )
    text = f"`engine-support-ending` advises {WARNING_DAYS} days before, `engine-supported` refuses after."
    return _table("End of standard support", text, ("engine", "version", "ends"), rows)


def _controls() -> str:
    rows = (
        (control, meaning, _covered(covering(control)) or f"not covered: {REASONS[control]}")
        for control, meaning in CONTROLS.items()
    )
    text = (
        "checkov (CKV) and AWS Foundational Security Best Practices (RDS, ElastiCache), as far as they apply here.\n"
        "Covered is what a rule asks for in prod; where that is advice, it says so."
    )
    return _table("Controls", text, ("id", "it asks for", "here"), rows)


def _covered(levels: Mapping[str, str]) -> str:
    return ", ".join(f"`{name}`{'' if level == 'mandatory' else f' ({level})'}" for name, level in levels.items())


def _packs() -> str:
    text = (
        "awsguard has nothing on `rds.Cluster` and ElastiCache; compliance-policies has nothing on ElastiCache, and\n"
        "takes an omitted retention for a good one. What neither looks at stands in the tables above. Levels are\n"
        "prod's."
    )
    levels = {name: setting.level for name, setting in for_environment("prod").items()}
    rows = (
        (pack, policy, f"`{of}`", _covered({name: levels[name] for name in ours}))
        for pack, policy, of, ours in PULUMI_PACKS
    )
    return _table("Pulumi's own packs", text, ("pack", "policy", "on", "here"), rows)


def _stores() -> str:
    rows = ((f"`{type_}`", why) for type_, why in REFUSED.items())
    text = (
        "`stores-covered` refuses what holds or carries data and has no rules: databases, caches, their snapshots,\n"
        "and what makes resources unseen. Files (S3, EFS, FSx) are not this platform's data and are not looked at;\n"
        "nor is what a Helm release makes inside the cluster, or a command runs."
    )
    return _table("Stores that are refused", text, ("type", "because"), rows)


if __name__ == "__main__":
    print(page(), end="")
