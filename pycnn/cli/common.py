"""What the commands share: options, loading, tables, JSON."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pycnn.models import find, names, variants
from pycnn.tables import printable

if TYPE_CHECKING:
    from pycnn.graph import Graph
    from pycnn.model import Model
    from pycnn.opset import Shape


def complete_name(incomplete: str) -> list[str]:
    """Names and ``name@source`` for the shell."""
    return [n for n in [*names(), *(v.id for v in variants())] if n.startswith(incomplete)]


NameOrFile = Annotated[
    str,
    typer.Argument(
        help="A network, a variant, or a file.", autocompletion=complete_name, metavar="NAME"
    ),
]
Name = Annotated[
    str,
    typer.Argument(
        help="A network or variant: see `pycnn list`.", autocompletion=complete_name, metavar="NAME"
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(help='A file of weights, "random", or what ships, is cached or is published.'),
]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads of a run.")]
Isa = Annotated[str | None, typer.Option(help="Instruction set; the machine's best by default.")]
Device = Annotated[str, typer.Option(help='"cpu", "cuda", "cuda:N" or "auto".')]
Dtype = Annotated[str, typer.Option(help='On a GPU: "float32", "tf32", "float16" or "bfloat16".')]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="A choice of the network, as in `info`."),
]
Layer = Annotated[str, typer.Argument(help="A layer's name, as `pycnn summary` prints it.")]
Size = Annotated[str | None, typer.Option(metavar="HxW", help="Another image size.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def parse_choices(name: str, options: Sequence[str] | None) -> dict[str, Any]:
    """KEY=VALUE pairs, each value of the type that the variant's choice has.

    Raises
    ------
    typer.BadParameter
        Not KEY=VALUE, or a key twice.
    """
    allowed = find(name).choices
    choices: dict[str, Any] = {}
    for option in options or ():
        key, equals, value = option.partition("=")
        if not equals:
            raise typer.BadParameter(f"'{option}' is not KEY=VALUE", param_hint="--option")
        if key in choices:
            raise typer.BadParameter(f"'{key}' is given twice", param_hint="--option")
        # Unknown keys and values go on as they are: the variant says what it has.
        typed = {str(v).lower(): v for v in allowed.get(key, ())}
        choices[key] = typed.get(value.lower(), value)
    return choices


def load_model(
    name: str,
    weights: str | None,
    options: Sequence[str] | None,
    *,
    threads: int | None = None,
    isa: str | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    random_if_none: bool = False,
) -> Model:
    """Load as the options say; where no weights are at hand, random ones if they will do."""
    from pycnn.hub import weights_status
    from pycnn.loading import load

    how: dict[str, Any] = {"threads": threads, "isa": isa, "device": device, "dtype": dtype}
    if is_file(name, options):
        return load(name, weights, check_input=False, **how)
    choices = parse_choices(name, options)
    # Only where there are none: weights that do not fit are an error, not a reason for others.
    at_hand = weights_status(find(name)) not in (None, "published")
    if weights is None and random_if_none and not at_hand:
        weights = "random"
    return load(name, weights, check_input=False, **how, **choices)


def graph_of(name: str, options: Sequence[str] | None) -> Graph:
    """The graph of a network, a variant or a file."""
    from pycnn.formats import holds_graph, open_graph
    from pycnn.loading import load

    if not is_file(name, options):
        return find(name).graph(**parse_choices(name, options))
    return open_graph(name)[0] if holds_graph(name) else load(name).graph


def inputs_of(graph: Graph, batch: int, size: str | None) -> dict[str, Shape]:
    """Shapes of a graph's inputs, for images of its own size or of "HxW"."""
    hw = parse_size(size) if size else None
    return {key: (batch, c, *(hw or (h, w))) for key, (c, h, w) in graph.inputs.items()}


def parse_size(text: str) -> tuple[int, int]:
    """Height and width from "HxW"."""
    height, x, width = text.lower().partition("x")
    if not (x and height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise typer.BadParameter(f"'{text}' is not HEIGHTxWIDTH, such as 224x224")
    return int(height), int(width)


def check_suffix(file: Path | None, suffix: str) -> None:
    """Refuse a name that says another kind of file than will be written."""
    if file is not None and file.suffix.lower() != suffix:
        raise typer.BadParameter(f"'{file}': what is written is {suffix}", param_hint="--out")


def is_file(name: str, options: Sequence[str] | None) -> bool:
    """Whether a file is meant, by the suffix; these leave nothing to choose."""
    from pycnn.formats import holds_graph, holds_weights

    is_file = holds_graph(name) or holds_weights(name)
    if is_file and options:
        raise typer.BadParameter(f"'{name}' is a file, which has none", param_hint="--option")
    return is_file


def print_json(value: Any) -> None:
    """Print one JSON document, in UTF-8 whatever the locale.

    Bytes of a file name that are no UTF-8 come as the escapes of their surrogates, from which
    ``json.loads`` and ``os.fsencode`` make the name again.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    print(json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2))


def print_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()
) -> None:
    """Print columns; those whose titles are in `right` are aligned to the right."""
    lines = [list(header), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    for line in lines:
        cells = [
            cell.rjust(width) if title in right else cell.ljust(width)
            for cell, width, title in zip(line, widths, header, strict=True)
        ]
        print("  ".join(cells).rstrip())
