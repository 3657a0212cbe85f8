"""A Go in miniature: it "compiles" a main package into a text that says what it was made from.

It runs as a program. What a test wants of it stands in files of the module's folder: `says` is printed on stderr and
ends it with an error, `sleeps` makes it hang, `log` of the folder above gets a line for every compilation; `fails` there
is how many downloads break off.
"""

GO = """\
#!{python} -IS
import os, pathlib, sys, time
verb, arguments = sys.argv[1], sys.argv[2:]
here = pathlib.Path.cwd()
if verb == "env":
    values = {{"GOVERSION": "{version}", "GOPROXY": os.environ.get("GOPROXY", "said-by-go-env-w")}}
    print("\\n".join(values.get(name, "") for name in arguments))
elif verb == "version":
    made = pathlib.Path(arguments[-1]).read_text().splitlines()
    print(f"{{arguments[-1]}}: {version}")
    print("\\tpath\\tmain")
    print("\\tmod\\texample.org/tool\\tv1.2.3\\th1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
    print("\\tdep\\texample.org/old\\tv0.1.0")
    print("\\t=>\\texample.org/New\\tv0.2.0\\th1://////////////////////////////////////////8=")
elif verb == "build":
    with (here.parent / "log").open("a") as log:
        caches = [f"{{one}}={{os.environ[one]}}" for one in ("GOCACHE", "GOMODCACHE")]
        log.write(" ".join([*caches, *arguments]) + chr(10))
    (out,) = [one[3:] for one in arguments if one.startswith("-o=")]
    packages = arguments[arguments.index("--") + 1:]
    print("go: downloading example.org/old v0.1.0", file=sys.stderr)
    for package in packages:
        print(package.strip("./") or "main", file=sys.stderr, flush=True)
    if (here / "sleeps").exists():
        time.sleep(60)
    if (here.parent / "fails").exists():
        left = int((here.parent / "fails").read_text())
        (here.parent / "fails").write_text(str(left - 1))
        if left:
            sys.exit('go: example.org/a@v1: Get "https://p/": read: connection reset by peer')
    if (here / "says").exists():
        sys.stderr.write((here / "says").read_text())
        sys.exit(1)
    for package in packages:
        name = [one for one in package.split("/") if one[:1] != "v" or not one[1:].isdigit()][-1]
        name = "tool" if name == "." else name
        if not (here / "no-main").exists():
            values = [f"{{one}}={{os.environ[one]}}" for one in ("GOOS", "GOARCH", "CGO_ENABLED")]
            pathlib.Path(out, name).write_text("\\n".join([package, "{version}", *values]) + "\\n")
"""


def write(path: object, version: str = "go1.27.3") -> None:
    """Write the miniature as an executable."""
    import sys
    from pathlib import Path

    place = Path(str(path))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(GO.format(python=sys.executable, version=version), encoding="utf-8")
    place.chmod(0o755)
