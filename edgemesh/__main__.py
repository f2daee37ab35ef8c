"""`python -m edgemesh` is `edgemesh`."""

from edgemesh.cli import main

main()
