#!/usr/bin/env python3
"""Renders the results of native.py and browser.mjs: docs/benchmarks.md and a chart of each.

Usage: tests/bench/report.py [FOLDER]

FOLDER (docs/benchmarks) has native.json and browser.json, or one of them; README.md beside this file says what is in them.
"""

import html
import json
import math
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = 1
KINDS = {"native": "Native, on the processor", "browser": "In Chromium"}
COLOURS = ["#2563eb", "#d97706", "#059669", "#7c3aed", "#db2777", "#475569"]


def main() -> int:
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "benchmarks"
    results = []
    for kind in KINDS:
        path = folder / f"{kind}.json"
        if not path.exists():
            continue
        result = json.loads(path.read_text())
        if result.get("schema") != SCHEMA:
            print(f"{path} has schema {result.get('schema')}, this script reads {SCHEMA}: measure again", file=sys.stderr)
            return 1
        (folder / f"{kind}.svg").write_text(chart(result))
        results.append(result)
    if not results:
        print(f"{folder} has neither native.json nor browser.json: run native.py or browser.mjs with --docs", file=sys.stderr)
        return 1
    (folder.parent / "benchmarks.md").write_text(page(results))
    return 0


def page(results: list[dict]) -> str:
    parts = [
        "# Benchmarks",
        "Written by `tests/bench/native.py --docs` and `tests/bench/browser.mjs --docs`, never by hand; `tests/bench/README.md` says how things are measured. "
        "Times are medians in milliseconds. A ratio is a peer's time over ours in the same run: above 1, ours is faster. "
        "The roofline is the part of the time that the multiply-accumulates alone would take at the rate that a probe reached on the same machine in the same run.",
    ]
    for result in results:
        parts += [f"## {KINDS[result['kind']]}", facts(result), f"![Ratios of the peers' times to ours](benchmarks/{result['kind']}.svg)"]
        for group in groups(result):
            parts += [f"### {group}", times(result, group), costs(result, group)]
        if result["absent"]:
            parts.append("Not measured: " + "; ".join(f"{peer['contender']} ({peer['reason']})" for peer in result["absent"]) + ".")
        failures = [row for row in result["rows"] if row["status"] != "ok"]
        if failures:
            parts.append("What a contender could not run:\n\n" + "\n".join(f"- {row['contender']} on {row['model']}: {line(row['reason'])}" for row in unique(failures)))
    return "\n\n".join(parts) + "\n"


def unique(rows: list[dict]) -> list[dict]:
    return list({(row["contender"], row["model"]): row for row in rows}.values())


def line(text: str) -> str:
    return " ".join(text.split())[:160].replace("|", "\\|")


def facts(result: dict) -> str:
    machine = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [f"{machine['cpu']}, {machine['cores']} cores ({', '.join(machine['features'])}), {machine['system']}; {versions}."]
    for peak in result["peaks"]:
        rates = ", ".join(f"{name.replace('_', ' ')} {value:.1f}" for name, value in peak.items() if name not in ("setting", "threads"))
        lines.append(f"Peaks with {peak['setting']}: {rates}.")
    return " ".join(lines)


def groups(result: dict) -> list[str]:
    return list(dict.fromkeys(row["group"] for row in result["rows"]))


def of_group(result: dict, group: str) -> tuple[list[str], list[str], dict]:
    """The models, the contenders (ours first), and the rows by both."""
    rows = [row for row in result["rows"] if row["group"] == group]
    contenders = list(dict.fromkeys(row["contender"] for row in sorted(rows, key=lambda row: not row["ours"])))
    return list(dict.fromkeys(row["model"] for row in rows)), contenders, {(row["model"], row["contender"]): row for row in rows}


