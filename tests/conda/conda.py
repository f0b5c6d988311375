"""The few commands of conda that Snakemake calls, done by rattler's solver and installer from local channels.

Call: python tests/conda/conda.py INSTALLATION COMMAND ...; `channel.py` makes the installation,
whose bin/conda calls this.
"""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path


async def create(installation: Path, file: Path, prefix: Path) -> None:
    """The environment that `file` describes, in `prefix`."""
    import yaml  # here, because most calls need neither
    from rattler import Channel, ChannelConfig, Gateway, install, solve

    environment = yaml.safe_load(file.read_text())
    config = ChannelConfig(channel_alias=f"file://{installation}/channels/")
    channels = [Channel(name, config) for name in environment["channels"] if name != "nodefaults"]
    gateway = Gateway(cache_dir=installation / "repodata")
    records = await solve(channels, environment["dependencies"], gateway=gateway, platforms=["linux-64"])
    await install(records, prefix, cache_dir=installation / "pkgs", show_progress=False)


def main(installation: Path, command: list[str]) -> None:
    match command:
        case ["--version"]:
            print("conda 25.1.0")
        case ["info", "--json"]:
            print(json.dumps({"conda_prefix": str(installation), "platform": "linux-64"}))
        case ["config", "--get", "channel_priority", "--json"]:
            print(json.dumps({"get": {"channel_priority": "strict"}}))
        case ["env", "create", *options]:
            parser = argparse.ArgumentParser()
            parser.add_argument("--file", type=Path)
            parser.add_argument("--prefix", type=Path)
            given, _ = parser.parse_known_args(options)
            asyncio.run(create(installation, given.file, given.prefix))
            os._exit(0)  # rattler's threads may crash the interpreter as it exits
        case ["clean", "-y", "--tarballs"]:
            pass  # the tests delete the whole installation
        case _:
            sys.exit(f"conda: this stand-in knows no command {command}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
