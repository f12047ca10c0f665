"""The command line, one file per verb. A verb reads its arguments, calls one public function and prints what it gives.

    app.py          the program: verbs, -v and -q, exit codes
    options.py      the options that several verbs share
    console.py      what goes to stderr: notes, warnings, log, tables
    generate.py, predict.py, ...    the verbs

stdout carries data only. Nothing heavy is imported before a verb runs.
"""

from biogpt.cli.app import main

__all__ = ["main"]
