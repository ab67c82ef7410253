"""The result of `recap verify` as lines, JSON or Markdown for a pull request."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recap.proof.metrics import MetricChange
from recap.proof.verify import Finding
from recap.report.promise import promise

MARKUP = re.compile(r"[&<>|`*_\[\]\\~!#@$]")


@dataclass(frozen=True)
class Report:
    """Everything that was found."""

    findings: Sequence[Finding]  # one an output
    acceptable: bool  # whether they are as promised
    runtime: Mapping[str, Any]  # the params group `runtime` of the expected run
    base: str | None  # a git revision whose metrics were compared, if any
    changes: Sequence[MetricChange]  # the metrics that differ from the revision's


def as_line(finding: Finding) -> str:
    """Return a finding in a line."""
    output = finding.output
    line = f"{finding.verdict}: {output.path} (stage {output.stage}, expected md5 {output.md5})"
    return f"{line}: {finding.difference}" if finding.difference else line


def counts(findings: Sequence[Finding]) -> str:
    """Return how many outputs have which verdict, in a line."""
    found = Counter(finding.verdict for finding in findings)
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(found.items())) or "no outputs"


def as_json(report: Report) -> str:
    """Return one JSON object: verdicts, counts, the promise and the metrics that differ from a base."""
    values: dict[str, Any] = {
        "acceptable": report.acceptable,
        "counts": dict(Counter(finding.verdict for finding in report.findings)),
        "outputs": [
            {
                "stage": own.output.stage,
                "path": own.output.path,
                "verdict": own.verdict,
                "expected": own.output.md5,
                "received": own.received,
                "difference": own.difference or None,
            }
            for own in report.findings
        ],
        "promise": promise(report.runtime),
    }
    if report.base is not None:
        values["base"] = report.base
        values["metrics"] = [
            {"metric": own.path, "base": own.base, "this": own.this, "difference": own.difference}
            for own in report.changes
        ]
    return json.dumps(values, indent=2, sort_keys=True)


def as_markdown(report: Report) -> str:
    """Return a report for a pull request or a job's summary: counts, the promise, a verdict an output."""
    outputs = [
        (own.output.stage, own.output.path, own.verdict, own.output.md5, own.difference)
        for own in report.findings
    ]
    lines = [
        "## recap verify",
        "",
        f"**{counts(report.findings)}**: {'as promised' if report.acceptable else 'not as promised'}.",
        "",
        f"> {_escape(promise(report.runtime))}",
        "",
        *_table(("Stage", "Output", "Verdict", "MD5 expected", "First difference"), outputs),
    ]
    if report.base is not None:
        lines += ["", f"### Metrics that differ from those of {_escape(report.base)}", ""]
        metrics = [
            (own.path, _value(own.base), _value(own.this), _signed(own.difference)) for own in report.changes
        ]
        lines += _table(("Metric", "Base", "This", "Difference"), metrics) if metrics else ["None differ."]
    return "\n".join(lines)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    written = [[_escape(cell) for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *written)]


def _escape(text: str) -> str:
    """Return a text that Markdown shows as it is: in one line, without markup, mentions or HTML."""
    return MARKUP.sub(lambda match: f"&#{ord(match[0])};", " ".join(text.split()))


def _value(value: Any) -> str:
    return "–" if value is None else json.dumps(value, ensure_ascii=False)


def _signed(difference: float | int | None) -> str:
    return "–" if difference is None else f"{difference:+.6g}"
