"""Puts the project's configuration and pins into what is built of the command line."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConfigurationHook(BuildHookInterface[Any]):
    """Adds `config/`: where there is no working copy, `tickbus` starts with the packaged one.

    And the pins, by which `tickbus doctor` tells what is not installed as it was tested.
    """

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add it, from the working copy or from an unpacked source distribution."""
        if version == "editable":
            return  # the working copy is there
        root = Path(self.root)
        places = (root / "config", root.parents[1] / "config")
        found = next((place for place in places if (place / "default.yaml").is_file()), None)
        if found is None:
            raise FileNotFoundError(f"no config/default.yaml in {root} nor in {root.parents[1]}")
        inside = "" if self.target_name == "sdist" else "tickbus_cli/"
        build_data["force_include"][str(found)] = f"{inside}config"
        pins = Path("requirements", "runtime.txt")
        build_data["force_include"][str(found.parent / pins)] = f"{inside}{pins.as_posix()}"
