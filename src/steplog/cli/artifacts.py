"""``steplog artifacts``: the artifacts of a project, their versions and files, to list and to download."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import click

import steplog
from steplog import Artifact
from steplog.cli import printing
from steplog.cli.api import as_text
from steplog.cli.completion import complete_artifact, complete_project
from steplog.cli.downloads import download, file_json, state_of

__all__ = ["command"]


@click.command("artifacts")
@click.argument("project", required=False, shell_complete=complete_project)
@click.argument("name", required=False, metavar="[NAME[:VERSION]]", shell_complete=complete_artifact)
@click.option("--type", "kind", metavar="TYPE", help="Only those of this type.")
@click.option("--run", metavar="UUID", help="Only those that this run logged.")
@click.option("--download", "folder", metavar="DIR", help="Write the files of a version below this directory.")
@printing.json_option
@click.pass_context
def command(
    context: click.Context,
    project: str | None,
    name: str | None,
    kind: str | None,
    run: str | None,
    folder: str | None,
    as_json: bool,
) -> None:
    """List the artifacts of a project, their versions and files, or download these.

    PROJECT is PROJECT or NAMESPACE/PROJECT, by default that of the settings; VERSION is v0, v1, … or an alias, for
    --download by default the latest. NAME:VERSION alone is of the default project. Other files of a version that are
    below DIR under the same names are replaced.
    """
    project, name = _meant(project, name)
    if name is not None and (":" in name or folder is not None):
        if kind or run:
            raise click.UsageError("--type and --run are for a list.")
        _one(context, project, name, folder, as_json)
        return
    if folder is not None:
        raise click.UsageError("which artifact? Type: steplog artifacts PROJECT NAME --download DIR")
    found = steplog.artifacts(project, name, kind, run)
    if as_json:
        printing.print_json([_as_json(each) for each in found])
    elif not found:
        where = printing.printable(f"{name or ''} {f'in {project}' if project else ''}".strip())
        click.echo(f"no artifacts {where}".strip())
    elif name is None:
        _print_names(found)
    else:
        _print_versions(found)


def _meant(project: str | None, name: str | None) -> tuple[str | None, str | None]:
    """Project and name; a version alone is of an artifact of the default project, or of the one before the "/"."""
    project, name = (None if text is None else as_text(text) for text in (project, name))
    if project is not None and name is None and ":" in project:
        place, _, name = project.rpartition("/")
        return place or None, name
    return project, name


def _one(context: click.Context, project: str | None, name: str, folder: str | None, as_json: bool) -> None:
    try:
        artifact = steplog.artifact(project, name)
    except steplog.SteplogError:
        raise
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    if folder is not None:
        root = as_text(folder)
        whole = download(
            artifact.files, lambda file, arrived: file.put(Path(root), replace=True, arrived=arrived), root
        )
        if as_json:
            printing.print_json(_as_json(artifact) | {"files": [file_json(file) for file in artifact.files]})
        context.exit(0 if whole else 1)
    if as_json:
        printing.print_json(_as_json(artifact) | {"files": [file_json(file) for file in artifact.files]})
    else:
        _print_files(artifact)


def _as_json(artifact: Artifact) -> dict[str, Any]:
    return {
        "name": artifact.name,
        "version": artifact.version,
        "type": artifact.type,
        "aliases": list(artifact.aliases),
        "size": artifact.size,
        "digest": artifact.digest,
        "description": artifact.description,
        "metadata": artifact.metadata,
        "run": artifact.run,
        "created": None if artifact.created is None else artifact.created.isoformat(),
    }


def _local(artifact: Artifact) -> str:
    return "" if artifact.created is None else printing.local_time(artifact.created.isoformat())


def _print_names(found: list[Artifact]) -> None:
    """A row a name, with its latest version."""
    versions, latest = Counter(each.name for each in found), dict[str, Artifact]()
    for each in found:
        latest.setdefault(each.name, each)
    columns = ("artifact", "type", "latest", "versions", "size", "created")
    table = printing.table(*columns, right=("versions", "size"), drop=("created", "versions"), cut="artifact")
    for each in latest.values():
        numbers = (versions[each.name], printing.size(each.size))
        printing.add_row(table, each.name, each.type, each.version, *numbers, _local(each))
    printing.write(printing.console(), table)


def _print_versions(found: list[Artifact]) -> None:
    columns = ("version", "aliases", "type", "size", "created", "run")
    table = printing.table(*columns, right=("size",), drop=("type", "run", "created"), cut="aliases")
    for each in found:
        created, run = _local(each), each.run_name or each.run[:8]
        aliases = ", ".join(each.aliases)
        printing.add_row(table, each.version, aliases, each.type, printing.size(each.size), created, run)
    printing.write(printing.console(), table)


def _print_files(artifact: Artifact) -> None:
    console = printing.console()
    facts = [
        ("artifact", f"{artifact.name}:{artifact.version}"),
        ("type", artifact.type),
        ("aliases", ", ".join(artifact.aliases)),
        ("created", _local(artifact)),
        ("run", artifact.run_name or artifact.run),
        ("description", artifact.description),
        *((key, printing.value(value, None)) for key, value in artifact.metadata.items()),
    ]
    about = printing.table("", "")
    for key, value in facts:
        if value:
            printing.add_row(about, key, value)
    files = artifact.files
    states = [state_of(file) for file in files]
    columns = ("path", "size", *(["state"] if any(states) else []))
    table = printing.table(*columns, right=("size",), cut="path")
    for file, state in zip(files, states, strict=True):
        printing.add_row(table, *(file.path, printing.size(file.size), state)[: len(columns)])
    printing.write(console, about, "", table)
