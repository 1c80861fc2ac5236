"""``affectscope doctor``: whether this machine has what affectscope needs."""

from __future__ import annotations

from dataclasses import asdict

import typer

from affectscope.cli import options as o
from affectscope.cli.output import print_json


def doctor(as_json: o.AsJson = False) -> None:
    """Look at what this machine has and lacks.

    That is: Python, packages, device, memory, disk, cache, default model and network.

    Exit code 1 if something is missing that affectscope cannot do without.
    """
    from affectscope.cli.health import look

    findings = []
    for finding in look():
        findings.append(finding)
        if as_json:
            continue
        typer.echo(f"{finding.state:<4}  {finding.name:<13}  {finding.detail}")
        if finding.remedy:
            typer.echo(f"      {'':<13}  to do: {finding.remedy}")
    if as_json:
        print_json([asdict(finding) for finding in findings])
    if any(finding.state == "fail" for finding in findings):
        raise typer.Exit(1)