def table(head: list[str], body: list[list[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *body]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def times(result: dict, group: str) -> str:
    models, contenders, rows = of_group(result, group)
    body = []
    for model in models:
        cells = [model]
        for contender in contenders:
            row = rows.get((model, contender))
            if row is None or row["status"] != "ok":
                cells.append("" if row is None else "cannot")
            elif row["ours"]:
                cells.append(milliseconds(row["median_ms"]) + (f" ({row['roofline']:.0%})" if row.get("roofline") else ""))
            else:
                cells.append(milliseconds(row["median_ms"]) + (f" ({row['ratio']:.2f}x)" if row.get("ratio") else ""))
        body.append(cells)
    mean = ["geometric mean of the ratios"]
    for contender in contenders:
        ratios = [row["ratio"] for (_, name), row in rows.items() if name == contender and not row["ours"] and row.get("ratio")]
        mean.append(f"{math.exp(sum(map(math.log, ratios)) / len(ratios)):.2f}x" if ratios else "")
    return table(["model"] + [name + (" (of the peak)" if has_peak(rows, name) else "") for name in contenders], [*body, mean])


def has_peak(rows: dict, contender: str) -> bool:
    return any(row["ours"] and row.get("roofline") for (_, name), row in rows.items() if name == contender)


def costs(result: dict, group: str) -> str:
    """Loading, memory, code: what else a user waits and pays for."""
    models, contenders, rows = of_group(result, group)
    columns = [
        ("load", "load_ms", milliseconds), ("first result", "first_ms", milliseconds), ("page to first result", "page_ms", milliseconds), ("p95", "p95_ms", milliseconds),
        ("peak memory", "memory_bytes", megabytes), ("code", "code_bytes", kilobytes), ("weights", "weight_bytes", megabytes),
        ("dispatches", "dispatches", str), ("submits", "submits", str), ("maps", "maps", str),
    ]
    found = [row for row in rows.values() if row["status"] == "ok"]
    columns = [column for column in columns if any(row.get(column[1]) is not None for row in found)]
    body = []
    for model in models:
        for contender in contenders:
            row = rows.get((model, contender))
            if row is not None and row["status"] == "ok":
                cells = ["" if row.get(key) is None else show(row[key]) for _, key, show in columns]
                body.append([model, contender, *cells])
    head = ["model", "contender"] + [title for title, _, _ in columns]
    return "<details><summary>Loading, memory, size</summary>\n\n" + table(head, body) + "\n\n</details>"


def milliseconds(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def megabytes(value: float) -> str:
    return f"{value / 1e6:.1f} MB"


def kilobytes(value: float) -> str:
    return f"{value / 1e3:.1f} kB"


def chart(result: dict) -> str:
    """A bar for each peer and model, as long as the logarithm of its ratio; the line in the middle is equality."""
    bars = [(row["group"], row["model"], row["contender"], row["ratio"]) for row in result["rows"] if row["status"] == "ok" and not row["ours"] and row.get("ratio")]
    order = groups(result)
    bars.sort(key=lambda bar: order.index(bar[0]))
    contenders = list(dict.fromkeys(bar[2] for bar in bars))
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(contenders)}
    reach = max([abs(math.log2(bar[3])) for bar in bars] + [1.0])
    width, label, middle, bar_height = 860, 230, 320, 12
    scale = (width - middle - 60) / reach
    shapes, y = [], 30
    for x, name in zip(range(label, width, 150), contenders):
        shapes.append(f'<rect x="{x}" y="8" width="12" height="12" fill="{colour[name]}"/><text x="{x + 16}" y="18">{html.escape(name)}</text>')
    last = None
    for group, model, contender, ratio in bars:
        if (group, model) != last:
            y += 8
            if last is None or last[0] != group:
                y += 22
                shapes.append(f'<text x="8" y="{y - 6}" font-weight="bold">{html.escape(group)}</text>')
            shapes.append(f'<text x="{label - 8}" y="{y + 10}" text-anchor="end">{html.escape(model)}</text>')
            last = (group, model)
        length = math.log2(ratio) * scale
        start = max(middle + min(length, 0), label)
        end = middle + max(length, 0)
        shapes.append(f'<rect x="{start:.1f}" y="{y}" width="{max(end - start, 1):.1f}" height="{bar_height - 2}" fill="{colour[contender]}"/>')
        shapes.append(f'<text x="{end + 4:.1f}" y="{y + 9}">{ratio:.2f}x</text>')
        y += bar_height
    height = y + 16
    shapes.append(f'<line x1="{middle}" y1="28" x2="{middle}" y2="{height - 8}" stroke="currentColor"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11" fill="#334155" color="#334155">'
        f'<title>The time of each peer over ours, on a logarithmic scale: bars to the right are models on which ours is faster</title>'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>' + "".join(shapes) + "</svg>\n"
    )


if __name__ == "__main__":
    sys.exit(main())
