"""``pycnn doctor``."""

from __future__ import annotations

import mmap
import platform
from pathlib import Path
from typing import Any

from pycnn.cli.common import Json, print_json, print_table


def doctor(as_json: Json = False) -> None:
    """Say what pycnn finds on this machine: CPU, GPU, folders, and what is missing."""
    from pycnn import __version__, active_isa, available_isas
    from pycnn._core import default_num_threads
    from pycnn.cuda.device import missing, support, version
    from pycnn.hub import cache_folder

    found = support()
    gpus: list[dict[str, Any]] = [
        {
            "device": f"cuda:{index}",
            "name": gpu.name,
            "compute_capability": f"{gpu.major}.{gpu.minor}",
            "memory_bytes": gpu.memory_bytes,
            "missing": missing(found, index),
        }
        for index, gpu in enumerate(found.gpus)
    ]
    about: dict[str, Any] = {
        "pycnn": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "isa": active_isa(),
        "available_isas": available_isas(),
        "threads": default_num_threads(),
        "page_bytes": mmap.PAGESIZE,
        "huge_pages": _huge_pages(),
        "home": str(cache_folder()),
        "cuda": {
            "built": found.built,
            "architectures": found.architectures or None,
            "runtime": version(found.runtime) if found.runtime else None,
            "driver": version(found.driver) if found.driver else None,
            "missing": missing(found),
            "gpus": gpus,
        },
    }
    if as_json:
        print_json(about)
        return
    cuda = about["cuda"]
    lines = {
        "Python": f"{about['python']}, {about['machine']}",
        "instruction set": f"{about['isa']} of {', '.join(about['available_isas'])}",
        "threads": str(about["threads"]),
        "huge pages": about["huge_pages"] or "not offered by this system",
        "weights in": about["home"],
        "CUDA runtime": f"{cuda['runtime']}, for {cuda['architectures']}" if found.built else "-",
        "CUDA driver": cuda["driver"] or "-",
    }
    for gpu in gpus:
        memory = f"{gpu['memory_bytes'] / 2**30:.1f} GiB"
        usable = f"no: {gpu['missing']}" if gpu["missing"] else "usable"
        lines[gpu["device"]] = (
            f"{gpu['name']}, compute capability {gpu['compute_capability']}, {memory}, {usable}"
        )
    if cuda["missing"]:
        lines["no GPU"] = cuda["missing"]
    print_table((f"pycnn {__version__}", ""), lines.items())


def _huge_pages() -> str | None:
    """The system's word on transparent huge pages, which weights lie on where there are any."""
    try:
        text = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text(encoding="ascii")
    except OSError:
        return None
    return text.partition("[")[2].partition("]")[0]
