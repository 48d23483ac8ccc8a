"""Asks a public source of advisories about every package that Meanshape and its extras bring along.

    python tests/packaging/audit.py [--oldest] [--source pypi]

Exit code 0: every package was asked about and none has a known weakness; 1: some have; 2: the source did not
answer, or does not know a package, so that nothing is proved. `--oldest` asks about the oldest versions that
pyproject.toml allows. Needs uv and pip-audit; installs nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
AGAIN = "Nothing is proved; try again where the network reaches it."


def resolve(out: Path, resolution: str) -> str | None:
    """Write the versions that would be installed, of all extras, into ``out``; return what went wrong."""
    words = ["uv", "pip", "compile", "-q", "--all-extras", "--resolution", resolution, "-o", str(out)]
    told = subprocess.run([*words, str(ROOT / "pyproject.toml")], capture_output=True, text=True, check=False)
    return _last_line(told.stderr) if told.returncode else None


def ask(versions: Path, source: str) -> dict[str, Any] | str:
    """Return pip-audit's report about the versions in a requirements file, or what went wrong."""
    words = ["-f", "json", "-s", source, "--progress-spinner", "off", "--disable-pip", "--no-deps"]
    told = subprocess.run(
        [sys.executable, "-m", "pip_audit", *words, "-r", str(versions)],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        report: dict[str, Any] = json.loads(told.stdout)
    except ValueError:
        return _last_line(told.stderr)
    return report


def judge(report: dict[str, Any]) -> tuple[int, str]:
    """Return the exit code and what to say: a package that was not asked about is no sound package.

    (pip-audit alone says "No known vulnerabilities found" when its source knew none of them.)
    """
    packages = report["dependencies"]
    weak = []
    for one in packages:
        for found in one.get("vulns", []):
            mended = ", ".join(found["fix_versions"]) or "no version"
            weak.append(f"{one['name']} {one['version']}: {found['id']}, mended in {mended}")
    unknown = [one["name"] for one in packages if "skip_reason" in one]
    if unknown or not packages:
        few = ", ".join(unknown[:3]) + (", …" if len(unknown) > 3 else "")
        weak.append(
            f"audit: the source does not know {len(unknown)} of {len(packages)} packages ({few}). {AGAIN}"
        )
        return 2, "\n".join(weak)
    if weak:
        return 1, "\n".join([*weak, f"audit: {len(weak)} known weaknesses in {len(packages)} packages."])
    return 0, f"audit: {len(packages)} packages were asked about, none has a known weakness."


def _last_line(text: str) -> str:
    """Return the last line of a long complaint, shortened."""
    return ([line.strip() for line in text.splitlines() if line.strip()] or ["no reason given"])[-1][:120]


def main() -> int:
    """Resolve, ask, say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--oldest", action="store_true", help="the oldest versions that are allowed")
    parser.add_argument("--source", choices=("pypi", "osv"), default="pypi")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        versions = Path(folder) / "versions.txt"
        wrong = resolve(versions, "lowest-direct" if told.oldest else "highest")
        if wrong:
            print(f"audit: the versions could not be looked up ({wrong}). {AGAIN}", file=sys.stderr)
            return 2
        report = ask(versions, told.source)
    if isinstance(report, str):
        print(f"audit: the source of advisories did not answer ({report}). {AGAIN}", file=sys.stderr)
        return 2
    code, words = judge(report)
    print(words, file=sys.stderr if code else sys.stdout)
    return code


if __name__ == "__main__":
    sys.exit(main())
