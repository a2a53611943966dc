"""``pycnn diff``."""

from __future__ import annotations

from dataclasses import replace

from pycnn.cli.common import Json, NameOrFile, graph_of, is_file, print_json, print_table
from pycnn.models import Variant, find


def diff(a: NameOrFile, b: NameOrFile, as_json: Json = False) -> None:
    """Say in what two variants, or networks in files, differ: facts, preprocessing, layers."""
    from pycnn.inside import diff

    names = (_name(a), _name(b))
    found = diff(graph_of(a, None), graph_of(b, None), names)
    if not is_file(a, None) and not is_file(b, None):
        from pycnn.inside.diff import differences

        facts = differences(_facts(find(a)), _facts(find(b)))
        found = replace(found, rows=(*facts, *found.rows))
    if as_json:
        print_json(found.to_dict())
    elif found:
        print_table(("", *names), [(row.what, row.a, row.b) for row in found.rows])
    else:
        print(found)


def _name(given: str) -> str:
    return given if is_file(given, None) else find(given).id


def _facts(variant: Variant) -> dict[str, str]:
    from pycnn.inside.diff import short

    found = {
        "title": variant.title,
        "paper": variant.paper,
        "labels": variant.labels or "-",
        "licence": variant.licence or "-",
    }
    if (published := variant.published) is not None:
        found |= {
            "weights": published.file,
            "hash": published.digest or "-",
            "top-1 %": f"{published.top1 or '-'}",
            "top-5 %": f"{published.top5 or '-'}",
        }
    if variant.preprocessing is not None:
        fields = variant.preprocessing.to_dict()
        found |= {f"preprocessing: {key}": short(value) for key, value in fields.items()}
    return found
