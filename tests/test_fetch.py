"""Fetching weights from a server that behaves badly in every way."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pycnn
from pycnn import OfflineError, WeightsError, download, hub
from pycnn.models import Published, find, registry

DATA = np.random.default_rng(0).bytes(3_000_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves DATA; `faults` says what happens to the next requests, one after the other."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.data = DATA
        self.etag: str | None = '"one"'
        self.length = True
        self.ranges = True
        self.faults: list[str] = []
        self.stalled = threading.Event()  # set: stalling requests may end
        self.requests: list[str] = []  # the Range header of each, or the path

    def handle_error(self, *_: Any) -> None:
        """A client that went away is part of the tests."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/w.npz"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        server.requests.append(self.headers.get("Range") or self.path)
        fault = server.faults.pop(0) if server.faults else ""
        if fault.isdecimal():
            self.send_error(int(fault))
            return
        if fault.startswith("to "):
            self.send_response(302)
            self.send_header("Location", fault.removeprefix("to "))
            self.end_headers()
            return
        data, start = server.data, 0
        if server.ranges and "Range" in self.headers:
            assert self.headers["If-Range"] is not None
            if self.headers["If-Range"] == server.etag:
                start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        if start and fault != "ignore range":
            self.send_response(206)
            first = start + 1 if fault == "another part" else start
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        else:
            start = 0
            self.send_response(200)
        if server.etag:
            self.send_header("ETag", server.etag)
        if server.length:
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        rest = data[start:]
        if fault == "corrupt":
            rest = b"\xff" + rest[1:]
        if fault == "endless":
            rest = rest * 10
        self.wfile.write(rest[: 1_000_000 if fault in ("cut", "stall") else None])
        self.wfile.flush()
        if fault == "stall":
            self.server.stalled.wait(60)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "PAUSE_S", 0.01)
    monkeypatch.delenv("PYCNN_OFFLINE", raising=False)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.stalled.set()
        running.shutdown()
        thread.join()


def fetched(server: Server, path: Path, digest: str | None = f"sha256:{SHA256}") -> None:
    download.download(server.url, path, digest)
    assert path.read_bytes() == server.data
    names = {p.name for p in path.parent.iterdir()}
    assert names == {path.name, f"{path.name}.sha256", f"{path.name}.lock"}
    sha256 = hashlib.sha256(server.data).hexdigest()
    assert (path.parent / f"{path.name}.sha256").read_text() == f"{sha256}  {path.name}\n"


