"""The API pages name every module of the package, each once."""

import re
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def test_every_module_is_on_one_page():
    named = [
        name
        for page in sorted((PROJECT / "book" / "api").glob("*.md"))
        for name in re.findall(r"automodule:: (\S+)", page.read_text())
    ]
    modules = {
        ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")
        for path in (PROJECT / "nplib").rglob("*.py")
        if path.name != "__main__.py"
    }
    assert len(named) == len(set(named))
    assert set(named) == modules - {"nplib"}
