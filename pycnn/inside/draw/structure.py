"""The order of a figure: what follows what, what stands side by side, what repeats itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pycnn.inside.draw.cells import INPUT, Cell

__all__ = ["Element", "Head", "Parallel", "Repeat", "Tangle", "arranged", "count", "folded"]

_LONGEST_PERIOD = 4  # elements that repeat together


@dataclass(frozen=True)
class Parallel:
    """Branches from one value to the box that joins them; an empty branch is a plain line."""

    branches: tuple[tuple[Element, ...], ...]
    join: Cell


@dataclass(frozen=True)
class Tangle:
    """Boxes between two points of a network that are no branches side by side."""

    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Repeat:
    """The same again and again; `last` is the name of the last of them."""

    elements: tuple[Element, ...]
    times: int
    last: str


@dataclass(frozen=True)
class Head:
    """A further output's layers, beside the way to the main output."""

    elements: tuple[Element, ...]
    output: str


Element = Cell | Parallel | Tangle | Repeat | Head


def arranged(cells: Sequence[Cell], outputs: dict[str, str]) -> tuple[Element, ...]:
    """Arrange boxes, which are in an order in which they can be computed.

    Where the way to the main output is cut by single values, there one element ends and the next
    begins; what lies between two cuts is a Parallel if it falls apart into branches, else a Tangle.
    """
    main, *others = outputs.items()
    by_name = {cell.name: cell for cell in cells}
    trunk = _needed(by_name, main[1])
    elements = list(_series([cell for cell in cells if cell.name in trunk], None))
    done = set(trunk)
    for public, name in others:
        mine = _needed(by_name, name) - done
        done |= mine
        own = [cell for cell in cells if cell.name in mine]
        reads = {source for cell in own for source in cell.inputs} - mine
        places = [i for i, element in enumerate(elements) if reads == {_end(element)}]
        if not own or not places:
            return (Tangle(tuple(cells)),)
        elements.insert(places[0] + 1, Head(_series(own, next(iter(reads))), public))
    return tuple(elements)


def _needed(by_name: dict[str, Cell], name: str) -> set[str]:
    found: set[str] = set()
    todo = [name]
    while todo:
        if (name := todo.pop()) not in found:
            found.add(name)
            todo += by_name[name].inputs
    return found


def _end(element: Element) -> str:
    """Name of the value that leaves an element of the trunk."""
    if isinstance(element, Parallel):
        return element.join.name
    if isinstance(element, Tangle):
        return element.cells[-1].name
    return element.name if isinstance(element, Cell) else ""


def _series(cells: Sequence[Cell], source: str | None) -> tuple[Element, ...]:
    """Elements of the boxes that lead from a value to the last box."""
    last_use = {name: i for i, cell in enumerate(cells) for name in cell.inputs}
    last_input = max((i for i, cell in enumerate(cells) if cell.op == INPUT), default=-1)
    elements: list[Element] = []
    region: list[Cell] = []
    for i, cell in enumerate(cells):
        seen = [source, *(other.name for other in region)]
        region.append(cell)
        if i >= last_input and all(last_use.get(name or "", -1) <= i for name in seen):
            elements.append(_element(region, source))
            region, source = [], cell.name
    return tuple(elements)


def _element(region: Sequence[Cell], source: str | None) -> Element:
    *inner, join = region
    if not inner:
        return join
    groups = _components(inner)
    branches: list[tuple[Element, ...]] = []
    for name in join.inputs:
        group = [cell for cell in inner if groups.get(name) == groups[cell.name]]
        if name != source and group[-1].name != name:
            return Tangle(tuple(region))  # the join reads a branch in two places
        branches.append(_series(group, source) if group else ())
    apart = len(branches) > 1 and sum(map(count, branches)) == len(inner)
    return Parallel(tuple(branches), join) if apart else Tangle(tuple(region))


def _components(cells: Sequence[Cell]) -> dict[str, str]:
    """Name -> a name that stands for all that hang together."""
    group = {cell.name: cell.name for cell in cells}
    for cell in cells:
        for name in cell.inputs:
            if name in group and group[name] != group[cell.name]:
                old, new = group[name], group[cell.name]
                group = {key: new if value == old else value for key, value in group.items()}
    return group


def count(elements: Sequence[Element]) -> int:
    """How many boxes elements have, each of a Repeat once."""
    total = 0
    for element in elements:
        if isinstance(element, Cell):
            total += 1
        elif isinstance(element, Parallel):
            total += 1 + sum(map(count, element.branches))
        else:
            total += len(element.cells) if isinstance(element, Tangle) else count(element.elements)
    return total


def folded(elements: Sequence[Element]) -> tuple[Element, ...]:
    """Write runs of elements that look the same once, with how often they come."""
    found: list[Element] = []
    keys = [_signature(element) for element in elements]
    i = 0
    while i < len(elements):
        period, times = max(
            ((p, _times(keys, i, p)) for p in range(1, _LONGEST_PERIOD + 1)),
            key=lambda run: (run[0] * run[1] if run[1] > 1 else 0, -run[0]),
        )
        if times > 1:
            end = i + period * times
            last = _end(elements[end - 1])
            found.append(Repeat(tuple(elements[i : i + period]), times, last))
            i = end
        else:
            found.append(elements[i])
            i += 1
    return tuple(found)


def _times(keys: Sequence[object], start: int, period: int) -> int:
    one, times = keys[start : start + period], 1
    while keys[start + times * period : start + (times + 1) * period] == one:
        times += 1
    return times


def _signature(element: Element) -> object:
    if isinstance(element, Cell):
        return element.signature
    if isinstance(element, Parallel):
        branches = tuple(tuple(map(_signature, branch)) for branch in element.branches)
        return (branches, element.join.signature)
    return id(element)  # equal to nothing else
