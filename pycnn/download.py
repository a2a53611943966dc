"""A file from the web that arrives whole or not at all: resumed, retried, locked, verified."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pycnn._core import __version__
from pycnn.errors import OfflineError, WeightsError

__all__ = ["Progress", "download"]

#: Called with the bytes that are here, and with all there are where the server says so.
Progress = Callable[[int, int | None], None]

TIMEOUT_S = 30.0  # without a byte
ATTEMPTS = 5  # in a row that bring nothing
ALL_ATTEMPTS = 100
PAUSE_S = 1.0  # before the second attempt; doubled before each further one
MAX_BYTES = 4 << 30  # no published weights come near; a server that never ends does
_CHUNK_BYTES = 1 << 20
_PASSING = (408, 425, 429, 500, 502, 503, 504)  # HTTP states that may be others a moment later


class _TryAgain(Exception):
    """An attempt failed in a way that the next one may not; `reached`: a server answered."""

    def __init__(self, reason: str, reached: bool) -> None:
        super().__init__(reason)
        self.reached = reached


def download(url: str, path: Path, digest: str | None, progress: Progress | None = None) -> None:
    """Fetch a file to `path`, unless it is there.

    Beside it lies ``<path>.sha256``, as sha256sum writes it; while it is fetched ``<path>.part``,
    which a later process resumes, and ``<path>.lock``, which one process at a time holds.

    Parameters
    ----------
    url : str
        http or https. Redirects are followed, but not from https to http.
    path : path
    digest : str or None
        As in `Published.digest`. None: the file must have the hash in ``<path>.sha256``, where an
        earlier download left one.
    progress : callable, optional

    Raises
    ------
    OfflineError
        No server can be reached.
    WeightsError
        It does not give the file, or one with another hash, which is not kept.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _beside(path, ".part")
    with _locked(_beside(path, ".lock")):
        if path.exists():  # another process was faster
            return
        pinned = _pinned(path)
        expected = digest or (f"sha256:{pinned}" if pinned else None)
        if not _arrives(url, part, expected, progress):
            # Of a broken part, or a broken transfer: once more, from the beginning.
            _discard(part)
            if not _arrives(url, part, expected, progress):
                found = _digest(part, expected or "sha256:")
                _discard(part)
                raise WeightsError(
                    f"{url}: the file that comes has {found}, expected {expected}; it is not kept"
                )
        _beside(path, ".sha256").write_text(
            f"{_digest(part, 'sha256:').partition(':')[2]}  {path.name}\n"
        )
        os.replace(part, path)
        _discard(part)


def _pinned(path: Path) -> str | None:
    """The hash that was noted when a file was fetched."""
    try:
        text = _beside(path, ".sha256").read_text()
    except (OSError, UnicodeDecodeError):
        return None
    match = re.match(r"[0-9a-f]{64}\b", text)
    return match[0] if match else None


def _arrives(url: str, part: Path, expected: str | None, progress: Progress | None) -> bool:
    """Fetch all of `part`, and say whether it has the digest."""
    failures = 0
    for _ in range(ALL_ATTEMPTS):
        before = _size(part)
        try:
            _attempt(url, part, expected is not None, progress)
            return expected is None or _digest(part, expected).startswith(expected)
        except _TryAgain as error:
            failures = 1 if _size(part) > before else failures + 1
            if failures == ATTEMPTS:
                kind = WeightsError if error.reached else OfflineError
                raise kind(f"{url}: {error}, {ATTEMPTS} times in a row") from None
        time.sleep(PAUSE_S * 2 ** (failures - 1))
    raise WeightsError(f"{url}: broke off {ALL_ATTEMPTS} times")


def _attempt(url: str, part: Path, has_digest: bool, progress: Progress | None) -> None:
    """One request, for what is missing of `part`; returns when all of it is there."""
    offset = _size(part)
    validator = _read(_beside(part, ".etag")).strip()
    headers = {"User-Agent": f"pycnn/{__version__}", "Accept-Encoding": "identity"}
    if offset and validator:
        headers |= {"Range": f"bytes={offset}-", "If-Range": validator}
    with _open(url, headers, part) as response:
        offset = _resumed_at(response, offset)
        length = response.headers.get("Content-Length", "")
        total = offset + int(length) if length.isdecimal() else None
        if total is None and not has_digest:
            raise WeightsError(f"{url}: neither its hash nor its length is known")
        if offset == 0:
            _discard(part)
            _beside(part, ".etag").write_text(_validator(response))
        _store(response, part, offset, total, progress)


def _open(url: str, headers: dict[str, str], part: Path) -> Any:
    request = urllib.request.Request(url, headers=headers)
    try:
        return urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # the part is longer than the file
            _discard(part)
        if error.code == 416 or error.code in _PASSING:
            raise _TryAgain(f"the server answers {error.code} {error.reason}", True) from None
        raise WeightsError(f"{url}: the server answers {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise _TryAgain(f"cannot be reached ({error.reason})", False) from None
    except (http.client.HTTPException, OSError) as error:  # OSError: a timeout, a reset
        raise _broken_off(error) from None


def _store(
    response: Any, part: Path, offset: int, total: int | None, progress: Progress | None
) -> None:
    done = offset
    with open(part, "r+b" if offset else "wb") as file:
        file.seek(offset)
        file.truncate()
        while chunk := _chunk(response):
            done += len(chunk)
            if done > MAX_BYTES:
                raise WeightsError(f"{response.url}: more than {MAX_BYTES:,} bytes")
            file.write(chunk)
            if progress is not None:
                progress(done, total)
        file.flush()
        os.fsync(file.fileno())
    if total is not None and done < total:
        raise _TryAgain(f"the transfer ended after {done:,} of {total:,} bytes", True)


def _chunk(response: Any) -> bytes:
    """The next bytes. Errors of the network end here: those of the disk are not worth a retry."""
    try:
        chunk: bytes = response.read1(_CHUNK_BYTES)
        return chunk
    except (http.client.HTTPException, OSError) as error:
        raise _broken_off(error) from None


def _broken_off(error: Exception) -> _TryAgain:
    return _TryAgain(f"the transfer broke off ({str(error) or type(error).__name__})", True)


def _resumed_at(response: Any, offset: int) -> int:
    """Where what the server sends begins: 0, unless it sends the rest as asked."""
    if response.status != 206:
        return 0
    if not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
        raise _TryAgain("the server sends another part than it was asked for", True)
    return offset


def _validator(response: Any) -> str:
    """What tells this version of the file from others; empty where nothing does."""
    etag: str = response.headers.get("ETag", "")
    changed: str = response.headers.get("Last-Modified", "")
    return etag if etag and not etag.startswith("W/") else changed


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, hdrs: Any, url: str) -> Any:
        """Follow, but nowhere less safe."""
        allowed = ("https",) if urlsplit(req.full_url).scheme == "https" else ("http", "https")
        if urlsplit(url).scheme not in allowed:
            raise WeightsError(f"{req.full_url}: will not follow its redirect to {url}")
        return super().redirect_request(req, fp, code, msg, hdrs, url)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process, however that ends."""
    with open(path, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _digest(path: Path, expected: str) -> str:
    """The digest of a file by the algorithm of another one."""
    algorithm = expected.partition(":")[0]
    with open(path, "rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _beside(part, ".etag").unlink(missing_ok=True)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _read(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text()
    return ""
