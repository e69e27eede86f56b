"""``python -m benchmarks mix|tick|pipeline [--json FILE] [--plot FILE.png]``."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from benchmarks.machine import StealMeter, describe_machine
from benchmarks.report import print_goals, print_machine, print_table

NAMES = ("mix", "tick", "pipeline")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True)
    modules = {name: importlib.import_module(f"benchmarks.{name}") for name in NAMES}
    for name, module in modules.items():
        command = commands.add_parser(name, help=(module.__doc__ or "").splitlines()[0])
        module.add_arguments(command)
        command.add_argument("--json", type=Path, metavar="FILE", help="keep the result as JSON")
        command.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the result")
    args = parser.parse_args()
    module = modules[args.name]
    steal = StealMeter()
    result = module.measure(args)
    result["machine"] = describe_machine()
    result["machine"]["steal_percent"] = steal.percent()
    print_table(result["title"], result["columns"], result["rows"])
    print_goals(result.get("goals", []))
    print_machine(result["machine"])
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")
        print(f"wrote {args.json}")
    if args.plot:
        module.plot(result, args.plot)
        print(f"wrote {args.plot}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
