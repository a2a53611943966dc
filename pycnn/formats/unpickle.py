"""Reads a pickle without running it: plain values, and calls to the few names that we know.

Python's own unpickler imports what a file names and calls it. This one is a stack machine of its
own over the opcodes that PyTorch's files use (of protocol 2 and later; none whose argument is
text). What a file names is looked up in a table and never imported, and what is not in the table
ends the reading.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import IO, Any, cast

__all__ = ["Inert", "UnpicklingError", "inert", "unpickle"]

# A ResNet-152 takes 30,000. This bounds memory and time, whatever the file's size.
MAX_STEPS = 2_000_000
LONGEST_LINE = 4096  # of those opcodes whose argument is a line of text

_MARK = object()


class UnpicklingError(ValueError):
    """The pickle is damaged, or names something that is not allowed."""


class Inert:
    """Stands for an object that is of no use here, such as the options of a training run."""


def inert(*_: object) -> Inert:
    """Make nothing of a call whose result is of no use."""
    return Inert()


class _File:
    """Bytes as a file: reading allocates what is there, whatever length is asked for."""

    def __init__(self, data: memoryview, position: int) -> None:
        self.data = data
        self.position = position

    def read(self, size: int) -> bytes:
        part = bytes(self.data[self.position : self.position + size])
        self.position += len(part)
        return part

    def readline(self) -> bytes:
        part = bytes(self.data[self.position : self.position + LONGEST_LINE])
        return self.read(part.find(b"\n") + 1 or len(part))

    def tell(self) -> int:
        return self.position


def unpickle(
    data: memoryview,
    allowed: Mapping[str, Callable[..., Any]],
    persistent: Callable[[object], Any],
    start: int = 0,
) -> tuple[Any, int]:
    """Read one pickle.

    Parameters
    ----------
    data, start
        Where it begins.
    allowed
        Dotted name -> what a call of it gives. It sees only what this module and `allowed` made.
    persistent
        What a persistent id stands for.

    Returns
    -------
    value, end
        What it holds, and where it ends.

    Raises
    ------
    UnpicklingError
        Saying at which byte.
    """
    machine = _Machine(allowed, persistent)
    file = _File(data, start)
    position = start
    try:
        while True:
            position = file.position
            machine.spend(1)
            name, argument = _next(file)
            if name == "STOP":
                return machine.stack.pop(), file.position
            _STEPS[name](machine, argument)
    except (
        *(ValueError, TypeError, LookupError, AttributeError),
        *(OverflowError, NotImplementedError),
    ) as error:
        raise UnpicklingError(f"byte {position}: {error or type(error).__name__}") from error


def _next(file: _File) -> tuple[str, Any]:
    """The name of an opcode and its argument, which is read only where the opcode is allowed."""
    code = file.read(1)
    if not code:
        raise UnpicklingError("no end")
    opcode = _OPCODES.get(code.decode("latin-1"))
    if opcode is None:
        raise UnpicklingError(f"the opcode {code!r} is not allowed")
    if opcode.name == "GLOBAL":  # without the escapes that pickletools would undo
        module, name = (file.readline().decode().removesuffix("\n") for _ in range(2))
        return opcode.name, f"{module}.{name}"
    # The readers ask for a file, and take all that reads like one.
    return opcode.name, opcode.arg.reader(cast(IO[bytes], file)) if opcode.arg else None


class _Global:
    """A name in the file, and what a call of it gives."""

    def __init__(self, name: str, call: Callable[..., Any]) -> None:
        self.name = name
        self.call = call


class _Machine:
    def __init__(
        self, allowed: Mapping[str, Callable[..., Any]], persistent: Callable[[object], Any]
    ) -> None:
        self.allowed = allowed
        self.persistent = persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.steps = 0

    def spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise UnpicklingError(f"more than {MAX_STEPS:,} steps")

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop_to_mark(self) -> list[Any]:
        for i in range(len(self.stack) - 1, -1, -1):
            if self.stack[i] is _MARK:
                items = self.stack[i + 1 :]
                del self.stack[i:]
                return items
        raise UnpicklingError("no mark")

    def find(self, name: str) -> None:
        if name not in self.allowed:
            raise UnpicklingError(f"it names {name[:200]!r}, which is no part of a tensor")
        self.push(_Global(name, self.allowed[name]))

    def stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.find(f"{module}.{name}")

    def reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Global) or not isinstance(arguments, tuple):
            raise UnpicklingError("a call of something that is no name")
        # A list from the memo can be given to any number of calls, each of which reads it through.
        self.spend(sum(len(value) for value in arguments if isinstance(value, (list, tuple, dict))))
        self.push(function.call(*arguments))

    def build(self) -> None:
        """Attributes of an object: nothing here has any that matter."""
        self.stack.pop()
        if not isinstance(self.stack[-1], (dict, Inert)):
            raise UnpicklingError(f"attributes for a {type(self.stack[-1]).__name__}")

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if len(items) % 2:
            raise UnpicklingError("a key without a value")
        if isinstance(target, Inert):
            return
        if not isinstance(target, dict):
            raise UnpicklingError(f"items for a {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # A hash of nested tuples can take forever; these cannot.
            if not isinstance(key, (str, int)):
                raise UnpicklingError(f"a key of type {type(key).__name__}")
            target[key] = value

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Inert):
            return
        if not isinstance(target, list):
            raise UnpicklingError(f"elements for a {type(target).__name__}")
        target.extend(items)

    def take(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise UnpicklingError("too few values")
        items = self.stack[-count:]
        del self.stack[-count:]
        return items


_Step = Callable[[_Machine, Any], object]


def _put(machine: _Machine, index: int) -> None:
    machine.memo[index] = machine.stack[-1]


def _literal(machine: _Machine, value: object) -> None:
    machine.push(value)


_STEPS: dict[str, _Step] = {
    "PROTO": lambda m, _: None,
    "FRAME": lambda m, _: None,
    "MARK": lambda m, _: m.push(_MARK),
    "POP": lambda m, _: m.stack.pop(),
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "TUPLE": lambda m, _: m.push(tuple(m.pop_to_mark())),
    "TUPLE1": lambda m, _: m.push(tuple(m.take(1))),
    "TUPLE2": lambda m, _: m.push(tuple(m.take(2))),
    "TUPLE3": lambda m, _: m.push(tuple(m.take(3))),
    "SETITEM": lambda m, _: m.set_items(m.take(2)),
    "SETITEMS": lambda m, _: m.set_items(m.pop_to_mark()),
    "APPEND": lambda m, _: m.append(m.take(1)),
    "APPENDS": lambda m, _: m.append(m.pop_to_mark()),
    "MEMOIZE": lambda m, _: _put(m, len(m.memo)),
    "GLOBAL": lambda m, name: m.find(name),
    "STACK_GLOBAL": lambda m, _: m.stack_global(),
    "REDUCE": lambda m, _: m.reduce(),
    "NEWOBJ": lambda m, _: m.reduce(),
    "BUILD": lambda m, _: m.build(),
    "BINPERSID": lambda m, _: m.push(m.persistent(m.stack.pop())),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda m, index: m.push(m.memo[index])),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"), _literal),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), _literal),
    # Strings of Python 2, and bytes inside of what is inert.
    **dict.fromkeys(("BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"), _literal),
}

# By the byte in the file.
_OPCODES = {op.code: op for op in pickletools.opcodes if op.name in (*_STEPS, "STOP")}
