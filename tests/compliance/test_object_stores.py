"""No module awaits obstore's own futures: their threads outlive the event loop and abort a process that ends.

Nearly a third of all processes that read four objects with `get_async` and ended at once died of SIGABRT, after their
work and with no word; none did that called the synchronous functions in `asyncio.to_thread`.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("runtime", "ingest", "processors", "sinks", "callstream", "simulators", "benchmarks")


def lines_that_await_obstore(source: str) -> list[int]:
    tree = ast.parse(source)
    called = {
        node.lineno for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr.endswith("_async")
    }
    looped = {
        node.iter.lineno for node in ast.walk(tree) if _is_async_loop(node) and "obstore" in ast.unparse(node.iter)
    }
    return sorted(called | looped)


def _is_async_loop(node: ast.AST) -> bool:
    return isinstance(node, ast.AsyncFor) or (isinstance(node, ast.comprehension) and bool(node.is_async))


def test_object_stores_are_called_in_threads_that_end_with_the_loop() -> None:
    sources = {path: path.read_text(encoding="utf-8") for name in PACKAGES for path in (ROOT / name).rglob("*.py")}
    stores = {
        path: source for path, source in sources.items() if "import obstore" in source or "from obstore" in source
    }
    assert stores
    assert [f"{path}:{line}" for path, source in stores.items() for line in lines_that_await_obstore(source)] == []


@pytest.mark.parametrize(
    "source",
    [
        "async def f(): await obstore.get_async(store, 'a')",
        "async def f(): await store.put_async('a', b'')",
        "async def f():\n async for page in obstore.list(store): pass",
        "async def f(): return [page async for page in obstore.list(store)]",
    ],
)
def test_each_way_to_await_one_is_found(source: str) -> None:
    assert lines_that_await_obstore(source)
