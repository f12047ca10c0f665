"""`python -m biogpt`: the command line where its script is not on the path."""

from biogpt.cli import main

main()
