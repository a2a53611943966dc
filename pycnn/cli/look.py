"""``pycnn look``: pictures of what is inside a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pycnn.cli.common import (
    Json,
    Layer,
    NameOrFile,
    Options,
    Weights,
    check_suffix,
    load_model,
    print_json,
)

if TYPE_CHECKING:
    from PIL import Image

look = typer.Typer(
    help="Pictures of what is inside: filters, feature maps, exciting regions, class activation.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _png(out: Path) -> Path:
    check_suffix(out, ".png")
    return out


_Image = Annotated[str, typer.Argument(help="An image.")]
_Out = Annotated[
    Path,
    typer.Option(metavar="FILE.png", help="Where the picture goes.", callback=_png),
]
_Most = Annotated[int, typer.Option(min=1, help="Tiles at most.")]


@look.command()
def filters(
    name: NameOrFile,
    layer: Layer,
    out: _Out,
    most: _Most = 256,
    weights: Weights = None,
    option: Options = None,
    as_json: Json = False,
) -> None:
    """Show the filters of a convolution."""
    from pycnn.inside import filters

    _write(filters(load_model(name, weights, option), layer, most=most), out, {}, as_json)


@look.command()
def maps(
    name: NameOrFile,
    layer: Layer,
    image: _Image,
    out: _Out,
    most: _Most = 256,
    weights: Weights = None,
    option: Options = None,
    as_json: Json = False,
) -> None:
    """Show what a layer makes of an image, a tile for each channel."""
    from pycnn.inside import feature_maps

    model = load_model(name, weights, option)
    _write(feature_maps(model, layer, image, most=most), out, {}, as_json)


@look.command()
def regions(
    name: NameOrFile,
    layer: Layer,
    channel: Annotated[int, typer.Argument(min=0, help="Number of a channel.")],
    images: Annotated[list[str], typer.Argument(help="Images, folders, or patterns.")],
    out: _Out,
    top: Annotated[int, typer.Option(min=1, help="Regions at most.")] = 9,
    each: Annotated[int, typer.Option(min=1, help="Regions of one image at most.")] = 1,
    weights: Weights = None,
    option: Options = None,
    as_json: Json = False,
) -> None:
    """Show the parts of images that excite one channel of a layer most."""
    from pycnn.inside import exciting_regions
    from pycnn.vision import expand

    files = [file for path in images for file in expand(path)]
    model = load_model(name, weights, option)
    found = exciting_regions(model, layer, channel, files, top=top, each=each)
    rows = [
        {
            "image": str(files[region.image]),
            "activation": region.activation,
            "place": [region.row, region.column],
            "box": list(region.box),
        }
        for region in found.found
    ]
    _write(found.picture(), out, {"regions": rows}, as_json)


@look.command()
def cam(
    name: NameOrFile,
    image: _Image,
    out: _Out,
    label: Annotated[
        str | None, typer.Option("--class", help="A label or number; the likeliest by default.")
    ] = None,
    weights: Weights = None,
    option: Options = None,
    as_json: Json = False,
) -> None:
    """Show which parts of an image speak for a class, in networks that end in an average."""
    from pycnn.inside import class_activation

    found = class_activation(load_model(name, weights, option), image, label)
    facts = {
        "label": found.label,
        "index": found.index,
        "probability": found.probability,
        "logit": found.logit,
        "map": found.map.tolist(),
    }
    _write(found.picture(), out, facts, as_json)


def _write(picture: Image.Image, out: Path, facts: dict[str, Any], as_json: bool) -> None:
    picture.save(out, format="PNG")
    if as_json:
        print_json({"file": str(out), "size": list(picture.size), **facts})
    else:
        about = f": {facts['label']}, {facts['probability']:.4f}" if "label" in facts else ""
        print(f"{out}, {picture.width} x {picture.height}{about}")
