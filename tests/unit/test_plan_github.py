"""The one comment, against a server on loopback that speaks as GitHub does."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner

from ops.__main__ import main
from ops.errors import OpsError
from ops.plan.comment import MARKER
from ops.plan.github import PullRequest
from tests.unit.previews import document, step

TOKEN = "ghs_of_this_run"


class GitHub(ThreadingHTTPServer):
    """Issue comments of o/r#7, paginated; `failing` holds the statuses of the next answers."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.comments = {}
        self.failing = []
        self.asked = []
        self.next_page = ""
        threading.Thread(target=self.serve_forever, daemon=True, kwargs={"poll_interval": 0.01}).start()

    @property
    def api(self):
        return f"http://127.0.0.1:{self.server_port}"

    def add(self, *bodies):
        for body in bodies:
            self.comments[len(self.comments) + 1] = body


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def _answer(self, status, document, **headers):
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _handle(self):
        github = self.server
        given = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "null")
        github.asked.append((self.command, self.path))
        if github.failing:
            return self._answer(github.failing.pop(0), {"message": f"no, {self.headers['Authorization']}"})
        assert self.headers["Authorization"] == f"Bearer {TOKEN}"
        if found := re.fullmatch(r"/repos/o/r/issues/7/comments\?per_page=(\d+)(?:&page=(\d+))?", self.path):
            size, page = int(found[1]), int(found[2] or 1)
            listed = [{"id": key, "body": body} for key, body in github.comments.items()]
            more = {}
            if len(listed) > page * size:
                url = github.next_page or f"{github.api}/repos/o/r/issues/7/comments?per_page={size}&page={page + 1}"
                more = {"Link": f'<{url}>; rel="next", <{url}>; rel="last"'}
            return self._answer(200, listed[(page - 1) * size : page * size], **more)
        if self.command == "POST" and self.path == "/repos/o/r/issues/7/comments":
            github.add(given["body"])
            return self._answer(201, {"html_url": f"c{len(github.comments)}"})
        found = re.fullmatch(r"/repos/o/r/issues/comments/(\d+)", self.path)
        assert self.command == "PATCH", self.path
        github.comments[int(found[1])] = given["body"]
        return self._answer(200, {"html_url": f"c{found[1]}"})

    do_GET = do_POST = do_PATCH = _handle  # noqa: N815 - http.server's names


@pytest.fixture
def github():
    server = GitHub()
    yield server
    server.shutdown()
    server.server_close()


def pull_request(github, **more):
    return PullRequest(github.api, "o/r", 7, TOKEN, pause_seconds=0, **more)


def test_the_first_is_posted_and_the_next_takes_its_place(github):
    github.add("a person", f"quoting it: {MARKER}")
    assert pull_request(github).comment(f"{MARKER}\nfirst") == "c3"
    assert pull_request(github).comment(f"{MARKER}\nsecond") == "c3"
    assert list(github.comments.values()) == ["a person", f"quoting it: {MARKER}", f"{MARKER}\nsecond"]


def test_it_is_found_on_the_third_page(github):
    github.add(*["chat"] * 230, f"{MARKER}\nold", *["chat"] * 20)
    pull_request(github).comment(f"{MARKER}\nnew")
    assert github.comments[231] == f"{MARKER}\nnew"
    assert len(github.comments) == 251


def test_what_passes_is_tried_again(github):
    github.failing = [502, 429, 503]
    assert pull_request(github).comment(MARKER) == "c1"
    assert len(github.asked) == 5


@pytest.mark.parametrize(
    ("status", "said"), [(403, "pull-requests: write"), (404, "such a pull request"), (401, "valid")]
)
def test_a_refusal_is_one_line_without_the_token(github, status, said):
    github.failing = [status]
    with pytest.raises(OpsError) as error:
        pull_request(github).comment(MARKER)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert TOKEN not in str(error.value)
    assert len(github.asked) == 1


def test_nobody_answers(github):
    github.shutdown()
    github.server_close()
    with pytest.raises(OpsError, match="did not answer"):
        pull_request(github).comment(MARKER)


def test_the_token_goes_to_no_other_host(github):
    github.add(*["chat"] * 101)
    github.next_page = "https://elsewhere.example/comments?page=2"
    with pytest.raises(OpsError, match="not sent there"):
        pull_request(github).comment(MARKER)


def post(tmp_path, github, monkeypatch, text, to="o/r#7"):
    path = tmp_path / "prod.json"
    path.write_text(text)
    monkeypatch.setenv("GITHUB_API_URL", github.api)
    return CliRunner().invoke(main, ["plan", "comment", str(path), "--post", to])


def test_an_older_greener_comment_does_not_outlive_a_failure(tmp_path, github, monkeypatch):
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    for text, said in (
        (document(), "✅ prod: passes"),
        (document(step("delete")), "⛔ prod: refused"),
        ("", "⛔ prod: there is no"),
    ):
        done = post(tmp_path, github, monkeypatch, text)
        assert (done.exit_code, done.output) == (0, "c1\n")
        assert list(github.comments) == [1]
        assert said in github.comments[1]


def test_without_a_token_or_with_a_wrong_name(tmp_path, github, monkeypatch):
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    done = post(tmp_path, github, monkeypatch, document())
    assert (done.exit_code, "GITHUB_TOKEN is not set" in done.output) == (1, True)
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    assert post(tmp_path, github, monkeypatch, document(), to="o/r/7").exit_code == 2
    assert github.asked == []
