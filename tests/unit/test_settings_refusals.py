"""Every rule of the configuration has at least one stack that breaks it, and is told so exactly."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settings import Problem, Settings, SettingsError
from settings.access import Access, Reader
from settings.backup import Backup, Copy, VaultLock
from settings.base import Model
from settings.database import Database, Serverless
from settings.generations import DatabaseRestore
from settings.kubernetes import Kubernetes
from settings.migrations import Amounts, Migration, Resources
from settings.monitoring import Monitoring, Subscriber
from settings.network import Network
from settings.redis import Redis
from tests.unit.stack_config import load, refusal

UNQUOTED = "Put it in quotes: YAML rewrites what looks like a number"
UNQUOTED_TIME = "Put it in quotes: YAML rewrites a date or time"
QUOTED_NUMBER = "Write the number without quotes"
AS_LIST = "Write it as a YAML list"
LONG_NAME = "a" * 41
NAN = float("nan")


class Bad(NamedTuple):
    """A configuration with one error: where, what was received, part of what is allowed and of what to do."""

    config: dict[str, Any]
    path: str
    received: str
    allowed: str
    do: str = ""
    stack: str = "dev"
    secret: tuple[str, ...] = ()


def database(path: str, value: Any, received: str, allowed: str, do: str = "", **beside: Any) -> Bad:
    return Bad({"database": {path: value, **beside}}, f"database.{path}", received, allowed, do)


def redis(path: str, value: Any, received: str, allowed: str, do: str = "", **beside: Any) -> Bad:
    return Bad({"redis": {path: value, **beside}}, f"redis.{path}", received, allowed, do)


def migration(path: str, received: str, allowed: str, do: str = "", **changes: Any) -> Bad:
    entry = {"name": "user-service", "image": "registry/user-service:1", "command": ["alembic"], **changes}
    return Bad({"migrations": [entry]}, f"migrations[0]{path}", received, allowed, do)


def reader(path: str, received: str, allowed: str, do: str = "", **changes: Any) -> Bad:
    entry = {"kind": "Group", "name": "data-ops", **changes}
    return Bad({"access": {"readers": [entry]}}, f"access.readers[0]{path}", received, allowed, do)


def restore(path: str, received: str, allowed: str, do: str = "", **source: Any) -> Bad:
    config = {"database": {"generations": {"main": {}, "r1": {"restore": source}}}}
    return Bad(config, f"database.generations.r1.restore{path}", received, allowed, do)


def serverless(path: str, received: str, allowed: str, do: str = "", *, engine: str = "16.15", **range_: Any) -> Bad:
    config = {"database": {"engineVersion": engine, "serverless": range_}}
    return Bad(config, f"database.serverless{path}", received, allowed, do)


GENERAL = {
    "environment that is none of the four": Bad(
        {"environment": "production"}, "environment", '"production"', "one of local, dev, staging, prod"
    ),
    "environment in capitals": Bad({"environment": "Prod"}, "environment", '"Prod"', "prod", 'like that: "prod"'),
    "environment true, which arrives as text": Bad({"environment": "true"}, "environment", '"true"', "one of local"),
    "environment neither set nor the stack's name": Bad(
        {}, "environment", 'nothing, and the stack is called "blue"', "one of local", "config set", stack="blue"
    ),
    "environment null, which arrives as no text": Bad(
        {"environment": ""}, "environment", 'nothing, and the stack is called "blue"', "one of local", stack="blue"
    ),
    "unknown section": Bad({"databse": {}}, "databse", "an unknown key", "database, redis", "Did you mean database?"),
    "unknown section, null": Bad({"cache": ""}, "cache", "an unknown key", "redis", "Take it out"),
    "path set without --path": Bad(
        {"database.instanceCount": "3"},
        "database.instanceCount",
        "an unknown key",
        "database",
        "pulumi config set --path",
    ),
    "misspelt namespace": Bad(
        {"meetinity_data:database": {}}, "meetinity_data:database", "a value", "meetinity-data", "in front of the key"
    ),
    "section that is text": Bad(
        {"backup": "yes"}, "backup", "a value that is not shown", "a mapping with the keys enabled", "Write its keys"
    ),
    "section that is a number": Bad({"redis": 5}, "redis", "5", "a mapping with the keys name"),
    "section true, which arrives as text": Bad(
        {"database": "true"}, "database", "true", "a mapping with the keys name"
    ),
    "section that is a list": Bad({"network": [1]}, "network", "a list", "a mapping with the keys vpcId"),
    "list that is a mapping": Bad({"migrations": {"a": 1}}, "migrations", "a mapping", "a list of migrations", AS_LIST),
    "list that is text": Bad({"migrations": "user-service"}, "migrations", '"user-service"', "a list", "not as text"),
}

TAGS = {
    "standard tag": Bad({"tags": {"Project": "x"}}, "tags.Project", '"Project"', "not Environment, Project, Name"),
    "tag key too long": Bad(
        {"tags": {"k" * 129: "v"}}, f"tags.{'k' * 129}", f'"{"k" * 99}… (129 characters)', "at most 128"
    ),
    "standard tag in small letters": Bad({"tags": {"name": "x"}}, "tags.name", '"name"', "not Environment, Project"),
    "tag of AWS's own": Bad({"tags": {"aws:x": "1"}}, 'tags["aws:x"]', '"aws:x"', "without aws: in front"),
    "tag key with a bad character": Bad({"tags": {"a&b": "1"}}, 'tags["a&b"]', '"a&b"', "letters, digits, blanks"),
    "tag value that is a number": Bad({"tags": {"CostCentre": 12}}, "tags.CostCentre", "12", "a text", UNQUOTED),
    "tag value that is null": Bad({"tags": {"Team": None}}, "tags.Team", "null", "a text of at most 256"),
    "tag value too long": Bad(
        {"tags": {"Team": "x" * 257}}, "tags.Team", f'"{"x" * 99}… (257 characters)', "at most 256"
    ),
}

NETWORK = {
    "VPC id of another shape": Bad({"network": {"vpcId": "vpc-1"}}, "network.vpcId", '"vpc-1"', "the id of a VPC"),
    "one subnet": Bad(
        {"network": {"privateSubnetIds": ["subnet-0a1b2c3d"]}},
        "network.privateSubnetIds",
        "a list",
        "a list of at least 2 subnet ids",
        "Give more entries",
    ),
    "quoted list": Bad(
        {"network": {"privateSubnetIds": "[subnet-0a1b2c3d]"}},
        "network.privateSubnetIds",
        '"[subnet-0a1b2c3d]"',
        "subnet ids",
        AS_LIST,
    ),
    "subnet twice": Bad(
        {"network": {"privateSubnetIds": ["subnet-0a1b2c3d", "subnet-0a1b2c3d"]}},
        "network.privateSubnetIds[1]",
        '"subnet-0a1b2c3d"',
        "every entry once",
        "Take one out",
    ),
    "security group by name": Bad(
        {"network": {"allowedSecurityGroupIds": ["default"]}},
        "network.allowedSecurityGroupIds[0]",
        '"default"',
        "the id of a security group",
    ),
    "CIDR with host bits": Bad(
        {"network": {"allowedCidrBlocks": ["10.0.0.0/16", "10.1.2.3/16"]}},
        "network.allowedCidrBlocks[1]",
        '"10.1.2.3/16"',
        "without host bits",
        '"10.1.0.0/16"',
    ),
    "address without a prefix length": Bad(
        {"database": {"allowedCidrBlocks": ["10.1.2.3"]}},
        "database.allowedCidrBlocks[0]",
        '"10.1.2.3"',
        "an IPv4 or IPv6 network",
        '"10.1.2.3/32"',
    ),
    "IPv6 network with host bits": Bad(
        {"redis": {"allowedCidrBlocks": ["2001:DB8::1/32"]}},
        "redis.allowedCidrBlocks[0]",
        '"2001:DB8::1/32"',
        "IPv6",
        '"2001:db8::/32"',
    ),
    "no CIDR at all": Bad(
        {"redis": {"allowedCidrBlocks": ["office"]}},
        "redis.allowedCidrBlocks[0]",
        '"office"',
        "an IPv4 or IPv6 network",
    ),
}

NETWORK_IDS = {"vpcId": "vpc-0a1b2c3d", "privateSubnetIds": ["subnet-0a1b2c3d", "subnet-0a1b2c3e"]}

KUBERNETES = {
    "two ways in": Bad(
        {"kubernetes": {"clusterName": "a", "context": "b"}, "network": NETWORK_IDS},
        "kubernetes",
        "a value that is not shown",
        "one way in: clusterName, context or kubeconfig",
        "Keep one",
    ),
    "context without a network": Bad(
        {"kubernetes": {"context": "b"}, "network": {"vpcId": "vpc-0a1b2c3d"}},
        "network.privateSubnetIds",
        "nothing",
        "where kubernetes has no clusterName to look them up from",
        "Set privateSubnetIds",
    ),
    "cluster name too long": Bad(
        {"kubernetes": {"clusterName": "c" * 101}},
        "kubernetes.clusterName",
        f'"{"c" * 99}… (101 characters)',
        "at most 100",
    ),
    "cluster name with a blank": Bad(
        {"kubernetes": {"clusterName": "my eks"}}, "kubernetes.clusterName", '"my eks"', "an EKS cluster's name"
    ),
    "namespace too long": Bad(
        {"kubernetes": {"namespace": "n" * 64}}, "kubernetes.namespace", f'"{"n" * 64}"', "at most 63"
    ),
    "namespace with an underscore": Bad(
        {"kubernetes": {"namespace": "Data_Dev"}}, "kubernetes.namespace", '"Data_Dev"', "at most 63", '"data-dev"'
    ),
    "namespace that is a date": Bad(
        {"kubernetes": {"namespace": "2026-11-20 00:00:00 +0000 UTC"}},
        "kubernetes.namespace",
        '"2026-11-20 00:00:00 +0000 UTC"',
        "a namespace",
        UNQUOTED_TIME,
    ),
    "truth value in quotes": Bad(
        {"kubernetes": {"createNamespace": "true"}}, "kubernetes.createNamespace", '"true"', "true or false", "without"
    ),
    "truth value that is a number": Bad(
        {"kubernetes": {"createNamespace": 1}}, "kubernetes.createNamespace", "1", "true or false"
    ),
    "kubeconfig that is a mapping": Bad(
        {"kubernetes": {"kubeconfig": {"apiVersion": "v1"}}, "network": NETWORK_IDS},
        "kubernetes.kubeconfig",
        "a value that is not shown, because meetinity-data:kubernetes holds a secret",
        "the text of a kubeconfig file",
        secret=("kubernetes",),
    ),
}

DATABASE = {
    "unknown key": Bad(
        {"database": {"multiAz": True}}, "database.multiAz", "an unknown key", "instanceCount", "Take it out"
    ),
    "key in Terraform's spelling": Bad(
        {"database": {"instance_count": 2}}, "database.instance_count", "an unknown key", "name", "instanceCount?"
    ),
    "name in capitals": database("name", "Meet_DB", '"Meet_DB"', "lower-case letters", 'like that: "meet-db"'),
    "name with two hyphens": database("name", "a--b", '"a--b"', "single hyphens", "Correct it"),
    "name too long for the instances": database(
        "name", "a" * 58, f'"{"a" * 58}"', "at most 63 characters; this makes one of 64", "Shorten it by 1"
    ),
    "name too long for the monitoring role": database(
        "name", "a" * 50, f'"{"a" * 50}"', "at most 64 characters; this makes one of 65", "Shorten it by 1"
    ),
    "version that is a number": database("engineVersion", 17.1, "17.1", "in quotes", UNQUOTED),
    "version of another engine": database("engineVersion", "8.0", '"8.0"', "an Aurora PostgreSQL version"),
    "version that does not exist": database("engineVersion", "99.9", '"99.9"', "from 11 to 18", "that AWS offers"),
    "reserved database name": database("dbName", "template1", '"template1"', "no reserved word", "not reserved"),
    "database name that SQL reserves": database("dbName", "Order", '"Order"', "no reserved word", "not reserved"),
    "database name with a hyphen": database("dbName", "my-db", '"my-db"', "underscores", '"my_db"'),
    "database name too long": database("dbName", "d" * 64, f'"{"d" * 64}"', "at most 63"),
    "user name of Aurora's own": database("masterUsername", "admin", '"admin"', "not admin, rdsadmin", "not reserved"),
    "user name of PostgreSQL's own": database("masterUsername", "pg_app", '"pg_app"', "pg_…", "not reserved"),
    "user name that SQL reserves": database("masterUsername", "user", '"user"', "reserved word", "not reserved"),
    "user name too long": database("masterUsername", "a" * 17, f'"{"a" * 17}"', "at most 16 letters"),
    "user name with a hyphen": database("masterUsername", "my-app", '"my-app"', "underscores", '"my_app"'),
    "instance class without its prefix": database("instanceClass", "r6g.large", '"r6g.large"', "like db.r6g.large"),
    "no instance": database("instanceCount", 0, "0", "from 1 to 16"),
    "seventeen instances": database("instanceCount", 17, "17", "from 1 to 16"),
    "number in quotes": database("instanceCount", "2", '"2"', "a whole number", QUOTED_NUMBER),
    "number with a fraction": database("instanceCount", 2.5, "2.5", "a whole number"),
    "number that is a truth value": database("instanceCount", True, "true", "a whole number", "Write a number"),
    "number that is none": database("instanceCount", NAN, "NaN", "a whole number"),
    "number that is a list": database("port", [5432], "a list", "from 1150 to 65535", "Write a number"),
    "port too low": database("port", 1149, "1149", "from 1150 to 65535"),
    "retention of no days": database("backupRetentionPeriod", 0, "0", "days from 1 to 35"),
    "retention of 36 days": database("backupRetentionPeriod", 36, "36", "days from 1 to 35"),
    "backup window of another form": database("preferredBackupWindow", "3:00-4:00", '"3:00-4:00"', "hh:mm-hh:mm"),
    "backup window too short": database(
        "preferredBackupWindow", "03:00-03:29", '"03:00-03:29"', "at least 30 minutes", "Make it at least 30"
    ),
    "backup window too short over midnight": database(
        "preferredBackupWindow", "23:50-00:15", '"23:50-00:15"', "at least 30 minutes"
    ),
    "maintenance window too short over the end of the week": database(
        "preferredMaintenanceWindow", "sun:23:50-mon:00:15", '"sun:23:50-mon:00:15"', "at least 30 minutes"
    ),
    "backup window of no length": database("preferredBackupWindow", "03:00-03:00", '"03:00-03:00"', "30 minutes"),
    "maintenance window in capitals": database(
        "preferredMaintenanceWindow", "Sun:04:00-Sun:05:00", '"Sun:04:00-Sun:05:00"', "ddd:", '"sun:04:00-sun:05:00"'
    ),
    "maintenance window without a day": database(
        "preferredMaintenanceWindow", "04:00-05:00", '"04:00-05:00"', "ddd:hh:mm-ddd:hh:mm"
    ),
    "maintenance window too short": database(
        "preferredMaintenanceWindow", "sun:04:00-sun:04:29", '"sun:04:00-sun:04:29"', "at least 30 minutes"
    ),
    "maintenance within the backups": database(
        "preferredMaintenanceWindow",
        "wed:03:15-wed:03:45",
        '"wed:03:15-wed:03:45"',
        "clear of preferredBackupWindow (03:00-04:00)",
        "Move one",
    ),
    "backups within the default maintenance": Bad(
        {"database": {"preferredBackupWindow": "04:30-05:30"}},
        "database.preferredMaintenanceWindow",
        '"sun:04:00-sun:05:00" (the default)',
        "clear of preferredBackupWindow (04:30-05:30)",
    ),
    "backups over midnight": database(
        "preferredMaintenanceWindow",
        "tue:00:15-tue:00:45",
        '"tue:00:15-tue:00:45"',
        "clear of preferredBackupWindow (23:30-00:30)",
        preferredBackupWindow="23:30-00:30",
    ),
    "maintenance over the end of the week": database(
        "preferredMaintenanceWindow",
        "sun:23:45-mon:00:45",
        '"sun:23:45-mon:00:45"',
        "clear of preferredBackupWindow (00:15-00:45)",
        preferredBackupWindow="00:15-00:45",
    ),
    "alias of a key": database("kmsKeyId", "alias/data", '"alias/data"', "the ARN of a KMS key"),
    "storage of another engine": database("storageType", "gp3", '"gp3"', "one of aurora, aurora-iopt1"),
    "Insights retention that AWS does not offer": database(
        "performanceInsightsRetentionPeriod", 94, "94", "7, 731, or 31 times 1 to 23"
    ),
    "Insights retention of 24 months by days": database(
        "performanceInsightsRetentionPeriod", 744, "744", "7, 731, or 31 times 1 to 23"
    ),
    "Insights retention without Insights": database(
        "performanceInsightsRetentionPeriod",
        31,
        "31",
        "absent while performanceInsightsEnabled is false",
        "Take it out",
        performanceInsightsEnabled=False,
    ),
    "advanced mode without Insights": database(
        "databaseInsightsMode",
        "advanced",
        '"advanced"',
        "standard while performanceInsightsEnabled is false",
        performanceInsightsEnabled=False,
    ),
    "advanced mode with the default retention": Bad(
        {"database": {"databaseInsightsMode": "advanced"}},
        "database.performanceInsightsRetentionPeriod",
        "7 (the default)",
        "465 days while databaseInsightsMode is advanced",
        "Set it to 465",
    ),
    "production's advanced mode with a shorter retention": Bad(
        {"database": {"performanceInsightsRetentionPeriod": 731}},
        "database.performanceInsightsRetentionPeriod",
        "731",
        "465 days",
        stack="prod",
    ),
    "unknown Insights mode": database("databaseInsightsMode", "Standard", '"Standard"', "standard", 'that: "standard"'),
    "monitoring interval between two": database("monitoringInterval", 20, "20", "one of 0, 1, 5, 10, 15, 30, 60"),
    "parameter group with a capital": database(
        "parameterGroupName", "Dev-PG", '"Dev-PG"', "lower-case letters", '"dev-pg"'
    ),
    "protection in quotes": database("deletionProtection", "yes", '"yes"', "true or false", "without quotes"),
    "password too short": Bad(
        {"database": {"masterPassword": "a234567"}},
        "database.masterPassword",
        "a value that is not shown, because meetinity-data:database holds a secret",
        "8 to 41 printable",
        secret=("database",),
    ),
    "password with a slash": Bad(
        {"database": {"masterPassword": "abcd/efgh"}},
        "database.masterPassword",
        "a value that is not shown, because meetinity-data:database holds a secret",
        'without / " @',
        secret=("database",),
    ),
    "password in clear": Bad(
        {"database": {"masterPassword": "abcdefgh"}},
        "database.masterPassword",
        "a value in clear, which is not shown",
        "a Pulumi secret",
        "pulumi config set --secret --path meetinity-data:database.masterPassword",
    ),
}

SERVERLESS = {
    "serverless class without a range": Bad(
        {"database": {"instanceClass": "db.serverless"}},
        "database.serverless",
        "nothing",
        "minCapacity and maxCapacity beside instanceClass db.serverless",
        "Add them under serverless",
    ),
    "a major upgrade that waits": database(
        "allowMajorVersionUpgrade",
        True,
        "true",
        "false while applyImmediately is false",
        "Set applyImmediately to true",
    ),
    "range beside another class": Bad(
        {"database": {"instanceClass": "db.r6g.large", "serverless": {"minCapacity": 1, "maxCapacity": 2}}},
        "database.serverless",
        "a mapping",
        "absent while instanceClass is db.r6g.large",
    ),
    "no maximum": serverless(".maxCapacity", "nothing", "from 1 to 256 in steps of 0.5", "Add it", minCapacity=1),
    "quarter step": serverless(".minCapacity", "0.75", "in steps of 0.5", minCapacity=0.75, maxCapacity=2),
    "capacity in quotes": serverless(
        ".minCapacity", '"0.5"', "in steps of 0.5", QUOTED_NUMBER, minCapacity="0.5", maxCapacity=2
    ),
    "capacity above AWS's": serverless(".maxCapacity", "256.5", "from 1 to 256", minCapacity=1, maxCapacity=256.5),
    "capacity that is no number": serverless(".maxCapacity", "NaN", "from 1 to 256", minCapacity=1, maxCapacity=NAN),
    "maximum below minimum": serverless(
        ".maxCapacity", "2", "at least minCapacity (4)", "Raise it", minCapacity=4, maxCapacity=2
    ),
    "pause too short": serverless(
        ".secondsUntilAutoPause",
        "299",
        "seconds from 300 to 86400",
        minCapacity=0,
        maxCapacity=2,
        secondsUntilAutoPause=299,
    ),
    "pause that never comes": serverless(
        ".secondsUntilAutoPause",
        "300",
        "absent while minCapacity is above 0",
        minCapacity=0.5,
        maxCapacity=2,
        secondsUntilAutoPause=300,
    ),
    "pause before the version that can": serverless(
        "", "a mapping", "minCapacity from 0.5 while engineVersion is 16.2", engine="16.2", minCapacity=0, maxCapacity=2
    ),
    "pause of a major that never could": serverless(
        "", "a mapping", "minCapacity from 0.5 while engineVersion is 12", engine="12", minCapacity=0, maxCapacity=2
    ),
}

REDIS = {
    "id of 41 characters": redis(
        "name", "r" * 37, f'"{"r" * 37}"', "at most 40 characters; this makes one of 41", "Shorten it by 1"
    ),
    "the database's name": redis(
        "name", "postgres", '"postgres"', "physical names that no other store", "two stores different names"
    ),
    "a name that a generation of the database makes": Bad(
        {"database": {"generations": {"main": {}, "r1": {}}}, "redis": {"name": "postgres-r1"}},
        "redis.name",
        '"postgres-r1"',
        "physical names that no other store",
    ),
    "unknown engine": redis("engine", "memcached", '"memcached"', "one of redis, valkey"),
    "version that is a number": redis("engineVersion", 7.1, "7.1", "in quotes", UNQUOTED),
    "patch version": redis("engineVersion", "7.1.0", '"7.1.0"', '"7.1" for engine redis'),
    "version of the other engine": redis("engineVersion", "7.1", '"7.1"', "for engine valkey", engine="valkey"),
    "family of another version": redis(
        "parameterGroupFamily", "redis6.x", '"redis6.x"', "redis7, the family of redis 7.1", "Take it out"
    ),
    "family left behind by the engine": redis(
        "parameterGroupFamily", "redis7", '"redis7"', "valkey8, the family of valkey 8.2", engine="valkey"
    ),
    "parameter group's name too long": redis(
        "parameterGroupName", "p" * 256, f'"{"p" * 99}… (256 characters)', "at most 255"
    ),
    "node type that needs data tiering": redis("nodeType", "cache.r6gd.xlarge", '"cache.r6gd.xlarge"', "not of r6gd"),
    "parameter group that AWS names so": redis(
        "parameterGroupName", "default.redis7", '"default.redis7"', "not default.…"
    ),
    "node type of the database": redis("nodeType", "db.r6g.large", '"db.r6g.large"', "like cache.r6g.large"),
    "seven nodes": redis("numCacheClusters", 7, "7", "nodes from 1 to 6"),
    "one node with multi-AZ": redis(
        "multiAzEnabled",
        True,
        "true",
        "false while numCacheClusters is 1",
        numCacheClusters=1,
        automaticFailoverEnabled=False,
    ),
    "one node with failover": redis(
        "automaticFailoverEnabled",
        True,
        "true",
        "false while numCacheClusters is 1",
        "on purpose",
        numCacheClusters=1,
        multiAzEnabled=False,
    ),
    "multi-AZ without failover": Bad(
        {"redis": {"automaticFailoverEnabled": False}},
        "redis.multiAzEnabled",
        "true (the default)",
        "false while automaticFailoverEnabled is false",
    ),
    "port above all": redis("port", 65536, "65536", "from 1 to 65535"),
    "snapshot window too short": redis("snapshotWindow", "03:00-03:59", '"03:00-03:59"', "at least 60 minutes"),
    "maintenance window too short": redis(
        "maintenanceWindow", "sun:05:00-sun:05:59", '"sun:05:00-sun:05:59"', "at least 60 minutes"
    ),
    "snapshots during maintenance": redis(
        "maintenanceWindow", "sun:03:30-sun:04:30", '"sun:03:30-sun:04:30"', "clear of snapshotWindow (03:00-04:00)"
    ),
    "retention of 36 days": redis("snapshotRetentionLimit", 36, "36", "days from 0 to 35"),
    "key without encryption": redis(
        "atRestEncryptionEnabled",
        False,
        "false",
        "true while kmsKeyId is set",
        kmsKeyId="arn:aws:kms:eu-west-1:123456789012:key/mrk-0a1b",
    ),
    "token too short": Bad(
        {"redis": {"authToken": "a" * 15}},
        "redis.authToken",
        "a value that is not shown, because meetinity-data:redis holds a secret",
        "16 to 128 letters",
        secret=("redis",),
    ),
    "token with a character that AWS refuses": Bad(
        {"redis": {"authToken": "a" * 15 + "%"}},
        "redis.authToken",
        "a value that is not shown, because meetinity-data:redis holds a secret",
        "! & # $ ^ < > -",
        secret=("redis",),
    ),
    "token without TLS": Bad(
        {"redis": {"authToken": "a" * 16, "transitEncryptionEnabled": False}},
        "redis.authToken",
        "a value that is not shown, because meetinity-data:redis holds a secret",
        "absent while transitEncryptionEnabled is false",
        secret=("redis",),
    ),
    "token in clear": Bad(
        {"redis": {"authToken": "a" * 16}}, "redis.authToken", "a value in clear, which is not shown", "a Pulumi secret"
    ),
}

SELF = {"generation": "r1", "pointInTime": "latest"}

GENERATIONS = {
    "key that is no DNS label": Bad(
        {"database": {"generations": {"main": {}, "Rest_1": {}}}},
        "database.generations.Rest_1",
        '"Rest_1"',
        "at most 12",
        '"rest-1"',
    ),
    "key with two hyphens in a row": Bad(
        {"database": {"generations": {"main": {}, "r--1": {}}}}, "database.generations.r--1", '"r--1"', "single hyphens"
    ),
    "key too long": Bad(
        {"redis": {"generations": {"main": {}, "restored-in-november": {}}}},
        "redis.generations.restored-in-november",
        '"restored-in-november"',
        "a key of at most 12",
    ),
    "generation that is null": Bad(
        {"database": {"generations": {"main": None}}},
        "database.generations.main",
        "null",
        "a mapping with the keys restore",
        "Write {}",
    ),
    "serving one that does not stand": Bad(
        {"redis": {"serving": "r1"}}, "redis.serving", '"r1"', "one of the generations: main", "add it"
    ),
    "no generation": Bad(
        {"database": {"generations": {}}}, "database.serving", '"main" (the default)', "there is none"
    ),
    "generation that makes the group's id too long": Bad(
        {"redis": {"name": "sessions-and-rate-limits", "generations": {"main": {}, "restored-two": {}}}},
        "redis.generations.restored-two",
        '"restored-two"',
        "at most 40 characters; this makes one of 41",
        "Shorten it by 1",
    ),
    "restore from nothing": restore("", "an empty mapping", "exactly one of snapshot and generation"),
    "restore from two sources": restore(
        "", "a mapping", "exactly one of snapshot and generation", snapshot="a", generation="main", pointInTime="latest"
    ),
    "snapshot with a time": restore("", "a mapping", "snapshot alone", snapshot="a", pointInTime="latest"),
    "generation without a time": restore("", "a mapping", "exactly one of pointInTime and clone", generation="main"),
    "generation with time and clone": restore(
        "", "a mapping", "exactly one of pointInTime and clone", generation="main", pointInTime="latest", clone=True
    ),
    "clone: false": restore(".clone", "false", "true", "take the key out", snapshot="a", clone=False),
    "snapshot's name with blanks": restore(".snapshot", '"my snap"', "a cluster snapshot", snapshot="my snap"),
    "unquoted time": restore(
        ".pointInTime",
        '"2026-11-20 08:00:00 +0000 UTC"',
        "latest, or a past time",
        UNQUOTED_TIME,
        generation="main",
        pointInTime="2026-11-20 08:00:00 +0000 UTC",
    ),
    "time without its zone": restore(
        ".pointInTime",
        '"2026-11-20T08:00:00"',
        "with its zone in RFC 3339",
        generation="main",
        pointInTime="2026-11-20T08:00:00",
    ),
    "day that does not exist": restore(
        ".pointInTime",
        '"2026-02-30T08:00:00Z"',
        "RFC 3339",
        "that exist",
        generation="main",
        pointInTime="2026-02-30T08:00:00Z",
    ),
    "snapshot's name too long": restore(
        ".snapshot", f'"{"s" * 99}… (256 characters)', "at most 255 characters", snapshot="s" * 256
    ),
    "time in the future": restore(
        ".pointInTime",
        '"2026-11-23T12:00:01Z"',
        "a time before 2026-11-23T12:00:00Z",
        "Choose a past time",
        generation="main",
        pointInTime="2026-11-23T12:00:01Z",
    ),
    "source that no longer stands": restore(
        ".generation",
        '"old"',
        "one of the generations: main, r1",
        "take restore out if it is spent",
        generation="old",
        pointInTime="latest",
    ),
    "restore from itself": restore(
        ".generation", '"r1"', "does not itself come from this one", "used at creation only", **SELF
    ),
    "Redis restored to a time": Bad(
        {"redis": {"generations": {"main": {"restore": {"snapshot": "a", "pointInTime": "latest"}}}}},
        "redis.generations.main.restore.pointInTime",
        "an unknown key",
        "snapshot",
    ),
    "Redis restored from a cluster snapshot": Bad(
        {"redis": {"generations": {"main": {"restore": {"snapshot": "rds:a"}}}}},
        "redis.generations.main.restore.snapshot",
        '"rds:a"',
        "an ElastiCache snapshot",
    ),
}

MIGRATIONS = {
    "no image": Bad(
        {"migrations": [{"name": "a", "command": ["b"]}]}, "migrations[0].image", "nothing", "a tag or a digest", "Add"
    ),
    "image null": migration(".image", "null", "an image with a tag or a digest", image=None),
    "image without a tag": migration(".image", '"ghcr.io/a/b"', "with a tag or a digest", image="ghcr.io/a/b"),
    "registry's port is no tag": migration(".image", '"localhost:5000/a"', "with a tag", image="localhost:5000/a"),
    "image in capitals": migration(".image", '"Meetinity/a:1"', "an image with a tag", image="Meetinity/a:1"),
    "digest cut short": migration(".image", '"a@sha256:abc"', "or a digest", image="a@sha256:abc"),
    "command as one text": migration(".command", '"alembic upgrade head"', "a list of words", AS_LIST)._replace(
        config={"migrations": [{"name": "a", "image": "a:1", "command": "alembic upgrade head"}]}
    ),
    "empty command": migration(".command", "an empty list", "a list of words", "Give more entries", command=[]),
    "number in the command": migration(".command[1]", "10", "a word of the command", UNQUOTED, command=["wait", 10]),
    "empty word in the command": migration(".command[0]", '""', "a word of the command", command=[""]),
    "name that is no DNS label": migration(
        ".name", '"User_Service"', "at most 44", '"user-service"', name="User_Service"
    ),
    "name too long for the Job": migration(".name", f'"{"a" * 45}"', "at most 44 lower-case", name="a" * 45),
    "name twice": Bad(
        {"migrations": [{"name": "a", "image": f"a:{n}", "command": ["b"]} for n in (1, 2)]},
        "migrations[1].name",
        '"a"',
        "every entry once",
        "another name",
    ),
    "entry that is text": Bad(
        {"migrations": ["user-service"]}, "migrations[0]", "a value that is not shown", "a mapping with the keys name"
    ),
    "version table too long": migration(".versionTable", f'"{"v" * 64}"', "a table's name", versionTable="v" * 64),
    "version table with a blank": migration(".versionTable", '"my table"', "a table's name", versionTable="my table"),
    "version table with capitals": migration(
        ".versionTable", '"Public.Version"', "lower-case", '"public.version"', versionTable="Public.Version"
    ),
    "version table with two schemas": migration(".versionTable", '"a.b.c"', "or schema.table", versionTable="a.b.c"),
    "revision that is a number": migration(".revision", "8", "a revision's name in quotes", UNQUOTED, revision=8),
    "deadline of no seconds": migration(".deadlineSeconds", "0", "seconds from 1 to 86400", deadlineSeconds=0),
    "CPU that is a number": migration(
        ".resources.limits.cpu", "1", "a CPU quantity in quotes", UNQUOTED, resources={"limits": {"cpu": 1}}
    ),
    "memory in another unit": migration(
        ".resources.requests.memory", '"1GB"', "like 256Mi", resources={"requests": {"memory": "1GB"}}
    ),
    "limit below the request": migration(
        ".resources.limits",
        "a mapping",
        "memory of at least what is requested (1Gi)",
        resources={"requests": {"memory": "1Gi"}, "limits": {"memory": "1000M"}},
    ),
    "unknown resource": migration(
        ".resources.limits.gpu", "an unknown key", "cpu, memory", resources={"limits": {"gpu": "1"}}
    ),
}

ACCESS = {
    "unknown kind": reader(".kind", '"group"', "one of Group, User, ServiceAccount", '"Group"', kind="group"),
    "no name": Bad(
        {"access": {"readers": [{"kind": "User"}]}}, "access.readers[0].name", "nothing", "a subject's name"
    ),
    "group with a namespace": reader(
        ".namespace", '"default"', "absent for a Group", "Take it out", namespace="default"
    ),
    "account's name in capitals": reader(
        ".name", '"Reader"', "a ServiceAccount's name: lower-case", kind="ServiceAccount", name="Reader"
    ),
    "name too long": reader(".name", f'"{"r" * 99}… (254 characters)', "at most 253", name="r" * 254),
    "unknown Secret": reader(".secrets[0]", '"platform-db"', "one of platform-database", secrets=["platform-db"]),
    "no Secret": reader(".secrets", "an empty list", "platform-database and platform-redis", secrets=[]),
    "Secret twice": reader(".secrets[1]", '"platform-redis"', "every entry once", secrets=["platform-redis"] * 2),
    "reader twice": Bad(
        {"access": {"readers": [{"kind": "Group", "name": "a"}] * 2}},
        "access.readers[1].name",
        '"a"',
        "every entry once",
    ),
    "readers null": Bad(
        {"access": {"readers": [None]}}, "access.readers[0]", "null", "a mapping with the keys kind, name"
    ),
}

VAULT = "arn:aws:backup:eu-central-1:123456789012:backup-vault:copies"


def backup(key: str, value: Any, received: str, allowed: str, do: str = "", *, at: str = "", **beside: Any) -> Bad:
    return Bad({"backup": {key: value, **beside}}, f"backup.{at or key}", received, allowed, do)


BACKUP = {
    "vault's name with a dot": Bad({"backup": {"vaultName": "a.b"}}, "backup.vaultName", '"a.b"', "2 to 50 letters"),
    "plan's name too long": Bad({"backup": {"planName": LONG_NAME * 2}}, "backup.planName", f'"{LONG_NAME * 2}"', "45"),
    "schedule of five fields": Bad(
        {"backup": {"schedule": "cron(0 3 * * ?)"}}, "backup.schedule", '"cron(0 3 * * ?)"', "six fields"
    ),
    "schedule with no ?": backup(
        "schedule", "cron(0 3 * * * *)", '"cron(0 3 * * * *)"', "six fields", "exactly one of"
    ),
    "schedule with two ?": backup(
        "schedule", "cron(0 3 ? * ? *)", '"cron(0 3 ? * ? *)"', "six fields", "exactly one of"
    ),
    "start window too short": Bad({"backup": {"startWindow": 59}}, "backup.startWindow", "59", "minutes from 60"),
    "completion too soon": backup(
        "completionWindow", 119, "119", "at least 120 minutes, 60 more than startWindow (60)"
    ),
    "kept for no days": Bad({"backup": {"deleteAfter": 0}}, "backup.deleteAfter", "0", "days from 1"),
    "continuous for more than 35 days": backup(
        "deleteAfter", 36, "36", "at most 35 days with enableContinuousBackup", enableContinuousBackup=True
    ),
    "continuous, and not the cluster's retention": backup(
        "deleteAfter",
        14,
        "14",
        "database.backupRetentionPeriod (7) with enableContinuousBackup",
        "Write the same number of days at both keys",
        enabled=True,
        enableContinuousBackup=True,
    ),
    "continuous and cold": backup(
        "coldStorageAfter", 1, "1", "continuous backups stay warm", enableContinuousBackup=True
    ),
    "cold storage for Aurora alone": backup(
        "coldStorageAfter", 30, "30", "0 while only Aurora is backed up, which has no cold storage", deleteAfter=120
    ),
    "Redis": backup(
        "additionalResourceArns",
        ["arn:aws:elasticache:eu-west-1:123456789012:replicationgroup:dev-redis"],
        '"arn:aws:elasticache:eu-west-1:123456789012:replicationgroup:dev-redis"',
        "an ARN of what AWS Backup supports",
        "does not support this service. redis.snapshotRetentionLimit keeps Redis's snapshots",
        at="additionalResourceArns[0]",
    ),
    "a * inside": backup(
        "additionalResourceArns",
        ["arn:aws:s3:::*-logs"],
        '"arn:aws:s3:::*-logs"',
        "an ARN of what AWS Backup supports",
        "Put the * at the end",
        at="additionalResourceArns[0]",
    ),
    "a tag of AWS": backup(
        "selectionTags", {"aws:a": "b"}, '"aws:a"', "a tag key of at most 128", at='selectionTags["aws:a"]'
    ),
    "key by its alias": backup("kmsKeyId", "alias/vault", '"alias/vault"', "the ARN of a KMS key"),
    "compliance for ever at once": backup(
        "vaultLock",
        {"mode": "compliance"},
        "a mapping",
        "changeableForDays from 3 to 36500 with mode compliance",
    ),
    "compliance too soon": backup(
        "vaultLock",
        {"mode": "compliance", "changeableForDays": 2},
        "2",
        "days from 3",
        at="vaultLock.changeableForDays",
    ),
    "governance for ever": backup(
        "vaultLock",
        {"mode": "governance", "changeableForDays": 3},
        "3",
        "absent with mode governance",
        at="vaultLock.changeableForDays",
    ),
    "a lock with most below least": backup(
        "vaultLock",
        {"mode": "governance", "minRetentionDays": 9, "maxRetentionDays": 8},
        "8",
        "minRetentionDays (9)",
        at="vaultLock.maxRetentionDays",
    ),
    "a lock that fails the plan": backup(
        "vaultLock",
        {"mode": "governance", "minRetentionDays": 36},
        "a mapping",
        "a lock that admits deleteAfter (35)",
    ),
    "a copy to no vault": backup(
        "copyTo",
        {"vaultArn": "copies", "deleteAfter": 35},
        '"copies"',
        "the ARN of a backup vault",
        at="copyTo.vaultArn",
    ),
    "a copy without an end": backup("copyTo", {"vaultArn": VAULT}, "nothing", "days from 1", at="copyTo.deleteAfter"),
    "a copy too short in cold storage": backup(
        "copyTo",
        {"vaultArn": VAULT, "coldStorageAfter": 1, "deleteAfter": 90},
        "90",
        "at least 91 days",
        at="copyTo.deleteAfter",
    ),
    "too short in cold storage": Bad(
        {"backup": {"coldStorageAfter": 30, "deleteAfter": 119, "additionalResourceArns": ["arn:aws:s3:::bucket"]}},
        "backup.deleteAfter",
        "119",
        "at least 120 days, 90 after coldStorageAfter (30)",
    ),
    "resource that is no ARN": Bad(
        {"backup": {"additionalResourceArns": ["my-bucket"]}},
        "backup.additionalResourceArns[0]",
        '"my-bucket"',
        "an ARN",
    ),
}

MONITORING = {
    "alarms that this release cannot make": Bad(
        {"monitoring": {"alarmsEnabled": True}}, "monitoring.alarmsEnabled", "true", "false, while this release has no"
    ),
    "threshold above all": Bad(
        {"monitoring": {"redisMemoryPercent": 101}}, "monitoring.redisMemoryPercent", "101", "percent from 1 to 100"
    ),
    "subscriber that does not fit": Bad(
        {"monitoring": {"subscribers": [{"protocol": "https", "endpoint": "http://pager/key"}]}},
        "monitoring.subscribers[0].endpoint",
        "a value that is not shown",
        "an endpoint of protocol https",
    ),
    "subscriber that is no address": Bad(
        {"monitoring": {"subscribers": [{"protocol": "https", "endpoint": "https://pager/key 1"}]}},
        "monitoring.subscribers[0].endpoint",
        "a value that is not shown",
        "an address, https URL or ARN",
    ),
    "unknown protocol": Bad(
        {"monitoring": {"subscribers": [{"protocol": "pigeon", "endpoint": "loft"}]}},
        "monitoring.subscribers[0].protocol",
        '"pigeon"',
        "one of email, https, sqs, lambda",
    ),
}


def acknowledged(path: str, received: str, allowed: str, do: str = "", **changes: Any) -> Bad:
    entry = {"change": "database.name", "until": "2026-11-24", "reason": "a new name", **changes}
    return Bad({"acknowledged": [entry]}, f"acknowledged[0].{path}", received, allowed, do)


ACKNOWLEDGED = {
    "change that no guard knows": acknowledged(
        "change", '"database.port"', "one of database.name, database.serving", change="database.port"
    ),
    "day without quotes": acknowledged("until", "20261124", "a day in quotes", until=20261124),
    "day that does not exist": acknowledged(
        "until", '"2026-11-31"', "a day in quotes", "Write a day that exists", until="2026-11-31"
    ),
    "day too far ahead": acknowledged(
        "until", '"2099-01-01"', "a day until 20", "Choose an earlier one", until="2099-01-01"
    ),
    "no reason": acknowledged("reason", '""', "why, in a sentence", reason=""),
    "retiring what serves": Bad(
        {"database": {"generations": {"main": {"retiring": True}}}},
        "database.generations.main.retiring",
        "true",
        "false on the generation that serves",
        "Let another one serve first",
    ),
    "retiring in quotes": Bad(
        {"redis": {"generations": {"main": {}, "old": {"retiring": "yes"}}}},
        "redis.generations.old.retiring",
        '"yes"',
        "true or false",
    ),
}

TABLES = {
    "acknowledged": ACKNOWLEDGED,
    "general": GENERAL,
    "tags": TAGS,
    "network": NETWORK,
    "kubernetes": KUBERNETES,
    "database": DATABASE,
    "serverless": SERVERLESS,
    "redis": REDIS,
    "generations": GENERATIONS,
    "migrations": MIGRATIONS,
    "access": ACCESS,
    "backup": BACKUP,
    "monitoring": MONITORING,
}
CASES = {f"{table}: {name}": bad for table, cases in TABLES.items() for name, bad in cases.items()}


@pytest.mark.parametrize("bad", CASES.values(), ids=CASES.keys())
def test_each_bad_configuration_is_refused_with_its_key_value_and_remedy(bad: Bad) -> None:
    error = refusal(bad.config, stack=bad.stack, secret=bad.secret)

    (problem,) = error.problems
    path = bad.path if bad.path.startswith("meetinity") else f"meetinity-data:{bad.path}"
    assert (problem.path, problem.received) == (path, bad.received)
    assert bad.allowed in problem.allowed
    assert bad.do in problem.do
    assert str(problem) in str(error)


def test_the_table_is_as_long_as_promised() -> None:
    assert len(CASES) >= 60


def test_all_errors_of_all_kinds_arrive_together() -> None:
    error = refusal(
        {
            "environment": "production",
            "cache": {},
            "tags": {"Name": "x"},
            "network": {"allowedCidrBlocks": ["10.0.0.1/8"]},
            "database": {
                "name": "Main",
                "instanceCount": "2",
                "backupRetentionPeriod": 0,
                "preferredMaintenanceWindow": "sun:03:00-sun:04:00",
                "masterPassword": "hunter2hunter2",
                "serving": "r2",
                "generations": {"main": {}, "r1": {"restore": {"generation": "gone", "pointInTime": 5}}},
            },
            "redis": {"numCacheClusters": 1, "engineVersion": 7},
            "migrations": [{"name": "a"}, {"name": "a", "image": "a", "command": "b"}],
            "access": {"readers": [{"kind": "group", "name": 5}]},
            "backup": {"coldStorageAfter": 1, "deleteAfter": 2, "selectionTags": {"a": "b"}},
        }
    )

    assert [problem.path.removeprefix("meetinity-data:") for problem in error.problems] == [
        "cache",
        "environment",
        "tags.Name",
        "network.allowedCidrBlocks[0]",
        "database.name",
        "database.instanceCount",
        "database.backupRetentionPeriod",
        "database.preferredMaintenanceWindow",
        "database.generations.r1.restore.pointInTime",
        "redis.engineVersion",
        "redis.automaticFailoverEnabled",
        "redis.multiAzEnabled",
        "migrations[0].image",
        "migrations[0].command",
        "migrations[1].image",
        "migrations[1].command",
        "access.readers[0].kind",
        "access.readers[0].name",
        "backup.deleteAfter",
        "database.masterPassword",
        "migrations[1].name",
        "database.serving",
        "database.generations.r1.restore.generation",
    ]
    lines = str(error).splitlines()
    assert lines[0] == "the configuration of stack 'dev' has 23 errors; nothing was changed:"
    assert len(lines) == 24


def test_one_node_with_the_default_failover_is_told_about_both_settings() -> None:
    error = refusal({"redis": {"numCacheClusters": 1}})

    assert [problem.path for problem in error.problems] == [
        "meetinity-data:redis.automaticFailoverEnabled",
        "meetinity-data:redis.multiAzEnabled",
    ]


@pytest.mark.parametrize(
    ("request_", "limit"),
    [
        ("1001", "1k"),
        ("1001k", "1M"),
        ("1001M", "1G"),
        ("1025", "1Ki"),
        ("1025Ki", "1Mi"),
        ("1025Mi", "1Gi"),
        ("1.1Gi", "1Gi"),
    ],
)
def test_memory_is_compared_across_units(request_: str, limit: str) -> None:
    def migrations(lower: str, upper: str) -> dict[str, Any]:
        resources = {"requests": {"memory": lower}, "limits": {"memory": upper}}
        return {"migrations": [{"name": "a", "image": "a:1", "command": ["b"], "resources": resources}]}

    assert "1 error" in str(refusal(migrations(request_, limit)))
    assert load(migrations(limit, request_))


def test_cpu_is_compared_across_units() -> None:
    def migrations(lower: str, upper: str) -> dict[str, Any]:
        resources = {"requests": {"cpu": lower}, "limits": {"cpu": upper}}
        return {"migrations": [{"name": "a", "image": "a:1", "command": ["b"], "resources": resources}]}

    assert load(migrations("500m", "0.5"))
    assert load(migrations("0.5", "500m"))
    assert "1 error" in str(refusal(migrations("0.5", "499m")))


def test_an_error_in_one_key_makes_no_false_one_in_another() -> None:
    error = refusal(
        {
            "database": {
                "preferredBackupWindow": "3-4",
                "performanceInsightsEnabled": "no",
                "databaseInsightsMode": "advanced",
                "performanceInsightsRetentionPeriod": 465,
                "serverless": {"minCapacity": "0", "maxCapacity": 1, "secondsUntilAutoPause": 300},
            },
            "redis": {
                "numCacheClusters": "1",
                "engine": "Valkey",
                "engineVersion": "8.1",
                "parameterGroupFamily": "valkey8",
            },
        }
    )

    assert [problem.path.removeprefix("meetinity-data:") for problem in error.problems] == [
        "database.preferredBackupWindow",
        "database.performanceInsightsEnabled",
        "database.serverless.minCapacity",
        "redis.engine",
        "redis.numCacheClusters",
    ]


def test_generations_that_come_from_each_other_are_refused_on_both_sides() -> None:
    restores = {
        "a": {"restore": {"generation": "b", "pointInTime": "latest"}},
        "b": {"restore": {"generation": "a", "clone": True}},
    }

    error = refusal({"database": {"serving": "a", "generations": restores}})

    assert [problem.path for problem in error.problems] == [
        "meetinity-data:database.generations.a.restore.generation",
        "meetinity-data:database.generations.b.restore.generation",
    ]


def test_a_line_reads_as_key_value_rule_and_remedy() -> None:
    error = refusal({"database": {"backupRetentionPeriod": 36}})

    assert str(error) == (
        "the configuration of stack 'dev' has 1 error; nothing was changed:\n"
        "  meetinity-data:database.backupRetentionPeriod: received 36. "
        "Allowed: a whole number of days from 1 to 35. Choose an allowed number."
    )
    assert error.problems == (
        Problem(
            "meetinity-data:database.backupRetentionPeriod",
            "36",
            "a whole number of days from 1 to 35",
            "Choose an allowed number",
        ),
    )


@pytest.mark.parametrize("text", ["{", "[1, 2", "[" * 100_000, "9" * 5000], ids=["cut", "list", "deep", "endless"])
def test_text_that_is_no_json_is_refused_and_not_a_traceback(text: str) -> None:
    assert [problem.path for problem in refusal({"database": text}).problems] == ["meetinity-data:database"]


NUMBERS: list[Any] = [0, -1, 10**300, 1.5, NAN]
ODD: list[Any] = [None, True, *NUMBERS, "", "x", "\ud800", [], [None], [[]], [{}], ["x"], {}, {"a": {}}, {"main": 1}]
HOLDERS: dict[str, tuple[type[Model], Callable[[Any], dict[str, Any]]]] = {
    "network": (Network, lambda it: {"network": it}),
    "kubernetes": (Kubernetes, lambda it: {"kubernetes": it}),
    "database": (Database, lambda it: {"database": it}),
    "serverless": (Serverless, lambda it: {"database": {"serverless": it}}),
    "restore": (DatabaseRestore, lambda it: {"database": {"generations": {"main": {"restore": it}}}}),
    "redis": (Redis, lambda it: {"redis": it}),
    "migration": (Migration, lambda it: {"migrations": [it, it]}),
    "resources": (Resources, lambda it: {"migrations": [{"resources": it}]}),
    "amounts": (Amounts, lambda it: {"migrations": [{"resources": {"limits": it, "requests": it}}]}),
    "access": (Access, lambda it: {"access": it}),
    "reader": (Reader, lambda it: {"access": {"readers": [it, it]}}),
    "backup": (Backup, lambda it: {"backup": it}),
    "vault lock": (VaultLock, lambda it: {"backup": {"vaultLock": it}}),
    "copy": (Copy, lambda it: {"backup": {"copyTo": it}}),
    "monitoring": (Monitoring, lambda it: {"monitoring": it}),
    "subscriber": (Subscriber, lambda it: {"monitoring": {"subscribers": [it]}}),
}


def printable_or_sound(config: dict[str, Any]) -> bool:
    try:
        load({section: json.dumps(value) for section, value in config.items()})
    except SettingsError as error:
        return bool(error.problems) and bool(str(error).encode())
    return True


@pytest.mark.parametrize("holder", HOLDERS)
def test_whatever_stands_at_a_known_key_the_answer_is_settings_or_an_error_that_can_be_printed(holder: str) -> None:
    model, within = HOLDERS[holder]
    for field in model.model_fields.values():
        for odd in ODD:
            assert printable_or_sound(within({str(field.alias): odd})), (field.alias, odd)
    for odd in ODD:
        assert printable_or_sound(within(odd)), odd


texts = st.text(st.characters(), max_size=5)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(texts, below, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(section=st.sampled_from(sorted(str(field.alias) for field in Settings.model_fields.values())), value=anything)
def test_any_json_at_all_is_taken_or_refused_and_never_a_traceback(section: str, value: Any) -> None:
    assert printable_or_sound({section: value})


def test_null_is_the_same_as_absent_where_a_key_is_optional() -> None:
    nothing = load({})

    assert (
        load(
            {
                "tags": "",
                "network": {"vpcId": None, "allowedCidrBlocks": None},
                "kubernetes": {"context": None, "kubeconfig": None, "namespace": None},
                "database": {"masterPassword": None, "serverless": None, "engineVersion": None, "generations": None},
                "redis": {"authToken": None, "parameterGroupFamily": None},
                "backup": None,
                "migrations": None,
            }
        )
        == nothing
    )
