"""Whom a verification trusts, and what it says when it cannot know."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from botocore.exceptions import EndpointConnectionError

from ops import trust
from ops.errors import OpsError

PEM = "-----BEGIN CERTIFICATE-----\nQ0E=\n-----END CERTIFICATE-----\n"


class Session:
    """In place of botocore's: what was asked for, and an answer."""

    def __init__(self, status_code: int = 200, text: str = PEM) -> None:
        self.answer, self.asked = SimpleNamespace(status_code=status_code, text=text), []

    def __call__(self, **_: object) -> Session:
        return self

    def send(self, request):
        self.asked.append(request.url)
        if not self.answer.status_code:
            raise EndpointConnectionError(endpoint_url=request.url)
        return self.answer


def test_without_a_word_rds_own_authorities_of_the_region_are_fetched(monkeypatch):
    monkeypatch.delenv(trust.VARIABLE, raising=False)
    monkeypatch.setattr(trust, "URLLib3Session", session := Session())
    assert trust.of_rds("eu-west-1") == PEM
    assert session.asked == ["https://truststore.pki.rds.amazonaws.com/eu-west-1/eu-west-1-bundle.pem"]
    assert trust.named() is None


def test_a_named_bundle_is_for_both_stores_and_nothing_is_fetched(monkeypatch, tmp_path):
    (tmp_path / "ca.pem").write_text(PEM)
    monkeypatch.setenv(trust.VARIABLE, str(tmp_path / "ca.pem"))
    monkeypatch.setattr(trust, "URLLib3Session", session := Session())
    assert trust.of_rds("eu-west-1") == trust.named() == PEM
    assert session.asked == []


@pytest.mark.parametrize(
    ("session", "says"),
    [
        (Session(0), "was not reached"),
        (Session(403), "answered 403: .*MEETINITY_CA_BUNDLE"),
        (Session(text="<html>"), "holds no certificate in PEM"),
    ],
)
def test_a_bundle_that_does_not_come_is_an_error_and_no_reason_to_trust_anybody(monkeypatch, session, says):
    monkeypatch.delenv(trust.VARIABLE, raising=False)
    monkeypatch.setattr(trust, "URLLib3Session", session)
    with pytest.raises(OpsError, match=says):
        trust.of_rds("eu-west-1")


@pytest.mark.parametrize(("content", "says"), [(None, "cannot be read"), ("no", "holds no certificate in PEM")])
def test_a_named_bundle_that_is_none_is_an_error(monkeypatch, tmp_path, content, says):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv(trust.VARIABLE, str(path))
    with pytest.raises(OpsError, match=says):
        trust.named()
