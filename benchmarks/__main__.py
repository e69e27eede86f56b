"""``python -m benchmarks NAME [--json FILE] [--plot FILE.png]``; ``--help`` lists the names."""

from __future__ import annotations

import argparse
import importlib
import json
import sys

from benchmarks.arguments import picture_file, result_file
from benchmarks.machine import StealMeter, describe_machine
from benchmarks.processes import BenchmarkError
from benchmarks.report import print_goals, print_machine, print_notes, print_table

NAMES = (
    "mix",
    "tick",
    "pipeline",
    "delay",
    "density",
    "scale",
    "network",
    "plugins",
    "links",
    "link-loss",
    "capacity",
    "console",
    "store",
    "calls",
)


def argument_parser() -> argparse.ArgumentParser:
    """Make what reads the command line, with the options of each benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True)
    for name in NAMES:
        module = importlib.import_module(f"benchmarks.{name.replace('-', '_')}")
        command = commands.add_parser(name, help=(module.__doc__ or "").splitlines()[0])
        module.add_arguments(command)
        command.add_argument(
            "--json", type=result_file, metavar="FILE", help="keep the result as JSON"
        )
        command.add_argument(
            "--plot", type=picture_file, metavar="FILE.png", help="draw the result"
        )
        command.set_defaults(module=module)
    return parser


def main() -> int:
    args = argument_parser().parse_args()
    module = args.module
    steal = StealMeter()
    try:
        result = module.measure(args)
    except BenchmarkError as exc:
        print(f"{args.name}: {exc}", file=sys.stderr)
        return 1
    result["machine"] = describe_machine()
    result["machine"]["steal_percent"] = steal.percent()
    for table in (result, *result.get("more_tables", [])):
        print_table(table["title"], table["columns"], table["rows"])
    print_notes(result)
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
