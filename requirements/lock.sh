#!/bin/sh
# Makes every hash-locked requirements file again, for Python 3.11 to 3.14 on every platform.
# No index address is written: it comes from the user's or the system's settings.
set -eu
cd "$(dirname "$0")/.."
for name in inv test types lint; do
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
        --no-emit-index-url --no-emit-find-links --no-annotate "$@" --output-file "requirements/$name.txt" \
        pyproject.toml "requirements/$name.in"
done
# What an installation outside of this checkout holds, and what its wheel is made with: requirements/standalone.py.
uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
    --no-emit-index-url --no-emit-find-links --no-annotate "$@" --extra keyless \
    --output-file requirements/standalone.txt pyproject.toml
uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
    --no-emit-index-url --no-emit-find-links --no-annotate "$@" \
    --output-file requirements/build.txt requirements/build.in
uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
    --no-emit-index-url --no-emit-find-links --no-annotate "$@" \
    --output-file src/lockgate/build/check-requirements.txt src/lockgate/build/check-requirements.in
uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
    --no-emit-index-url --no-emit-find-links --no-annotate "$@" \
    --output-file src/lockgate/config/schema-requirements.txt src/lockgate/config/schema-requirements.in
uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
    --no-emit-index-url --no-emit-find-links --no-annotate "$@" \
    --output-file app/requirements.txt app/requirements.in
