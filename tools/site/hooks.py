"""What MkDocs puts into the site beside docs/*.md: the README, a page for each network.

Nothing of it is kept in the repository, so nothing of it can be out of date.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))
import networks

ROOT = Path(__file__).resolve().parents[2]
FRONT = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}
# The section of the navigation that has the networks.
SHOWN = "Networks and studies"
# A role of Sphinx before code: the reference to it is not made, what it says is.
_ROLE = re.compile(r":(?:class|func|meth|mod):(?=<code>|`)")
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#:]+)(#[^)]*)?\)")


def on_config(config: Any) -> Any:
    """Put each network's page under "Networks"."""
    pages = [{network: f"networks/{network}.md"} for network in networks.names()]
    (shown,) = (section[SHOWN] for section in config.nav if SHOWN in section)
    shown.insert(0, {"Networks": ["networks/index.md", *pages]})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made here."""
    made = {page: _read(source) for page, source in FRONT.items()}
    made["index.md"] = f"---\nhide: [toc]\n---\n{made['index.md']}"  # its code needs the width
    made |= networks.pages()
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links to files of the repository that are no pages into their names."""
    folder = os.path.dirname(page.file.src_uri)

    def link(match: re.Match[str]) -> str:
        picture, text, target, _ = match.groups()
        inside = os.path.normpath(os.path.join(folder, target))
        if picture or files.get_file_from_path(inside):
            return match.group(0)
        path = os.path.normpath(os.path.join("docs", folder, target))
        return text if text.strip("`") == path else f"{text} (`{path}`)"

    return _LINK.sub(link, markdown)


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    """Take the roles out of what docstrings say."""
    return _ROLE.sub("", html)


def _read(source: str) -> str:
    """A file of the root, whose links lead into docs/ and to its neighbours."""
    text = (ROOT / source).read_text(encoding="utf-8")
    neighbours = {name: page for page, name in FRONT.items()}

    def link(match: re.Match[str]) -> str:
        picture, label, target, place = match.groups()
        if target.startswith("docs/"):
            target = target.removeprefix("docs/")
        elif target in neighbours:
            target = neighbours[target]
        else:
            target = f"../{target}"
        return f"{picture}[{label}]({target}{place or ''})"

    return _LINK.sub(link, text)
