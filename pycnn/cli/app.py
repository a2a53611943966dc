"""The commands, put together."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pycnn import __version__
from pycnn.cli.bench import bench
from pycnn.cli.classify import classify
from pycnn.cli.convert import convert
from pycnn.cli.cost import cost
from pycnn.cli.diff import diff
from pycnn.cli.doctor import doctor
from pycnn.cli.draw import draw
from pycnn.cli.fetch import fetch
from pycnn.cli.info import info
from pycnn.cli.list import list_variants
from pycnn.cli.look import look
from pycnn.cli.parity import parity
from pycnn.cli.profile import profile
from pycnn.cli.study import study
from pycnn.cli.summary import summary
from pycnn.cli.train import train
from pycnn.cli.whatif import whatif


class _Group(TyperGroup):
    """The commands; older releases of typer answer Ctrl-C with "Aborted!" and 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


# A traceback is for PYCNN_VERBOSE=1; names of files and labels are no markup.
app = typer.Typer(
    cls=_Group,
    help="Run convolutional networks: the classic ones, with their published weights.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(show: bool) -> None:
    if show:
        print(f"pycnn {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command("list")(list_variants)
app.command()(info)
app.command()(diff)
app.command()(fetch)
app.command()(convert)
app.command()(classify)
app.command()(summary)
app.command()(cost)
app.command()(whatif)
app.command()(draw)
app.command()(profile)
app.command()(parity)
app.add_typer(look, name="look")
app.command()(bench)
app.command()(train)
app.command()(doctor)
app.command()(study)
