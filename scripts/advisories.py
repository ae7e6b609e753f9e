"""Known vulnerabilities of Rust packages, as facts in advisories.tsv: so that they are checked without a network, and a
new one does not fail an old commit.

advisories.py update CLONE      writes advisories.tsv from a clone of the RustSec advisory database
advisories.py database FOLDER   writes into FOLDER what `cargo deny` reads in its place, and its configuration
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

LIST = Path("advisories.tsv")
COLUMNS = ["id", "package", "date", "informational", "patched", "unaffected"]
# The name under which cargo-deny looks for the database whose address it has by default.
NAME = "advisory-db-3157b0e258782691"


# A commit of nobody's: it is not signed, and neither hooks nor ignored names of whoever calls count.
NOBODY = ["user.name=-", "user.email=-", "commit.gpgsign=false", "core.hooksPath=/dev/null", "core.excludesFile=/dev/null"]


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def update(clone: Path) -> None:
    lines = []
    for path in git(clone, "ls-tree", "-r", "--name-only", "HEAD", "crates").splitlines():
        if not path.endswith(".md"):
            continue
        front = git(clone, "show", f"HEAD:{path}").split("```toml\n", 1)[1].split("\n```", 1)[0]
        found = tomllib.loads(front)
        advisory, versions = found["advisory"], found["versions"]
        if "withdrawn" in advisory:
            continue
        ranges = (json.dumps(versions.get(key, [])) for key in ("patched", "unaffected"))
        lines.append("\t".join([*(str(advisory.get(key, "")) for key in COLUMNS[:4]), *ranges]))
    commit, date = git(clone, "log", "-1", "--format=%H %cs").split()
    head = f"# RustSec advisory database, github.com/rustsec/advisory-db, {commit}, {date}\n"
    LIST.write_text(head + "\n".join(["\t".join(COLUMNS), *sorted(lines)]) + "\n")


def database(folder: Path) -> None:
    repository = folder / NAME
    for line in LIST.read_text().splitlines()[2:]:
        name, package, date, informational, patched, unaffected = line.split("\t")
        place = repository / "crates" / package
        place.mkdir(parents=True, exist_ok=True)
        kind = f'informational = "{informational}"\n' if informational else ""
        place.joinpath(f"{name}.md").write_text(
            f'```toml\n[advisory]\nid = "{name}"\npackage = "{package}"\ndate = "{date}"\n{kind}\n'
            f"[versions]\npatched = {patched}\nunaffected = {unaffected}\n```\n\n"
            f"# {name}\n\nhttps://rustsec.org/advisories/{name}\n"
        )
    git(repository, "init", "--quiet")
    nobody = [word for setting in NOBODY for word in ("-c", setting)]
    git(repository, *nobody, "add", "--all")
    git(repository, *nobody, "commit", "--quiet", "--message", "facts")
    configuration = Path("deny.toml").read_text().replace("[advisories]", f'[advisories]\ndb-path = "{folder}"')
    folder.joinpath("deny.toml").write_text(configuration)


if __name__ == "__main__":
    {"update": update, "database": database}[sys.argv[1]](Path(sys.argv[2]))
