"""Reads a pickle without running it: plain values, and calls to the few names that we know.

Python's own unpickler imports what a file names and calls it. This one is a stack machine of its
own over the opcodes that PyTorch's files use; what a file names is looked up in a table and never
imported, and anything that is not in the table ends the reading.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import IO, Any

__all__ = ["Inert", "UnpicklingError", "inert", "unpickle"]

# A ResNet-152 takes 30,000 opcodes. This bounds memory and time, whatever the file's size.
MAX_OPCODES = 2_000_000

_MARK = object()


class UnpicklingError(ValueError):
    """The pickle is damaged, or names something that is not allowed."""


class Inert:
    """Stands for an object that is of no use here, such as the options of a training run."""


def inert(*_: object) -> Inert:
    """Make nothing of a call whose result is of no use."""
    return Inert()


def unpickle(
    file: IO[bytes],
    allowed: Mapping[str, Callable[..., Any]],
    persistent: Callable[[object], Any],
) -> Any:
    """Read one pickle from where the file stands.

    Parameters
    ----------
    file
        Stands behind the pickle afterwards.
    allowed
        Dotted name -> what a call of it gives. It sees only what this module and `allowed` made.
    persistent
        What a persistent id stands for.

    Raises
    ------
    UnpicklingError
        Saying at which byte.
    """
    machine = _Machine(allowed, persistent)
    at = ""
    try:
        for count, (opcode, argument, position) in enumerate(pickletools.genops(file)):
            at = f"after byte {position}: "
            if count == MAX_OPCODES:
                raise UnpicklingError(f"more than {MAX_OPCODES:,} steps")
            if opcode.name == "STOP":
                return machine.stack.pop()
            step = _STEPS.get(opcode.name)
            if step is None:
                raise UnpicklingError(f"the opcode {opcode.name} is not allowed")
            step(machine, argument)
    except (
        *(ValueError, TypeError, LookupError, AttributeError),
        *(OverflowError, NotImplementedError),
    ) as error:
        raise UnpicklingError(f"{at}{error or type(error).__name__}") from error
    raise UnpicklingError("no end")


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
    "GLOBAL": lambda m, name: m.find(name.replace(" ", ".", 1)),
    "STACK_GLOBAL": lambda m, _: m.stack_global(),
    "REDUCE": lambda m, _: m.reduce(),
    "NEWOBJ": lambda m, _: m.reduce(),
    "BUILD": lambda m, _: m.build(),
    "BINPERSID": lambda m, _: m.push(m.persistent(m.stack.pop())),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _put),
    **dict.fromkeys(
        ("GET", "BINGET", "LONG_BINGET"), lambda m, index: m.push(m.memo[index])
    ),
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"), _literal),
    **dict.fromkeys(("FLOAT", "BINFLOAT"), _literal),
    **dict.fromkeys(("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), _literal),
    # Strings of Python 2, and bytes inside of what is inert.
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), _literal),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES"), _literal),
}  # fmt: skip
