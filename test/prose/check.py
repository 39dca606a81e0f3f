#!/usr/bin/env python3
"""Checks what people read: words (words.txt, names.txt), line lengths, and links between files.

    test/prose/check.py [FILE]...    without files: all Go and Markdown files but for testdata, and what cases show

It prints file:line: what is wrong, and what to write instead. The exit status is 1 if there is anything.
exceptions.txt lists files in which a pattern is right, with the reason.
"""

import functools
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
COLUMNS = 120
# Groups of line comments, other comments, strings, runes, and names of Go.
GO = re.compile(
    r"(?P<comment>//[^\n]*(?:\n[ \t]*//[^\n]*)*|/\*.*?\*/)|(?P<string>`[^`]*`|\"(?:\\.|[^\"\\\n])*\")"
    r"|'(?:\\.|[^'\\\n])*'|(?P<name>[A-Za-z_]\w*)",
    re.S,
)
FENCE = re.compile(r"^ *```.*?^ *```[^\n]*$", re.S | re.M)
INDENTED = re.compile(r"(?<=\n\n)(?: {4,}[^\n]*\n|\n)+")
CODE = re.compile(r"``[^`]+``|`[^`]+`")
LINK = re.compile(r"\]\(([^()\s]+)\)|^\[[^\]]+\]: (\S+)|(?:src|srcset|href)=\"([^\"]+)\"", re.M)


def table(name, columns):
    """Returns the rows of a file, which are separated by tabs; lines that begin with # are comments."""
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file if line.strip() and not line.startswith("#")]
    for row in rows:
        if len(row) != columns:
            sys.exit(f"test/prose/{name}: want {columns} columns, separated by tabs: {row}")
    return rows


WORDS = [
    (pattern, re.compile(r"\b(?:" + pattern.replace(" ", r"\s+") + r")\b", re.I), instead)
    for pattern, instead in table("words.txt", 2)
]
NAMES = {name.lower(): instead for name, instead in table("names.txt", 2)}
EXCEPTIONS = {(path, pattern): reason for path, pattern, reason in table("exceptions.txt", 3)}
used = set()


def blank(match):
    """Replaces text by spaces, so that the places of the rest stay."""
    return re.sub(r"[^\n]", " ", match.group())


def words(path, text, offset=0):
    """Yields the offset and the finding of each rejected word."""
    for pattern, regexp, instead in WORDS:
        for match in regexp.finditer(text):
            if (path, pattern) in EXCEPTIONS:
                used.add((path, pattern))
                continue
            found = " ".join(match.group().split())
            yield offset + match.start(), f'"{found}": write {instead}'


def long_lines(text, is_free):
    at = 0
    for line in text.split("\n"):
        if len(line) > COLUMNS and not is_free(line):
            yield at, f"{len(line)} columns, want {COLUMNS} at most"
        at += len(line) + 1


def check_go(path, text):
    yield from long_lines(text, lambda line: line.startswith("//go:"))
    if re.match(r"// Code generated .* DO NOT EDIT", text):
        return
    for match in GO.finditer(text):
        if match["comment"]:
            prose = re.sub(r"(?m)^([ \t]*)//", r"\1  ", match.group())
            yield from words(path, prose, match.start())
        elif match["string"]:
            yield from words(path, match.group(), match.start())
        elif match["name"] and match.group().lower() in NAMES:
            if (path, match.group()) in EXCEPTIONS:
                used.add((path, match.group()))
                continue
            yield match.start(), f"the name {match.group()}: write {NAMES[match.group().lower()]}"


def check_markdown(path, text):
    # A row of a table, and a line that is one address, cannot be broken.
    yield from long_lines(text, lambda line: re.match(r"\s*(\||<|\[[^\]]*\]: |\S+$)", line))
    prose = CODE.sub(blank, INDENTED.sub(blank, FENCE.sub(blank, text)))
    yield from words(path, LINK.sub(blank, prose))
    for match in LINK.finditer(FENCE.sub(blank, text)):
        target = match[1] or match[2] or match[3]
        if not re.match(r"[a-z]+:", target):
            problem = dead(path, target)
            if problem:
                yield match.start(), problem


def check_case(path, text):
    """Checks what a case shows: the text before its first file."""
    shows = text[: re.search(r"^-- .* --$|\Z", text, re.M).start()]
    yield from long_lines(shows, lambda line: False)
    yield from words(path, shows)


def dead(path, target):
    """Returns what is wrong with a link of a Markdown file, or None."""
    name, _, anchor = target.partition("#")
    file = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
    if not os.path.exists(os.path.join(ROOT, file)):
        return f"dead link: there is no {file}"
    if anchor and file.endswith(".md") and anchor not in anchors(file):
        return f"dead link: {file} has no heading #{anchor}"
    return None


@functools.cache
def anchors(path):
    """Returns the anchors that GitHub makes of the headings of a file."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        text = FENCE.sub(blank, file.read())
    titles = (re.sub(r"[`*]", "", title) for title in re.findall(r"^#+ (.*)$", text, re.M))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


CHECKS = {".go": check_go, ".md": check_markdown, ".txtar": check_case}


def main():
    os.chdir(ROOT)
    arguments = [os.path.relpath(argument, ROOT) for argument in sys.argv[1:]]
    files = arguments or subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.go", "*.md", "test/envoy/*.txtar"],
        check=True, capture_output=True, text=True,
    ).stdout.split("\n")
    count = 0
    for path in sorted(filter(os.path.exists, files)):
        check = CHECKS[os.path.splitext(path)[1]]
        if "/testdata/" in path and check != check_case:
            continue
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
        for offset, problem in sorted(check(path, text)):
            print(f"{path}:{text.count(chr(10), 0, offset) + 1}: {problem}")
            count += 1
    if not arguments:
        for path, pattern in sorted(EXCEPTIONS.keys() - used):
            print(f"test/prose/exceptions.txt: {path} needs no exception for {pattern}")
            count += 1
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
