"""The figures for people: a table, a verdict, a chart."""

import statistics
from xml.sax.saxutils import escape

MINE, STRICT, TLS, BARE, DIRECT = "this bridge", "this, strict", "this, TLS", "bare hyper", "direct, no HTTP"
MB = 1024 * 1024
# What two builds of the bridge are compared by.
COMPARED = (("per_second", "requests"), ("cpu", "CPU"), ("p50", "p50"), ("p99", "p99"))


def shortest(section, linger):
    """What the shortest program is called; on Kafka with this linger."""
    return "shortest" if section["broker"] == "nats" else f"shortest, linger {linger}"


def ratio(section, level, key, name, other):
    """Of one row to another: the median of what each round gives, where both ran side by side."""
    rounds = section["rounds"][level]
    return statistics.median(mine[key] / its[key] for mine, its in zip(rounds[name], rounds[other], strict=True))


def median_of(rounds):
    """The median of each figure over the rounds."""
    return {key: None if value is None else statistics.median(one[key] for one in rounds) for key, value in rounds[0].items()}


def table(section):
    print(f"\n{section['title']}, medians of {len(section['rounds']['64'][MINE])} rounds; CPU in µs a notification")
    print(f"{'':8}{'':20}{'requests/s':>11}{'p50 ms':>9}{'p99 ms':>9}{'CPU':>8}{'x shortest':>12}"
          f"{'broker CPU':>12}{'sender CPU':>12}{'memory MB':>11}")
    for level, rows in section["median"].items():
        print(f"{level} at a time" if level.isdigit() else level)
        for name, row in rows.items():
            against = shortest(section, 1 if level in ("64", "256") else 0)
            times = ratio(section, level, "cpu", name, against)
            sender = f"{row['sender_cpu']:12.1f}" if "sender_cpu" in row else f"{'':12}"
            memory = f"{row['memory'] / MB:11.1f}" if row["memory"] else ""
            print(f"{'':8}{name:20}{row['per_second']:11.0f}{row['p50']:9.2f}{row['p99']:9.2f}{row['cpu']:8.1f}"
                  f"{times:12.2f}{row['broker_cpu']:12.1f}{sender}{memory}")


def against(title, figure, key):
    """One figure of this bridge, of another build's."""
    worse = figure < 0.95 if key == "per_second" else figure > 1.05
    return f"{title} {figure:5.2f} {'✗' if worse else '✓'}"


def compare(section, other):
    """This bridge against another build of it."""
    print(f"\n{section['title']}: this bridge, of {other}'s; ✗ where it is more than 5 % worse")
    for level in section["rounds"]:
        said = (against(title, ratio(section, level, key, MINE, other), key) for key, title in COMPARED)
        print(f"  {level:10}{'   '.join(said)}")


def judgements(section):
    """What, the figure, its unit, and the most (or least) it should be."""
    once, many = section["once"], shortest(section, 1)
    yield "CPU at 64, of the shortest's", ratio(section, "64", "cpu", MINE, many), "x", "<=", 1.10
    yield "CPU at 64 with strict validation, of tolerant's", ratio(section, "64", "cpu", STRICT, MINE), "x", "<=", 1.5
    yield "throughput at 64, of the shortest's", ratio(section, "64", "per_second", MINE, many), "x", ">=", 0.95
    if section["broker"] == "kafka":
        one = shortest(section, 0)
        yield "p50 of one sender, of the shortest's without linger", ratio(section, "1", "p50", MINE, one), "x", "<=", 1.3
    rounds = section["rounds"]["1000/s"]
    more = statistics.median(mine["p99"] - its["p99"] for mine, its in zip(rounds[MINE], rounds[DIRECT], strict=True))
    yield "p99 at 1000/s beyond direct publishing", more, "ms", "<=", 1.0
    yield "memory under load, window of 250,000 full", once["window_memory"] / MB, "MB", "<=", 25
    yield "from start to listening", once["start"] * 1000, "ms", "<=", 50
    yield "memory with 10,000 idle connections", once["idle_memory"] / MB, "MB", "<=", 150
    yield "a second worker with large bodies, of one's throughput", once["second_worker"], "x", ">=", 1.1
    if section["broker"] == "nats":
        yield "stretch: CPU at 64, of bare hyper's", ratio(section, "64", "cpu", MINE, BARE), "x", "<=", 1.5


def verdict(section):
    judged(section["title"], judgements(section))


def judged(title, judgements):
    print(f"\n{title}: is it as good as it should be?")
    for what, figure, unit, sign, target in judgements:
        if figure is None:
            print(f"  – {what:54}skipped: {unit}")
            continue
        good = figure <= target if sign == "<=" else figure >= target
        print(f"  {'✓' if good else '✗'} {what:54}{figure:8.2f} {unit:3} (target {sign} {target:g})")


def chart(sections):
    """Bars of CPU and throughput at 64 connections, with what each is of the shortest program's."""
    row_high, left, wide = 24, 190, 330
    parts, y = [], 30
    for section in sections:
        rows, against = section["median"]["64"], shortest(section, 1)
        parts.append(f'<text x="12" y="{y}" class="title">{escape(section["title"])}, 64 connections</text>')
        y += 22
        for number, (key, title) in enumerate((("cpu", "CPU µs a notification (less is better)"), ("per_second", "notifications/s (more is better)"))):
            parts.append(f'<text x="{left + number * (wide + 20)}" y="{y}" class="head">{title}</text>')
            most = max(row[key] for row in rows.values())
            for place, (name, row) in enumerate(rows.items()):
                top, x = y + 10 + place * row_high, left + number * (wide + 20)
                long = row[key] / most * (wide - 120)
                label = f"{row[key]:.0f}" if key == "per_second" else f"{row[key]:.1f}"
                if number == 0:
                    parts.append(f'<text x="12" y="{top + 14}">{escape(name)}</text>')
                parts.append(f'<rect x="{x}" y="{top}" width="{long:.1f}" height="18" class="{"mine" if name == MINE else "other"}"/>')
                parts.append(f'<text x="{x + long + 6:.1f}" y="{top + 14}">{label} ({ratio(section, "64", key, name, against):.2f} x)</text>')
        y += len(rows) * row_high + 40
    style = ("text{font:13px sans-serif;fill:#222}.title{font-weight:bold;font-size:15px}.head{fill:#666;font-size:12px}"
             ".mine{fill:#1f7a4d}.other{fill:#b9c4cc}")
    parts.append(f'<text x="12" y="{y - 10}" class="head">x: of the shortest program that parses and publishes</text>')
    width, height = left + 2 * wide + 40, y + 6
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
            f'<style>{style}</style><rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n')
