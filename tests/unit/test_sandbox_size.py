"""The sandbox is a tool for the program, and stays smaller than what it saves."""

from pathlib import Path

from pygount import SourceAnalysis

SANDBOX = Path(__file__).resolve().parents[2] / "sandbox"
LIMIT = 5_600  # lines of code: no blanks, comments or docstrings; data in YAML does not count


def test_the_sandbox_stays_small() -> None:
    sources = [path for path in SANDBOX.rglob("*") if path.suffix in (".py", ".go")]
    lines = sum(SourceAnalysis.from_file(str(path), "sandbox").code_count for path in sources)
    print(f"\nsandbox: {lines} lines of code in {len(sources)} files, {LIMIT} allowed")
    assert len(sources) > 30
    assert 1_000 < lines <= LIMIT
