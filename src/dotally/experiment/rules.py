"""Under which rules a number of ours was made, in words: release of the data, size of the pictures, choice of epoch."""

from collections.abc import Mapping
from typing import Any

from dotally.models.preprocessing import PRESETS

Spec = Mapping[str, Any]

# data sets of which several releases go round, and what dropping heads outside the pictures makes of them
RELEASES = {
    "ShanghaiTech": {"drop": "either, heads outside dropped", "clip": "as on disk"},
    "NoisyShanghaiTech": {"drop": "either, heads outside dropped", "clip": "as on disk"},
    "TRANCOS": {"drop": "v1, v2 or v3, as on disk", "clip": "v1, v2 or v3, as on disk"},
    "JHUCrowd": {"drop": "v2.0", "clip": "v2.0"},
}


def release(spec: Spec) -> str:
    """Name the release of the data; empty where there is one."""
    data = spec["data"]
    return RELEASES.get(data["class"].rpartition(".")[2], {}).get(data["arguments"].get("outside", "drop"), "")


def resizing(spec: Spec) -> str:
    """Name the rules for the size of the pictures, the data's and the network's; "none" where there are none."""
    arguments = spec["data"]["arguments"]
    side, preset = arguments.get("longest_side"), spec.get("task", {}).get("arguments", {}).get("preprocessing")
    multiple = PRESETS[preset].multiple if preset in PRESETS else 1
    rules = [str(arguments.get("resize") or ""), f"longest side {side}" if side else ""]
    return ", ".join(rule for rule in [*rules, f"multiples of {multiple}" if multiple > 1 else ""] if rule) or "none"


def choice(spec: Spec) -> str:
    """Say how the checkpoint was chosen; empty where there is none to choose."""
    if not spec.get("max_epochs"):
        return "published, rule unknown" if "task" in spec else ""
    split = "test" if spec["protocol"] == "test-best" else "validation"
    return f"best of {spec['max_epochs']} epochs on {split}"
