"""Check that `import pycnn` costs little beside `import numpy`: at most 80 ms.

Run it with the Python that has pycnn installed. Each measurement is a process of its own; the
smallest decides, since whatever else the machine does can only add to it.
"""

import statistics
import subprocess
import sys

LIMIT_MS = 80.0
RUNS = 9
PROGRAM = """
import time
import numpy
start = time.perf_counter()
import pycnn
print((time.perf_counter() - start) * 1e3)
"""


def import_ms() -> float:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, stdout=subprocess.PIPE, text=True
    )
    return float(result.stdout)


def main() -> int:
    import_ms()  # the first one reads from the disk and writes bytecode
    times = [import_ms() for _ in range(RUNS)]
    text = (
        f"import pycnn after numpy: {min(times):.1f} ms at best, "
        f"{statistics.median(times):.1f} ms median of {RUNS}; limit {LIMIT_MS:.0f} ms"
    )
    if min(times) > LIMIT_MS:
        print(f"{text}: exceeded. `python -X importtime -c 'import pycnn'` tells which module.")
        return 1
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
