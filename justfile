# The project's commands; `./dev NAME` runs one in its own environment.

set positional-arguments
python := justfile_directory() / ".venv/bin/python"
bin := justfile_directory() / ".venv/bin"
far := "--ignore=tests/integration --ignore=tests/faults --ignore=tests/e2e -m 'not kafka and not slow'"

# List the commands
[private]
default:
    @{{ bin }}/just --justfile {{ justfile() }} --list --unsorted

# Place calls, watch them travel to the far end, check every sample (--calls N --speed X --stay)
[no-exit-message]
demo *ARGS:
    @{{ python }} -m callstream demo "$@"

# All test rings, 1–6, in two processes; arguments go to pytest
test *ARGS: compile
    @{{ python }} -m pytest --numprocesses=auto "$@"

# Format, lint, types, imports, spelling, test rings 1–4
check: check-text compile
    @{{ python }} -m pytest --numprocesses=2 {{ far }}

# What tests start as processes, compiled once, also where Python may not keep what it compiles: a tenth of each start
[private]
compile:
    @{{ python }} -m compileall -q audio callstream ingest processors runtime schemas simulators sinks

# The part of `check` that runs nothing of the product
[private]
check-text:
    @{{ bin }}/ruff format --check --quiet .
    @{{ bin }}/ruff check --quiet .
    @{{ bin }}/mypy
    @{{ bin }}/lint-imports --no-cache
    @{{ bin }}/codespell

# Kill, freeze and move workers and the broker, and compare what was committed (--minutes M --seed N)
[no-exit-message]
chaos *ARGS:
    @{{ python }} -m tests.faults.chaos "$@"

# Kill Kafka, or ingest itself, under calls, and account for every frame (--mode M --calls N --seconds S)
[no-exit-message]
outage *ARGS:
    @{{ python }} -m tests.faults.ingest_outage "$@"

# Kill, freeze and restart what carries inputs to the bot, and account for each (--conversations N --turns N --seed N)
[no-exit-message]
bot-chaos *ARGS:
    @{{ python }} -m tests.faults.bot_chaos "$@"

# One benchmark by name; its last line is `RESULT <name> key=value …`
bench NAME *ARGS:
    @{{ python }} -m benchmarks."$@"

# Format, and repair what lint can repair
fix:
    @{{ bin }}/ruff check --quiet --fix .
    @{{ bin }}/ruff format --quiet .

# Refresh schemas/fingerprints.txt after a new schema version
schemas:
    @{{ python }} -c 'from pathlib import Path; from schemas.versions import fingerprint_lines; Path("schemas/fingerprints.txt").write_text(fingerprint_lines(), encoding="utf-8")'

# Write the pages of docs/ that are made from the code
docs:
    @{{ python }} -m callstream docs write

# Resolve the dependencies of pyproject.toml anew into requirements.lock, and what the image needs of them
lock:
    @PATH="{{ justfile_directory() }}/.uv/bin:$PATH" uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url --quiet -o requirements.lock
    @PATH="{{ justfile_directory() }}/.uv/bin:$PATH" uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url --quiet -c requirements.lock -o requirements-runtime.lock
