"""The names of wandb 0.31 beside those here: what is lacking is lacking on purpose."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import steplog
from compat.wandb.beside import frameworks

pytestmark = frameworks("wandb")

WALK = """
import importlib, inspect, json, re, sys, types
package = sys.argv[1]
CLASSES = {
    "Run": "sdk.wandb_run", "Config": "sdk.wandb_config", "Summary": "sdk.wandb_summary", "Api": "apis.public",
    "Runs": "apis.public", "Project": "apis.public", "Table": "data_types", "Artifact": "sdk.artifacts.artifact",
}
def arguments(function):
    try:
        found = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return None
    return None if any(each.kind is each.VAR_KEYWORD for each in found.values()) else sorted(set(found) - {"self"})
def members(kind):
    names = {name for name in dir(kind) if name[0] != "_"}
    sources = "".join(inspect.getsource(each) for each in kind.__mro__[:-1] if each.__module__.startswith(package))
    for assigned in re.findall(r"^ +(self\\.[^=\\n]+?) = ", sources, re.M):
        names |= set(re.findall(r"self\\.([a-z]\\w*)", assigned))
    return {name: arguments(inspect.getattr_static(kind, name, None)) for name in sorted(names)}
module = importlib.import_module(package)
public = {name: getattr(module, name, None) for name in dir(module) if name[0] != "_"}
told = {"": {name: None if isinstance(each, types.ModuleType) else arguments(each) for name, each in public.items()}}
for name, where in CLASSES.items():
    told[name] = members(getattr(importlib.import_module(f"{package}.{where}"), name))
told["ApiRun"] = members(importlib.import_module(f"{package}.apis.public").Run)
print(json.dumps(told))
"""
LACKING = {
    "": """agents analytics annotations env jupyter patched profiler proto sacred trigger wandb wandb_agent wandb_lib
        wandb_torch""",
    "Config": "merge_locked",
    "Api": """automation automations create_automation create_custom_chart create_registry create_run create_run_queue
        create_team create_user delete_automation integrations job list_jobs organization queued_run registries registry
        run_queue slack_integrations sync_tensorboard team update_automation upsert_run_queue webhook_integrations""",
    "ApiRun": "create dir download_history_exports server_provides_internal_id_field snake_to_camel",
    "Runs": "QUERY convert_objects cursor index last_response more objects update_variables variables",
    "Project": "collections display owner snake_to_camel",
    "Table": """bind_to_run captions file_is_set from_json get_media_subdir has_been_logged init_from_json is_bound
        path_is_reference type_mapping with_suffix""",
    "Artifact": """collection commit_hash created_at distributed_id history_step is_link json_encode linked_artifacts
        linked_at source_artifact source_collection source_entity source_name source_project source_version updated_at
        url""",
}


def walked(package: str, folder: Path) -> dict[str, dict[str, list[str] | None]]:
    environment = {"PYTHONPATH": str(Path(steplog.__file__).parents[1]), "HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WALK, package],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, dict[str, list[str] | None]] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_the_names_and_arguments_of_wandb_are_here_but_for_those_listed(tmp_path):
    theirs, ours = walked("wandb", tmp_path), walked("steplog.compat.wandb", tmp_path)
    lacking = {kind: sorted(theirs[kind].keys() - ours[kind].keys()) for kind in theirs}
    assert {kind: set(names) - set(LACKING.get(kind, "").split()) for kind, names in lacking.items()} == {
        kind: set() for kind in theirs
    }
    arguments = {
        f"{kind}.{name}": sorted(set(wanted) - set(ours[kind][name] or ()))
        for kind, names in theirs.items()
        for name, wanted in names.items()
        if wanted and ours[kind].get(name) is not None
    }
    assert {name: missing for name, missing in arguments.items() if missing} == {
        ".ArtifactTTL": arguments[".ArtifactTTL"],  # an Enum's own
        ".Run": ["launch_config", "sweep_config"],  # nobody calls it
        "Config.get": ["args"],  # key and default
    }
