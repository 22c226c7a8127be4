"""The common base, spoken to over gRPC as the engine does, through the smallest provider."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2

from sandbox.providers import values
from sandbox.providers.values import Change
from tests.sandbox.provider_process import CHECKOUT, UNKNOWN, Client, provider

PASSWORD = "random:index/randomPassword:RandomPassword"
ID = "random:index/randomId:RandomId"


@pytest.fixture(scope="module")
def random() -> Iterator[Client]:
    with provider("random") as client:
        yield client


@pytest.mark.parametrize("name", ["aws", "random"])
def test_a_provider_announces_exactly_the_version_its_sdk_asks_for(name: str) -> None:
    with provider(name) as client:
        assert client.stub.GetPluginInfo(empty_pb2.Empty()).version == metadata.version(f"pulumi-{name}")
        assert client.stub.Handshake(provider_pb2.ProviderHandshakeRequest()).accept_secrets


def test_the_built_provider_announces_the_version_its_sdk_asks_for() -> None:
    build = CHECKOUT / "sandbox" / "toolchain" / "pulumi-kubernetes" / "build.sh"
    assert f"announced={metadata.version('pulumi-kubernetes')} " in build.read_text()


def test_interrupted_a_provider_ends_at_once_and_says_nothing() -> None:
    def seconds() -> float:
        with provider("random") as client:
            started = time.monotonic()
            client.process.send_signal(signal.SIGINT)
            assert client.process.wait(60) == 0
            took = time.monotonic() - started
            assert client.process.stderr
            assert client.process.stderr.read() == ""
        return took

    # With no request under way; the grace for one is 5 s. Again, because a machine may stand still for a while.
    assert any(seconds() < 3 for _ in range(3))


def test_a_provider_ends_when_the_engine_was_killed_outright() -> None:
    command = f"{sys.executable} -P -m sandbox.providers.random & echo $!; wait"
    engine = subprocess.Popen(
        ["sh", "-c", command], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, text=True
    )
    with engine:
        assert engine.stdout
        pid = int(engine.stdout.readline())
        assert engine.stdout.readline().strip().isdigit()
        engine.kill()
        deadline = time.monotonic() + 60
        while Path(f"/proc/{pid}/cwd").exists():
            assert time.monotonic() < deadline, "the provider outlived its engine"
            time.sleep(0.05)


def test_what_only_code_generation_needs_is_refused_with_the_way_round_it(random: Client) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        random.stub.GetSchema(provider_pb2.GetSchemaRequest())
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert "--generate-code=false" in caught.value.details()


def test_an_unknown_setting_of_the_provider_is_refused_with_its_nearest_name() -> None:
    with provider("aws") as client:
        assert client.check_config(version="7.51.1", region="eu-west-1", maxRetries="3") == {}
        failures = client.check_config(regoin="eu-west-1", profile="prod")
    assert "did you mean 'region'?" in failures["regoin"]
    assert "not supported by the sandbox" in failures["profile"]


@pytest.mark.parametrize(
    ("kind", "news", "key", "reason"),
    [
        ("random:index/randomPet:RandomPet", {}, "", "unknown type 'random:index/randomPet:RandomPet'; did you mean"),
        (PASSWORD, {"length": 12, "lenght": 13}, "lenght", "did you mean 'length'?"),
        (PASSWORD, {"length": 12, "number": True}, "number", "not supported by the sandbox"),
        (PASSWORD, {}, "length", "missing required argument 'length'"),
        (PASSWORD, {"length": 0}, "length", "at least 1"),
        (PASSWORD, {"length": 3, "minLower": 2, "minUpper": 2}, "length", "sum of the four minimums"),
        (PASSWORD, dict.fromkeys(("lower", "upper", "numeric", "special"), False) | {"length": 9}, "special", "one of"),
        (ID, {"prefix": "a"}, "byteLength", "missing required argument 'byteLength'"),
    ],
)
def test_check_names_what_it_refuses(random: Client, kind: str, news: dict[str, object], key: str, reason: str) -> None:
    _, failures = random.checked(kind, news)
    assert reason in failures[key]


@pytest.mark.parametrize("sentinel", sorted(values._UNKNOWNS))
def test_an_unknown_of_any_type_passes_check_and_preview(random: Client, sentinel: str) -> None:
    inputs = random.check(PASSWORD, {"length": sentinel, "keepers": {"a": sentinel}})
    assert inputs == {"length": UNKNOWN, "keepers": {"a": UNKNOWN}}
    _, outputs = random.create(PASSWORD, inputs, preview=True)
    assert outputs["length"] == outputs["result"] == UNKNOWN


def test_an_output_value_becomes_a_secret_or_an_unknown(random: Client) -> None:
    output = {values._SIGNATURE: values._OUTPUT}
    inputs = random.check(ID, {"byteLength": output, "prefix": {**output, "value": "p", "secret": True}})
    assert inputs == {"byteLength": UNKNOWN, "prefix": values.secret("p")}


def test_numbers_come_back_whole_or_as_they_were() -> None:
    assert values.decode(values.encode({"a": 3, "b": 0.5, "c": [1.0], "d": None, "e": True})) == {
        "a": 3, "b": 0.5, "c": [1], "d": None, "e": True,
    }  # fmt: skip


def test_secrets_stay_wrapped_from_check_to_read(random: Client) -> None:
    inputs = random.check(PASSWORD, {"length": 20, "keepers": values.secret({"of": "x"})})
    assert values.is_secret(inputs["keepers"])
    id_, state = random.create(PASSWORD, inputs)
    assert id_ == "none"
    assert [name for name, value in state.items() if values.is_secret(value)] == [
        "bcryptHash",
        "result",
        "keepers",
    ] or {name for name, value in state.items() if values.is_secret(value)} == {"bcryptHash", "result", "keepers"}
    assert random.read(PASSWORD, id_, inputs, state) == (id_, inputs, state)


def test_a_password_obeys_its_classes_and_minimums(random: Client) -> None:
    news = {"length": 8, "special": True, "minSpecial": 3, "overrideSpecial": "-", "upper": False, "minNumeric": 2}
    made = values.plain(random.create(PASSWORD, random.check(PASSWORD, news))[1]["result"])
    assert len(made) == 8
    assert made.count("-") >= 3
    assert sum(letter.isdigit() for letter in made) >= 2
    assert made == made.lower()
    assert not set(made) & set("!@#$%")


def test_requests_are_served_side_by_side(random: Client) -> None:
    inputs = random.check(ID, {"byteLength": 16})
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: random.create(ID, inputs)[0], range(32)))
    assert len(set(made)) == 32


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {}),
        ({"special": True, "minLower": 0}, {}),
        ({"length": 13}, {"length": "update replace"}),
        ({"keepers": {"a": "2"}}, {"keepers.a": "update replace"}),
        ({"special": False}, {"special": "update replace"}),
    ],
)
def test_any_other_argument_makes_a_new_password(random: Client, change: dict[str, object], expected: object) -> None:
    inputs = random.check(PASSWORD, {"length": 12, "keepers": {"a": "1"}})
    id_, state = random.create(PASSWORD, inputs)
    assert random.changes(PASSWORD, id_, state, {**inputs, **change}) == expected
    assert random.changes(PASSWORD, id_, state, {**inputs, **change}, ignore=("length", "special", "keepers.a")) == {}


def test_an_imported_password_is_its_import_id(random: Client) -> None:
    id_, inputs, state = random.read(PASSWORD, "hunter2hunter2")
    assert (id_, inputs) == ("none", {"length": 14})
    assert state["result"] == values.secret("hunter2hunter2")
    assert random.changes(PASSWORD, id_, state, random.check(PASSWORD, {"length": 14}, inputs)) == {}


def test_an_id_has_four_forms_and_can_be_imported(random: Client) -> None:
    id_, state = random.create(ID, random.check(ID, {"byteLength": 4, "prefix": "p-"}))
    assert state["hex"].startswith("p-")
    number = int(state["hex"].removeprefix("p-"), 16)
    assert state["dec"] == f"p-{number}"
    imported = random.read(ID, f"p-,{id_}")
    assert imported == (id_, {"byteLength": 4, "prefix": "p-"}, {**state, "keepers": None})
    with pytest.raises(grpc.RpcError) as caught:
        random.read(ID, "no base64!")
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": True}, [("a", "update")]),
        ({"tags": {"a": "1"}}, {"tags": {"b": "1"}}, [("tags.a", "delete"), ("tags.b", "add")]),
        ({"a": {"x.y": 1}}, {"a": {"x.y": 2}}, [('a["x.y"]', "update")]),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}, 4]}, [("a[1].b", "update"), ("a[2]", "add")]),
        ({"a": [1]}, {"a": "x"}, [("a", "update")]),
    ],
)
def test_differences_are_found_at_their_nested_paths(old: object, new: object, expected: list[Change]) -> None:
    assert list(values.changes(old, new)) == expected


@pytest.mark.parametrize(
    ("ignored", "path", "covered"),
    [
        ("tags", "tags.a", True),
        ("tags", "tagsAll", False),
        ('tags["a"]', "tags.a", True),
        ("a[*].b", "a[3].b", True),
        ("a[0]", "a[0].b", True),
        ("a.b", "a", False),
    ],
)
def test_an_ignored_path_covers_what_lies_within_it(ignored: str, path: str, covered: bool) -> None:
    assert values.covers([ignored], path) is covered


def test_secret_texts_are_blotted_out_of_messages_in_base64_too() -> None:
    hidden = {"a": values.secret({"b": ["hunter2hunter2", 5, "x"]})}
    assert values.without_secrets("x: hunter2hunter2, aHVudGVyMmh1bnRlcjI=, 5", hidden) == "x: [secret], [secret], 5"
