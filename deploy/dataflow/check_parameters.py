"""Checks NAME=VALUE parameters against metadata.json; needs nothing but Python."""

import json
import re
import sys
from pathlib import Path


def problem(given: list[str]) -> str:
    """What is wrong with the parameters; "" where nothing is."""
    known = {
        each["name"]: each for each in json.loads(Path(__file__).with_name("metadata.json").read_text())["parameters"]
    }
    names = [each.partition("=")[0] for each in given]
    for name, _, value in (each.partition("=") for each in given):
        if name not in known:
            return f"there is no parameter {name!r}: one of {', '.join(known)}"
        if not all(re.fullmatch(regex, value) for regex in known[name]["regexes"]):
            return f"the parameter {name} is not right: {value!r}; {known[name]['helpText']}"
    missing = [name for name, each in known.items() if not each["isOptional"] and name not in names]
    return f"the parameter {missing[0]} is missing; {known[missing[0]]['helpText']}" if missing else ""


if __name__ == "__main__":
    if said := problem(sys.argv[1:]):
        print(f"launch: {said}", file=sys.stderr)
        sys.exit(2)
