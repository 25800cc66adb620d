"""The usage of make, from the table in `usage.mk`.

- `usage.py help` prints the commands that most users need.
- `usage.py help-all` prints all commands, variables and exit codes.
- `usage.py refuse NAME... -- TARGET...` reports unknown targets. Without any, it reports variables on the command line
  that are unknown, or that no target uses.
"""

import os
import re
import sys
from difflib import get_close_matches
from pathlib import Path

from alive import printable

TABLE = Path(__file__).with_name("usage.mk").read_text()
ROW = re.compile(r"^(?:## (?P<title>.*)|USES\.(?P<target>\S+) :=(?P<uses>.*?)  # (?P<effect>.*))$", re.M)
VARIABLES = dict(re.findall(r"^#   (\w+) +(.*)$", TABLE, re.M))
EXIT_CODES = {
    "0": "success; of a replay also `dry-run` and `skipped`",
    "1": "a failure, with its reason after ✗",
    "3": "the release was rejected; in the demo also skipped",
    "130": "Ctrl-C",
}


def sections():
    """Returns the rows of each section: the target, its variables and its effect."""
    found = {}
    for row in ROW.finditer(TABLE):
        if row["title"]:
            rows = found.setdefault(row["title"], [])
        else:
            rows.append((row["target"], row["uses"].split(), row["effect"]))
    return found


def show_help():
    for title, rows in list(sections().items())[:-1]:
        print(title)
        for target, _, effect in rows:
            print(f"  make {target:<13} {effect}")
    print("\nmake help-all shows all commands, with their variables and exit codes.")


def show_all():
    for title, rows in sections().items():
        print(f"{title}\n")
        for target, variables, effect in rows:
            print(f"  make {target:<15} {effect}")
            if variables:
                print(f"{'':22} {' '.join(variables)}")
        print()
    print("Variables\n")
    for name, values in VARIABLES.items():
        print(f"  {name:<13} {values}")
    print("\nExit codes of the programs in ops/; make itself exits with 2 if a program does not exit with 0\n")
    for code, meaning in EXIT_CODES.items():
        print(f"  {code:<5}{meaning}")


def refusals(names, targets):
    """Yields the problem of each unknown target, or of each variable that is unknown or that no target uses."""
    uses = {target: variables for rows in sections().values() for target, variables, _ in rows}
    if unknown := [target for target in targets if target not in uses and not target.startswith(".venv/")]:
        for target in unknown:
            near = nearest(target, uses)
            hint = f": did you mean `make {near}`?" if near else "; make help-all lists all"
            yield f"unknown target `{target}`{hint}"
        return
    usable = [name for target in targets for name in uses.get(target, [])]
    for name in names:
        if name in VARIABLES:
            subject = " and ".join(f"`{target}`" for target in targets)
            does = "does" if len(targets) == 1 else "do"
            known = "".join(f"\n  {each:<13} {VARIABLES[each]}" for each in dict.fromkeys(usable))
            yield f"{subject} {does} not use `{name}`{f', only:{known}' if known else ' or any other variable'}"
        elif near := nearest(name, usable) or nearest(name, VARIABLES):
            yield f"unknown variable `{name}`: did you mean `{near}`?"
        else:
            yield (
                f"unknown variable `{name}`; make help-all lists all variables."
                f" To set an environment variable, write it before the command: {name}=… make {' '.join(targets)}"
            )


def nearest(name, names):
    """Returns the name that is most similar to a misspelt or shortened one, if any is similar."""
    plain, plain_names = folded(name), {folded(each): each for each in names}
    begun = [each for each in plain_names if len(plain) > 2 and each.startswith(plain)]
    found = begun or get_close_matches(plain, plain_names, 1)
    return plain_names[found[0]] if found else None


def folded(name):
    return name.casefold().replace("_", "").replace("-", "")


def refuse(*arguments):
    at = arguments.index("--")
    for problem in refusals(arguments[:at], arguments[at + 1 :]):
        print(printable(f"✗ {problem}", kept="\n"), file=sys.stderr)


if __name__ == "__main__":
    try:
        {"help": show_help, "help-all": show_all, "refuse": refuse}[sys.argv[1]](*sys.argv[2:])
        sys.stdout.flush()
    except OSError as why:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(f"✗ {why}")
