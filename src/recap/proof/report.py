"""The result of `recap verify` as lines, JSON or Markdown for a pull request."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from recap.metrics.files.tables import format_rows
from recap.proof.verify import Finding
from recap.report.promise import promise

MARKUP = re.compile(r"[&<>|`*_\[\]\\~!#@$]")


def as_line(finding: Finding) -> str:
    """Return a finding in a line."""
    output = finding.output
    line = f"{finding.verdict}: {output.path} (stage {output.stage}, expected md5 {output.md5})"
    return f"{line}: {finding.difference}" if finding.difference else line


def counts(findings: Sequence[Finding]) -> str:
    """Return how many outputs have which verdict, in a line."""
    found = Counter(finding.verdict for finding in findings)
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(found.items())) or "no outputs"


def as_json(findings: Sequence[Finding], acceptable: bool, runtime: Mapping[str, Any]) -> str:
    """Return one JSON object: verdicts, counts and the promise; ``runtime`` is that of the expected run."""
    values = {
        "acceptable": acceptable,
        "counts": Counter(finding.verdict for finding in findings),
        "outputs": [
            {
                "stage": own.output.stage,
                "path": own.output.path,
                "verdict": own.verdict,
                "expected": own.output.md5,
                "received": own.received,
                "difference": own.difference or None,
            }
            for own in findings
        ],
        "promise": promise(runtime),
    }
    return json.dumps(values, indent=2, sort_keys=True)


def as_markdown(findings: Sequence[Finding], acceptable: bool, runtime: Mapping[str, Any]) -> str:
    """Return a report for a pull request: counts, the promise, a verdict an output; arguments as before."""
    rows = [["Stage", "Output", "Verdict", "MD5 expected", "First difference"]]
    for own in findings:
        texts = (own.output.stage, own.output.path, own.verdict, own.output.md5, own.difference)
        rows.append([_escape(text) for text in texts])
    lines = [
        "## recap verify",
        "",
        f"**{counts(findings)}**: {'as promised' if acceptable else 'not as promised'}.",
        "",
        f"> {_escape(promise(runtime))}",
        "",
        format_rows(rows, "markdown"),
    ]
    return "\n".join(lines)


def _escape(text: str) -> str:
    """Return a text that Markdown shows as it is: in one line, without markup, mentions or HTML."""
    return MARKUP.sub(lambda match: f"&#{ord(match[0])};", " ".join(text.split()))
