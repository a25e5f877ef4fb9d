#!/usr/bin/env python3
"""What a compiler does not check in our C: layers, doors, calls, sizes.

    tools/lint_c.py [--stats] FILE...      run from the root of the repository

Prints each breach as `file:line: sentence` and fails when there is any.  A rule may be broken where
the standard way is not enough, by a comment on that line or the one before it that says why:
    /* lint: allow CHECK, the reason */      CHECK: layers doors calls floats comments length
"""
import fnmatch
import os
import re
import statistics
import sys

FUNCTION_MAX, SOURCE_MAX, HEADER_MAX = 70, 600, 150

INSTEAD = {
    "strcpy": "copy with a known length", "strcat": "append to a struct buf",
    "sprintf": "use snprintf", "vsprintf": "use vsnprintf", "gets": "use getline",
    "atoi": "parse with a range check", "atol": "parse with a range check",
    "atof": "parse with a range check", "strtok": "use strsep or strtok_r",
    "alloca": "the stack has no limit check; use the arena",
    "system": "use posix_spawn, without a shell", "popen": "use posix_spawn, without a shell",
    "tmpnam": "use mkstemp", "rand": "randomness comes from struct env",
    "srand": "randomness comes from struct env", "localtime": "use localtime_r",
    "gmtime": "use gmtime_r", "signal": "use sigaction",
}
CALL = re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join(INSTEAD))
IGNORED_SIGPIPE = re.compile(r"\s*SIGPIPE\s*,\s*SIG_IGN\s*\)")
FLOAT = re.compile(r"\b(float|double|strtod|strtof|json_real\w*|json_number_value)\b"
                   r"|(?<![\w.])(?:\d+\.\d*|\.\d+)(?:[eE][+-]?\d+)?|(?<![\w.])\d+[eE][+-]?\d+")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.M)
LATER = re.compile(r"\b(TODO|FIXME|XXX)\b(?!.*#\d+)")
ALLOW = re.compile(r"lint: allow (\w+), \S.{9,}", re.S)
TOKEN = re.compile(r"""(?P<block>/\*.*?(?:\*/|\Z))|(?P<line>//[^\n]*)"""
                   r"""|(?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')""", re.S)


def in_folder(path, folder):
    return folder == "*" or path == folder or path.startswith(folder + "/")


def glob_fits(path, glob):
    """A * stays inside one folder, as in a shell."""
    return path.count("/") == glob.count("/") and fnmatch.fnmatchcase(path, glob)


def read_table(name):
    table = {}
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, name), encoding="utf-8") as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                key, _, values = line.partition(":")
                table[key.strip()] = values.split()
    return table


class Source:
    """One file: its text, the same with comments and strings blanked, and its comments."""

    def __init__(self, path):
        self.path = os.path.normpath(path)
        with open(path, encoding="utf-8") as f:
            self.text = f.read()
        self.lines = self.text.count("\n")
        self.comments = []
        self.allowed = set()
        self.bare = TOKEN.sub(self._blank, self.text)
        self.code = re.sub(r'"(?:\\.|[^"\\\n])*"', '""', self.bare)

    def _blank(self, match):
        token = match.group()
        if match["text"]:
            keep = token[0] + " " * (len(token) - 2) + token[0]
            return keep
        first = self.line_at(match.start())
        self.comments.append((first, match["line"] is not None, token))
        allow = ALLOW.search(token)
        if allow:
            last = first + token.count("\n")
            self.allowed |= {(allow[1], n) for n in range(first, last + 2)}
        return re.sub(r"[^\n]", " ", token)

    def line_at(self, offset):
        return self.text.count("\n", 0, offset) + 1

    def includes(self):
        for match in INCLUDE.finditer(self.text):
            # The name is a string, so ask the blanked text only whether this is not in a comment.
            if self.bare[match.start():match.start(2)].strip():
                yield self.line_at(match.start(1)), match[1] == '"', match[2]

    def functions(self):
        """(name, first line, lines) of each function, the signature counted; Linux braces assumed."""
        lines = self.bare.split("\n")
        for start, line in enumerate(lines):
            if line.rstrip() != "{":
                continue
            first = start
            while first > 0 and lines[first - 1].strip() and not re.match(r"[}#]|.*;\s*$", lines[first - 1]):
                first -= 1
            signature = " ".join(lines[first:start])
            if "(" not in signature or re.match(r"\s*(typedef\s+)?(struct|union|enum)\b[^(]*$", signature):
                continue
            end = next((n for n in range(start, len(lines)) if lines[n].startswith("}")), start)
            test = re.match(r"\s*START_TEST\((\w+)\)", signature)
            name = test or re.search(r"(\w+)\s*\(", re.sub(r"__attribute__\s*\(\(.*?\)\)", "", signature))
            yield (name[1] if name else "?"), first + 1, end - first + 1


