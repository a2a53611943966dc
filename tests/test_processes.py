"""Threads and processes: many callers, forks, spawned workers, a preloading server, limits."""

from __future__ import annotations

import concurrent.futures
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import pycnn

ROOT = Path(__file__).resolve().parents[1]


def batch(n: int = 4) -> Any:
    return np.random.default_rng(0).standard_normal((n, 3, 32, 32), np.float32)


def model(threads: int = 2) -> pycnn.Model:
    return pycnn.load("resnet20", weights="random", threads=threads)


def test_eight_threads_on_one_model() -> None:
    shared, x = model(), batch(8)
    expected = {n: shared.run(x[:n]) for n in range(1, 9)}
    fresh = model()  # compiles and packs while others run
    start = threading.Barrier(8)

    def work(seed: int) -> bool:
        order = np.random.default_rng(seed).integers(1, 9, 25)
        start.wait()
        return all(np.array_equal(fresh.run(x[:n]), expected[n]) for n in order)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def _run_in_child(shared: pycnn.Model, x: Any, results: Any) -> None:
    results.put(shared.run(x))


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_fork_after_use() -> None:
    shared, x = model(), batch()
    expected = shared.run(x)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    children = [context.Process(target=_run_in_child, args=(shared, x, results)) for _ in range(3)]
    for child in children:
        child.start()
    for _ in children:
        np.testing.assert_array_equal(results.get(timeout=60), expected)
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    np.testing.assert_array_equal(shared.run(x), expected)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_fork_before_the_first_run(suffix: str, tmp_path: Path) -> None:
    """The children read the weights: they must share neither position nor lock of the file."""
    source, x, path = model(), batch(), tmp_path / f"weights{suffix}"
    arrays = {name: source._weights.get(name) for name in source.graph.parameters}
    if suffix == ".npz":
        np.savez(path, **arrays)
    else:
        save_file(arrays, path)
    loaded = pycnn.load("resnet20", weights=path)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    children = [
        context.Process(target=_run_in_child, args=(loaded, x, results), daemon=True)
        for _ in range(4)
    ]
    for child in children:
        child.start()
    for _ in children:
        np.testing.assert_array_equal(results.get(timeout=60), source.run(x))


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_fork_while_other_threads_run() -> None:
    shared, x = model(), batch()
    expected, stop = shared.run(x), threading.Event()

    def hammer() -> None:
        while not stop.is_set():
            shared.run(x)

    workers = [threading.Thread(target=hammer) for _ in range(3)]
    for worker in workers:
        worker.start()
    try:
        context = multiprocessing.get_context("fork")
        for _ in range(30):
            results = context.Queue()
            child = context.Process(target=_run_in_child, args=(shared, x, results), daemon=True)
            child.start()
            np.testing.assert_array_equal(results.get(timeout=60), expected)
            child.join(60)
            assert child.exitcode == 0
    finally:
        stop.set()
        for worker in workers:
            worker.join()


def test_spawned_processes_get_the_model_by_pickle() -> None:
    shared, x = model(), batch()
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        found = list(pool.map(shared.run, [x, x]))
    for result in found:
        np.testing.assert_array_equal(result, shared.run(x))


APP = """
import json, os
import numpy as np
import pycnn

model = pycnn.load("lenet5")
image = np.ones((1, 1, 32, 32), np.float32)
before_the_fork = model.run(image)

def app(environ, start_response):
    same = bool((model.run(image) == before_the_fork).all())
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"same": same, "pid": os.getpid()}).encode()]
"""


def test_under_gunicorn_with_preload(tmp_path: Path) -> None:
    (tmp_path / "wsgi.py").write_text(APP)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "2",
               "--bind", f"127.0.0.1:{port}", "wsgi:app"]  # fmt: skip
    server = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        answers: list[dict[str, Any]] = []
        deadline = time.monotonic() + 60
        while len(answers) < 20 and time.monotonic() < deadline:
            assert server.poll() is None, server.stderr.read() if server.stderr else ""
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
                    answers.append(json.load(answer))
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        assert len(answers) == 20
        assert all(answer["same"] for answer in answers)
        assert server.pid not in {answer["pid"] for answer in answers}
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=30)


# How many threads --------------------------------------------------------------------------------


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
        check=False,
    )


THREADS = "from pycnn import _core; print(_core.default_num_threads())"


def test_the_default_is_the_affinity() -> None:
    usable = len(os.sched_getaffinity(0))
    assert 1 <= int(python(THREADS).stdout) <= usable
    pinned = python(
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n" + THREADS
    )
    assert pinned.stdout == "1\n"


def test_the_environment_decides() -> None:
    assert python(THREADS, PYCNN_NUM_THREADS="7").stdout == "7\n"
    for wrong in ("0", "-1", "many", "1025", "2.5"):
        failed = python(THREADS, PYCNN_NUM_THREADS=wrong)
        assert failed.returncode == 1
        assert "PYCNN_NUM_THREADS" in failed.stderr


def test_the_instruction_set_is_forced_by_the_environment() -> None:
    for isa in pycnn.available_isas():
        shown = python("import pycnn; print(pycnn.active_isa())", PYCNN_CPU_ISA=isa)
        assert shown.stdout == isa + "\n"
    failed = python("import pycnn; pycnn.load('lenet5').run(0)", PYCNN_CPU_ISA="sse9")
    assert failed.returncode == 1
    code = "import pycnn, numpy as n; pycnn.load('lenet5').run(n.zeros((1, 1, 32, 32), 'f'))"
    failed = python(code, PYCNN_CPU_ISA="sse9")
    assert "DeviceError" in failed.stderr
    assert "sse9" in failed.stderr


def test_importing_starts_no_thread_and_prints_nothing() -> None:
    done = python("import pycnn, os; print(len(os.listdir('/proc/self/task')), end='')",
                  OPENBLAS_NUM_THREADS="1")  # fmt: skip
    assert (done.stdout, done.stderr) == ("1", "")


def test_importing_loads_little() -> None:
    heavy = ["PIL", "typer", "rich", "safetensors", "torch"]
    done = python(f"import pycnn, sys; print([m for m in {heavy} if m in sys.modules])")
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", ["inside", "ops", "transfer"])
def test_what_few_need_is_imported_when_it_is_used(name: str) -> None:
    done = python(f"import pycnn, sys; before = 'pycnn.{name}' in sys.modules; "
                  f"print(before, pycnn.{name}.__name__, hasattr(pycnn, 'transfr'))")  # fmt: skip
    assert done.stdout == f"False pycnn.{name} False\n"
