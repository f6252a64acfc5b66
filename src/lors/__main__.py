"""`python -m lors` is `lors`."""

from lors.cli.main import main

main()
