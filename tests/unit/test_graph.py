"""The picture: the same for the same stack, grouped, reduced, coloured, and the committed one not stale."""

from __future__ import annotations

import json
import random
import xml.etree.ElementTree as ElementTree

import pytest
from click.testing import CliRunner

from ops.__main__ import main
from ops.graph import Resource, graph, mermaid, svg
from tests.unit.pictures import pictures, resources
from tests.unit.previews import CLUSTER, DATABASE, INSTANCE, SECRET, document, step, urn

COMPONENT = f"urn:pulumi:prod::meetinity-data::{DATABASE}::database"
OTHER = "urn:pulumi:prod::meetinity-data::meetinity:data:ConnectionSecrets::connections"
STORE, FIRST = urn(CLUSTER, "database-cluster"), urn(INSTANCE, "database-instance-1")
SECRET_URN = urn(SECRET, "connections-database", "meetinity:data:ConnectionSecrets")
PASSWORD = urn("random:index/randomPassword:RandomPassword", "database-master-password")
LOOSE = urn("kubernetes:core/v1:Namespace", "namespace", "")

STACK = [
    Resource(COMPONENT),
    Resource(OTHER, needs=frozenset({STORE, FIRST, COMPONENT})),
    Resource(PASSWORD, COMPONENT),
    Resource(STORE, COMPONENT, frozenset({PASSWORD})),
    Resource(FIRST, COMPONENT, frozenset({STORE, PASSWORD})),
    Resource(SECRET_URN, OTHER, frozenset({FIRST, PASSWORD, LOOSE})),
    Resource(LOOSE),
    Resource("urn:pulumi:prod::meetinity-data::pulumi:providers:kubernetes::kubernetes"),
    Resource("urn:pulumi:prod::meetinity-data::pulumi:pulumi:Stack::meetinity-data-prod"),
]


@pytest.mark.parametrize("path", pictures(), ids=lambda path: path.name)
def test_the_committed_pictures_are_not_stale(path):
    assert path.read_text() == pictures()[path], "write it anew with `make docs`"


def test_the_order_of_a_state_does_not_matter():
    expected = mermaid(graph(STACK)), svg(graph(STACK))
    for seed in range(20):
        shuffled = random.Random(seed).sample(STACK, len(STACK))
        assert (mermaid(graph(shuffled)), svg(graph(shuffled))) == expected


@pytest.mark.parametrize("name", ["a\nb", "a\x01b", '"]; x["', "<script>", "#quot;", "a`|b", "\ud800"])
def test_no_name_breaks_a_picture(name):
    parent = urn(DATABASE, name, "")
    picture = graph([Resource(parent), Resource(urn(CLUSTER, name), parent, change="create")])
    ElementTree.fromstring(svg(picture))
    drawn = mermaid(picture)
    assert len(drawn.splitlines()) == 6
    assert {line.count('"') for line in drawn.splitlines()[1:3]} == {2}
    assert "#quot;quot" not in drawn.replace("#35;quot;", "")


def test_many_of_one_kind_and_name_each_have_their_own_place():
    picture = graph([Resource(f"urn:pulumi:prod::p::package{number}:x:Cluster::same") for number in range(150)])
    assert len({line.split("[")[0] for line in mermaid(picture).splitlines()[1:]}) == 150


def test_what_goes_in_a_circle_comes_after_what_it_needs_and_by_name():
    one, two, last = (Resource(urn(CLUSTER, name), needs=frozenset(needs)) for name, needs in (
        ("b", {urn(CLUSTER, "c"), urn(CLUSTER, "z")}), ("c", {urn(CLUSTER, "b")}), ("z", ()),
    ))  # fmt: skip
    assert [each.name for each in graph([two, one, last]).nodes] == ["z", "b", "c"]


@pytest.mark.parametrize(
    "resource", [{"urn": "x"}, {"urn": STORE, "parent": "zzz"}, {"urn": STORE, "dependencies": [{}]}]
)
def test_what_is_no_state_is_told_in_one_line(tmp_path, resource):
    path = tmp_path / "state.json"
    path.write_text(json.dumps({"deployment": {"resources": [resource]}}))
    done = CliRunner().invoke(main, ["graph", str(path)])
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert "is no state and no preview" in done.output


