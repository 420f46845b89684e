"""Requests in, answers out; files swapped under a running application."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from analytics_pipeline.serving.api import PREFIXES, ServeError, create_app, serve
from analytics_pipeline.settings import Serve, Settings, Token
from analytics_pipeline_tests.serving.publishing import ago, publish, run, settings_for

Get = Callable[..., httpx.Response]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_for(tmp_path)


@pytest.fixture
def get(settings: Settings) -> Get:
    return getter(settings)


def getter(settings: Settings, client: str = "127.0.0.1") -> Get:
    """Asks one application, as a client of this address would."""
    transport = httpx.ASGITransport(create_app(settings), client=(client, 5000))

    def get(path: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url="http://analytics") as asking:
                return await asking.get(path, **options)

        import anyio

        return anyio.run(ask)

    return get


def test_alive_but_not_ready_before_anything_is_published(settings: Settings, get: Get) -> None:
    assert get("/healthz").json() == {"status": "ok"}
    answer = get("/readyz")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")
    assert "materialize" in answer.json()["error"]["message"]
    publish(settings, [run("r1", ago(1))])
    assert get("/readyz").json()["runs"] == 1


@pytest.mark.parametrize("prefix", PREFIXES)
def test_both_prefixes_answer_the_same(settings: Settings, get: Get, prefix: str) -> None:
    publish(settings, [run("r1", ago(1)), run("r2", ago(200))])
    assert get(f"{prefix}/summary").json()["total_runs"] == 2
    assert get(f"{prefix}/summary", params={"days": 7}).json()["total_runs"] == 1
    assert get(f"{prefix}/summary", params={"org_id": "other"}).json()["total_runs"] == 0
    assert get(f"{prefix}/insights/report", params={"days": 7}).json()["period_days"] == 7


def test_without_data_everything_answers(get: Get) -> None:
    assert get(f"{PREFIXES[0]}/summary").json()["total_runs"] == 0
    assert get(f"{PREFIXES[0]}/insights/report").json()["insights"] == []
    assert get("/").status_code == 200


def test_a_new_generation_is_served_at_once(settings: Settings, get: Get) -> None:
    for number in (1, 2, 5):
        publish(settings, [run(f"r{i}", ago(1)) for i in range(number)])
        assert get(f"{PREFIXES[0]}/summary").json()["total_runs"] == number


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (f"{PREFIXES[0]}/summary?days=0", 422, "invalid_parameter"),
        (f"{PREFIXES[0]}/summary?days=367", 422, "invalid_parameter"),
        (f"{PREFIXES[0]}/insights/report?days=week", 422, "invalid_parameter"),
        ("/nowhere", 404, "not_found"),
    ],
)
def test_errors_have_one_shape(get: Get, path: str, status: int, code: str) -> None:
    answer = get(path)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
    assert answer.json()["error"]["message"]
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize("client", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_served_without_tokens(settings: Settings, client: str) -> None:
    assert getter(settings, client)(f"{PREFIXES[0]}/summary").status_code == 200


@pytest.mark.parametrize("client", ["10.0.0.8", "192.168.1.2", "2001:db8::1", "somewhere"])
@pytest.mark.parametrize("path", ["/healthz", "/", f"{PREFIXES[0]}/summary", "/docs"])
def test_others_are_refused_without_tokens(settings: Settings, client: str, path: str) -> None:
    answer = getter(settings, client)(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


def test_a_token_opens_its_own_org_and_no_other(tmp_path: Path) -> None:
    tokens = tuple(
        Token.model_validate({"token_sha256": hashlib.sha256(secret).hexdigest(), "org_id": "acme", "role": role})
        for secret, role in ((b"secret", "viewer"), (b"logs", "ingest"))
    )
    settings = settings_for(tmp_path, serve=Serve(tokens=tokens))
    publish(settings, [run("r1", ago(1), org_id="acme"), run("r2", ago(1))])
    get = getter(settings, "10.0.0.8")
    path, known = f"{PREFIXES[0]}/summary", {"Authorization": "Bearer secret"}
    assert get(path).status_code == 401
    assert get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert get(path, headers={"Authorization": "Basic secret"}).status_code == 401
    assert get(path, headers={"Authorization": "Bearer logs"}).status_code == 403
    assert get(path, headers=known).json()["total_runs"] == 1
    assert get(path, headers=known, params={"org_id": "default"}).status_code == 403
    assert get(path, headers=known, params={"org_id": "acme"}).json()["total_runs"] == 1
    assert get("/healthz").status_code == 200


def test_the_page_shows_the_figures_and_where_to_go(settings: Settings, get: Get) -> None:
    publish(settings, [run(f"r{i}", ago(1)) for i in range(12)])
    for path in ("/", "/analytics"):
        answer = get(path)
        assert answer.headers["content-type"].startswith("text/html")
        assert "<td>12</td>" in answer.text
        assert f'href="{PREFIXES[0]}/insights/report"' in answer.text


def test_the_page_names_the_key_that_switched_it_off(tmp_path: Path) -> None:
    answer = getter(settings_for(tmp_path, serve=Serve(dashboard=False)))("/analytics")
    assert answer.status_code == 200
    assert "serve.dashboard" in answer.text


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServeError, match=f"cannot listen on 127.0.0.1:{port}"):
            serve(settings_for(tmp_path, serve=Serve(port=port)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    code = "from analytics_pipeline.settings import load_settings; from analytics_pipeline.serving.api import serve; "
    environment = os.environ | {"ANALYTICS_HOME": str(tmp_path), "ANALYTICS_SERVE__PORT": str(port)}
    process = subprocess.Popen([sys.executable, "-c", code + "serve(load_settings())"], env=environment)
    try:
        assert health(port) == b'{"status":"ok"}'
        process.send_signal(number)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def health(port: int) -> bytes:
    for _ in range(200):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
                return bytes(answer.read())
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server did not start")
