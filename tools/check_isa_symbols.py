"""Check that no object compiled for AVX2 or AVX-512 offers the linker a function to share.

An inline function or a template of a header that is not inlined becomes a weak symbol in each
object that uses it, and the linker keeps any one of them. If it keeps the copy that was compiled
for AVX-512, the baseline path dies of an illegal instruction on a machine without. So whatever such
an object exports must lie in its own namespace, pycnn::cpu::<isa>.

    python tools/check_isa_symbols.py [BUILD_DIR ...]     default: build/*-linux_x86_64
"""

import re
import subprocess
import sys
from pathlib import Path

ISAS = ("avx2", "avx512")
ROOT = Path(__file__).resolve().parent.parent
# Mangled; with what may stand before a nested name: the local of a function (ZN), its guard (GVZ),
# type information and vtables (TI, TS, TV), constness (K).
OWN_NAMESPACE = r"_Z(?:GV)?(?:T[ISV])?Z?NK?5pycnn3cpu{length}{isa}"
# A pointer to the C++ runtime's exception handler: data, the same for every instruction set.
HARMLESS = re.compile(r"DW\.ref\.__gxx_personality_v0")


def default_build_dirs() -> list[Path]:
    return sorted(ROOT.glob("build/*-linux_x86_64"))


def kernel_objects(build_dir: Path, isa: str) -> list[Path]:
    return sorted(build_dir.glob(f"CMakeFiles/pycnn_kernels_{isa}.dir/**/*.o"))


def shared_symbols(objects: list[Path], isa: str) -> list[str]:
    """List what `objects` define for the linker outside of pycnn::cpu::<isa>, one line each."""
    own = re.compile(OWN_NAMESPACE.format(length=len(isa), isa=isa))
    command = ["nm", "--defined-only", "--extern-only", "--print-file-name", *map(str, objects)]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = []
    for line in found.splitlines():
        path, _, rest = line.rpartition(":")
        _, kind, symbol = rest.split()
        if not own.match(symbol) and not HARMLESS.fullmatch(symbol):
            lines.append(f"{Path(path).name}: {kind} {symbol}")
    return lines


def main(arguments: list[str]) -> int:
    build_dirs = [Path(a) for a in arguments] or default_build_dirs()
    checked, errors = 0, []
    for build_dir in build_dirs:
        for isa in ISAS:
            objects = kernel_objects(build_dir, isa)
            checked += len(objects)
            if objects:
                errors += [f"{build_dir}: {isa}: {line}" for line in shared_symbols(objects, isa)]
    if errors:
        text = "\n".join(errors)
        readable = subprocess.run(["c++filt"], input=text, capture_output=True, text=True).stdout
        print(readable or text, file=sys.stderr)
        print(
            f"{len(errors)} symbols that the linker could take for another instruction set: make "
            "them static, or PYCNN_INLINE in namespace pycnn::cpu::PYCNN_ISA",
            file=sys.stderr,
        )
        return 1
    if not checked:
        print("found no object files of AVX kernels: run make core", file=sys.stderr)
        return 2
    print(f"{checked} object files of {' and '.join(ISAS)}: nothing shared")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