class Lint:
    def __init__(self):
        self.layers = read_table("layers.txt")
        self.doors = read_table("doors.txt")
        self.breaches = 0
        self.sizes = {}

    def breach(self, source, check, line, sentence):
        if (check, line) not in source.allowed:
            print(f"{source.path}:{line}: {sentence}")
            self.breaches += 1

    def check(self, source):
        for line, ours, name in source.includes():
            if ours:
                self.check_layer(source, line, name)
            else:
                self.check_door(source, line, name)
        self.check_calls(source)
        self.check_floats(source)
        self.check_comments(source)
        self.check_sizes(source)

    def check_layer(self, source, line, name):
        folder = max((k for k in self.layers if in_folder(source.path, k)), key=len, default=None)
        if folder is None:
            return
        if name.startswith("gen/"):
            return
        if "/" not in name or name.startswith("."):
            self.breach(source, "layers", line, f'write "{name}" from the root of the tree: "folder/{name}"')
        elif not any(in_folder(name, f) for f in [folder] + self.layers[folder]):
            self.breach(source, "layers", line, f"{folder} may not include {name} (tools/layers.txt)")

    def check_door(self, source, line, name):
        if in_folder(source.path, "tests") or in_folder(source.path, "bench"):
            return
        for header, files in self.doors.items():
            if fnmatch.fnmatchcase(name, header) and not any(glob_fits(source.path, f) for f in files):
                self.breach(source, "doors", line,
                            f"<{name}> is only included by {' '.join(files)} (tools/doors.txt)")

    def check_calls(self, source):
        for match in CALL.finditer(source.code):
            if match[1] == "signal" and IGNORED_SIGPIPE.match(source.code, match.end()):
                continue
            self.breach(source, "calls", source.code.count("\n", 0, match.start()) + 1,
                        f"{match[1]}() is banned: {INSTEAD[match[1]]}")

    def check_floats(self, source):
        if not re.match(r"billing/|auth/|base/money", source.path):
            return
        for match in FLOAT.finditer(source.code):
            self.breach(source, "floats", source.code.count("\n", 0, match.start()) + 1,
                        f"'{match[0]}': money and limits are counted in integers")

    def check_comments(self, source):
        for first, is_line, text in source.comments:
            if is_line:
                self.breach(source, "comments", first, "a // comment is a note not meant to be kept; use /* */")
            for offset, part in enumerate(text.split("\n")):
                if LATER.search(part):
                    self.breach(source, "comments", first + offset,
                                "a thing left for later names its issue: #N")

    def check_sizes(self, source):
        limit = HEADER_MAX if source.path.endswith(".h") else SOURCE_MAX
        if source.lines > limit:
            self.breach(source, "length", 1, f"{source.lines} lines, the limit is {limit}: split the file")
        folder = os.path.dirname(source.path) or "."
        for name, line, length in source.functions():
            self.sizes.setdefault(folder, []).append(length)
            if length > FUNCTION_MAX:
                self.breach(source, "length", line, f"{name}() has {length} lines, the limit is {FUNCTION_MAX}")

    def print_sizes(self):
        print("  lines of a function   count  median  p90  longest")
        for folder, sizes in sorted(self.sizes.items()):
            sizes.sort()
            p90 = sizes[min(len(sizes) - 1, int(len(sizes) * 0.9))]
            print(f"  {folder:20} {len(sizes):6} {statistics.median(sizes):7.0f} {p90:4} {sizes[-1]:8}")


def main(arguments):
    lint = Lint()
    for path in arguments:
        if path != "--stats":
            lint.check(Source(path))
    if "--stats" in arguments:
        lint.print_sizes()
    return 1 if lint.breaches else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