@pytest.mark.parametrize(
    "digest",
    [f"sha256:{SHA256}", f"sha256:{SHA256[:8]}", f"sha1:{hashlib.sha1(DATA).hexdigest()}", None],
    ids=["sha256", "eight digits", "sha1", "none stated"],
)
def test_a_good_server(server: Server, tmp_path: Path, digest: str | None) -> None:
    steps: list[tuple[int, int | None]] = []
    path = tmp_path / "new" / "w.npz"
    download.download(server.url, path, digest, lambda *step: steps.append(step))
    assert path.read_bytes() == DATA
    assert steps[-1] == (len(DATA), len(DATA))
    assert [a for a, _ in steps] == sorted(a for a, _ in steps)
    fetched(server, path, digest)  # it is there
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("faults", "requests"),
    [
        (["cut"], ["/w.npz", "bytes=1000000-"]),
        (["stall"], ["/w.npz", "bytes=1000000-"]),
        (["cut", "cut"], ["/w.npz", "bytes=1000000-", "bytes=2000000-"]),
        (["cut", "ignore range"], ["/w.npz", "bytes=1000000-"]),
        (["cut", "another part"], ["/w.npz", "bytes=1000000-", "bytes=1000000-"]),
        (["cut", "416"], ["/w.npz", "bytes=1000000-", "/w.npz"]),
        (["503", "429", "500"], ["/w.npz"] * 4),
        (["corrupt"], ["/w.npz"] * 2),
        (["cut", "corrupt"], ["/w.npz", "bytes=1000000-", "/w.npz"]),
    ],
    ids=str,
)
def test_faults_that_pass(
    faults: list[str],
    requests: list[str],
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "stall" in faults:
        monkeypatch.setattr(download, "TIMEOUT_S", 1.0)
    server.faults = faults
    fetched(server, tmp_path / "w.npz")
    assert server.requests == requests


def test_without_a_validator_nothing_is_resumed(server: Server, tmp_path: Path) -> None:
    server.etag = None
    server.faults = ["cut"]
    fetched(server, tmp_path / "w.npz")
    assert server.requests == ["/w.npz", "/w.npz"]


def test_a_file_that_changes_meanwhile_is_not_mixed(server: Server, tmp_path: Path) -> None:
    server.faults = ["cut", *["503"] * 5]
    with pytest.raises(WeightsError, match="503"):
        fetched(server, tmp_path / "w.npz", None)
    assert (tmp_path / "w.npz.part").stat().st_size == 1_000_000
    server.data, server.etag = DATA[::-1], '"two"'
    fetched(server, tmp_path / "w.npz", None)


def test_without_a_length(server: Server, tmp_path: Path) -> None:
    server.length = False
    fetched(server, tmp_path / "w.npz")
    with pytest.raises(WeightsError, match="neither its hash nor its length is known"):
        fetched(server, tmp_path / "other.npz", None)


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        (["404"], "the server answers 404"),
        (["403"], "the server answers 403"),
        (["503"] * 5, r"the server answers 503 .*5 times in a row"),
        (["416"] * 5, r"the server answers 416 .*5 times in a row"),
        (["corrupt", "corrupt"], r"the file that comes has sha256:[0-9a-f]{64}, expected sha256:"),
        (["to file:///etc/passwd"], "Redirection to url 'file:///etc/passwd' is not allowed"),
    ],
)
def test_faults_that_do_not(
    faults: list[str], message: str, server: Server, tmp_path: Path
) -> None:
    server.faults = faults
    with pytest.raises(WeightsError, match=message):
        fetched(server, tmp_path / "w.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["w.npz.lock"]


def test_redirects(server: Server, tmp_path: Path) -> None:
    server.faults = ["to /elsewhere", f"to {server.url}?x=1"]
    fetched(server, tmp_path / "w.npz")
    assert server.requests == ["/w.npz", "/elsewhere", "/w.npz?x=1"]
    handler = download._Redirects()
    request = download.urllib.request.Request("https://a.page/w")
    with pytest.raises(WeightsError, match="will not follow its redirect to http:"):
        handler.redirect_request(request, None, 302, "", {}, "http://a.page/w")


def test_a_server_that_never_ends(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", 4_000_000)
    server.length = False
    server.faults = ["endless"]
    with pytest.raises(WeightsError, match="more than 4,000,000 bytes"):
        fetched(server, tmp_path / "w.npz")


def test_a_server_that_always_breaks_off(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "ALL_ATTEMPTS", 2)
    server.faults = ["cut"] * 9
    with pytest.raises(WeightsError, match="broke off 2 times"):
        fetched(server, tmp_path / "w.npz")


def test_a_full_disk_is_not_the_networks_fault(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(download.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        fetched(server, tmp_path / "w.npz")
    assert server.requests == ["/w.npz"]


def test_no_server(server: Server, tmp_path: Path) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(OfflineError, match=r"cannot be reached .*5 times in a row"):
        download.download(server.url, tmp_path / "w.npz", None)


def test_the_first_download_is_pinned(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    fetched(server, path, None)
    path.unlink()
    server.data, server.etag = DATA[::-1], '"two"'
    with pytest.raises(WeightsError, match=f"expected sha256:{SHA256}"):
        fetched(server, path, None)


# Several processes, and killed ones --------------------------------------------------------------

FETCH = """
import sys
from pathlib import Path
from pycnn import download
url, path, digest = sys.argv[1:]
download.TIMEOUT_S = 30
print("ready", flush=True)
download.download(url, Path(path), digest)
"""


def process(server: Server, path: Path) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", FETCH, server.url, str(path), f"sha256:{SHA256}"]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def test_a_killed_download_is_resumed(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    server.faults = ["stall"]
    with process(server, path) as running:
        part = tmp_path / "w.npz.part"
        until = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size == 1_000_000):
            assert time.monotonic() < until
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
    assert not path.exists()
    fetched(server, path)
    assert server.requests == ["/w.npz", "bytes=1000000-"]


def test_processes_wait_for_one_another(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    running = [process(server, path) for _ in range(3)]
    for one in running:
        one.communicate(timeout=120)
        assert one.returncode == 0
    assert server.requests == ["/w.npz"]
    fetched(server, path)


# By the name of a variant ------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYCNN_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def published(
    server: Server, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> pycnn.Model:
    """ResNet-20 with random weights, which the server publishes; gives the model of them."""
    model = pycnn.load("resnet20", weights="random", seed=4)
    np.savez(tmp_path / "w.npz", **{n: model._weights.get(n) for n in model.graph.parameters})
    server.data = (tmp_path / "w.npz").read_bytes()
    digest = "sha256:" + hashlib.sha256(server.data).hexdigest()[:8]
    variant = replace(
        find("resnet20@akamaster"),
        published=Published("https://a.page", server.url, "w.npz", digest),
    )
    monkeypatch.setitem(registry._by_id, variant.id, variant)
    return model


def test_load_fetches_at_first_use(published: pycnn.Model, server: Server, home: Path) -> None:
    variant = find("resnet20@akamaster")
    assert hub.weights_status(variant) == "published"
    x = np.ones((1, 3, 32, 32), np.float32)
    for _ in range(2):
        model = pycnn.load("resnet20@akamaster")
        np.testing.assert_array_equal(model.run(x), published.run(x))
        assert model.recognised_by == "hash"
    assert server.requests == ["/w.npz"]
    assert hub.weights_status(variant) == "verified"
    (home / "resnet20@akamaster.npz.sha256").unlink()
    assert hub.weights_status(variant) == "cached"


def test_a_bar_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for is_terminal in (True, False):
        stream = io.StringIO()
        monkeypatch.setattr(stream, "isatty", lambda answer=is_terminal: answer, raising=False)
        monkeypatch.setattr(sys, "stderr", stream)
        with hub._bar("w.npz") as progress:
            if progress is not None:
                progress(500, 1000)
        assert ("w.npz" in stream.getvalue()) == is_terminal


def test_nothing_is_fetched_to_measure_speed(
    published: pycnn.Model, server: Server, home: Path
) -> None:
    from pycnn.cli.common import load_model

    model = load_model("resnet20@akamaster", None, None, random_if_none=True)
    assert model.weights_origin == "random, seed 0"
    assert server.requests == []


def test_a_mirror(
    published: pycnn.Model, server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYCNN_MIRROR", server.url.replace("w.npz", "mirror/"))
    pycnn.load("resnet20@akamaster")
    assert server.requests == ["/mirror/resnet20@akamaster.npz"]
    monkeypatch.setenv("PYCNN_MIRROR", "file:///tmp")
    (home / "resnet20@akamaster.npz").unlink()
    with pytest.raises(WeightsError, match="PYCNN_MIRROR must be a http or https URL"):
        pycnn.load("resnet20@akamaster")


@pytest.mark.parametrize("how", ["PYCNN_OFFLINE", "no server", "404"])
def test_errors_say_what_to_do(
    how: str, published: pycnn.Model, server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "PYCNN_OFFLINE":
        monkeypatch.setenv("PYCNN_OFFLINE", "1")
    elif how == "no server":
        server.shutdown()
        server.server_close()
    else:
        server.faults = ["404"]
    with pytest.raises(WeightsError if how == "404" else OfflineError) as error:
        pycnn.load("resnet20@akamaster")
    for part in ("w.npz", "https://a.page", server.url, f"{home}/resnet20@akamaster.npz"):
        assert part in str(error.value)


def test_weights_that_cannot_be_fetched(home: Path) -> None:
    with pytest.raises(WeightsError, match=r"ResNet-50-model.caffemodel.*must be put by hand"):
        pycnn.load("resnet50@msra")
    with pytest.raises(WeightsError, match=r'nobody published any.*"random"'):
        pycnn.load("plain32")


def test_the_command(published: pycnn.Model, server: Server, home: Path, tmp_path: Path) -> None:
    """`--all` with the real addresses is for people with a network; the names are the same."""
    code = (
        "from pycnn.models import registry, Published, find; from dataclasses import replace\n"
        "import sys, pycnn.cli\n"
        f"new = Published('https://a.page', {server.url!r}, 'w.npz')\n"
        "one = replace(find('resnet20@akamaster'), published=new)\n"
        "two = replace(find('resnet50@msra'))\n"
        "registry._by_id.clear(); registry._by_id.update({one.id: one, two.id: two})\n"
        "pycnn.cli.main()"
    )

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
        )

    done = command("fetch", "resnet20@akamaster")
    assert done.returncode == 0, done.stderr
    assert str(home / "resnet20@akamaster.npz") in done.stdout
    done = command("fetch", "--all", str(tmp_path / "all"), "--json")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "all" / "resnet20@akamaster.npz").read_bytes() == server.data
    assert server.requests == ["/w.npz"] * 2
    done = command("fetch", "resnet50@msra", "resnet20@akamaster")
    assert done.returncode == 1
    assert "must be put by hand" in done.stderr
    assert "resnet20@akamaster" in done.stdout
    assert command("fetch").returncode == 2
    assert os.environ.get("PYCNN_OFFLINE") is None
