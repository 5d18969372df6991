"""`python -m medallion.cli`."""

from medallion.cli import main

main()