def test_grouped_and_without_what_other_arrows_say():
    picture = graph(STACK)
    assert picture.groups == [COMPONENT, OTHER]
    assert [each.name for each in picture.of(COMPONENT)] == [
        "database-master-password",
        "database-cluster",
        "database-instance-1",
    ]
    # The instance needs the password too, but through the cluster already.
    assert picture.within == {(PASSWORD, STORE), (STORE, FIRST)}
    assert picture.between == {(COMPONENT, OTHER), (LOOSE, OTHER)}


def test_a_circle_is_drawn_and_does_not_hang():
    circle = [Resource(STORE, COMPONENT, frozenset({FIRST})), Resource(FIRST, COMPONENT, frozenset({STORE}))]
    picture = graph([Resource(COMPONENT), *circle])
    assert len(picture.nodes) == 2
    assert picture.within == {(STORE, FIRST), (FIRST, STORE)}
    assert svg(picture)


def test_mermaid_text():
    text = mermaid(
        graph([each if each.urn != STORE else Resource(STORE, COMPONENT, change="replace") for each in STACK])
    )
    lines = text.splitlines()
    assert lines[0] == "flowchart LR"
    assert '  subgraph AuroraCluster_database["AuroraCluster database"]' in lines
    assert '    Cluster_database_cluster["Cluster<br/>database-cluster"]' in lines
    assert "  Cluster_database_cluster --> ClusterInstance_database_instance_1" in lines
    assert "  AuroraCluster_database ==> ConnectionSecrets_connections" in lines
    assert "  class Cluster_database_cluster replace" in lines
    assert "providers" not in text


def test_svg_is_well_formed_and_names_everything():
    name = 'a"<b>&name-' + "x" * 60
    odd = urn(SECRET, name, "meetinity:data:ConnectionSecrets")
    root = ElementTree.fromstring(svg(graph([*STACK, Resource(odd, OTHER, change="delete")])))
    titles = {each.text for each in root.iter("{http://www.w3.org/2000/svg}title")}
    assert {STORE, FIRST, SECRET_URN, PASSWORD, LOOSE, odd} == titles
    assert mermaid(graph([Resource(odd)])).count('"') == 2


def test_two_of_one_name_are_two():
    picture = graph([Resource(urn(CLUSTER, "a-b", "")), Resource(urn(CLUSTER, "a_b", ""))])
    assert mermaid(picture).splitlines()[1:] == [
        '  Cluster_a_b["Cluster<br/>a-b"]',
        '  Cluster_a_b_2["Cluster<br/>a_b"]',
    ]


def run(*arguments):
    return CliRunner().invoke(main, ["graph", *map(str, arguments)])


def test_a_state_coloured_by_a_preview(tmp_path):
    state, preview = tmp_path / "state.json", tmp_path / "preview.json"
    exported = [
        {"urn": each.urn, "parent": each.parent, "dependencies": [], "propertyDependencies": {"x": sorted(each.needs)}}
        for each in STACK
    ]
    state.write_text(json.dumps({"version": 3, "deployment": {"resources": exported}}))
    preview.write_text(
        document(
            step("delete"),
            step("create", INSTANCE, "database-instance-2"),
            step("update", INSTANCE, "database-instance-1"),
        )
    )
    found = json.loads(run(state, "--changes", preview, "--json").output)
    changes = {each["urn"].split("::")[-1]: each["change"] for each in found["nodes"]}
    assert changes["database-cluster"] == "delete"
    assert changes["database-instance-1"] == "update"
    assert changes["database-instance-2"] == "create"
    assert changes["connections-database"] == ""
    assert [COMPONENT, OTHER] in found["edges"]
    assert run(state).output == mermaid(graph(STACK))
    assert run(preview, "--format", "svg").output.startswith("<svg ")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"deployment": []}', "not json"])
def test_what_is_neither_is_one_line(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    done = run(path)
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert "is no state and no preview" in done.output


def test_the_programs_order_is_in_its_picture():
    """Stores, then Secrets, then migrations: the contract, seen from the outside."""
    between = {(first.split("::")[-1], second.split("::")[-1]) for first, second in graph(resources()).between}
    assert {("database", "connections"), ("redis", "connections"), ("connections", "user-service-migration")} <= between
