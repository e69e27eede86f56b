"""``python -m mixminus.control`` is the ``mixminus`` command."""

from mixminus.control.cli import main

main()
