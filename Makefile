# Everything runs in .venv, made from pip and the committed constraints.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
DOCS := build/docs

.PHONY: demo test lint bench faults docs clean

demo: $(READY)  ## train cross entropy and CRL on the embedded digits, side by side
	$(BIN)/python examples/demo.py

# A process for each core, up to eight: one holds a gigabyte, and is a thread for itself.
test: $(READY)  ## all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal

lint: $(READY)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: $(READY)  ## what things cost beside what one would use instead, and a verdict against the committed results
	$(BIN)/python benchmarks/bench.py

faults: $(READY)  ## damage, kills, a full disk and changed data: what they do to a run, in counts
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/faults.py

docs: $(READY) $(DOCS)/.ready  ## the pages that are generated, and the site in build/site; fails on a broken link
	$(BIN)/python docs/make_commands.py > docs/commands.md
	$(BIN)/python docs/make_schemas.py
	$(BIN)/python docs/make_options.py
	$(BIN)/python docs/make_api.py
	$(BIN)/python docs/make_tables.py
	$(DOCS)/bin/python docs/make_site.py

clean:
	rm -rf .venv build dist

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "longtail needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

# The site's builder has an environment of its own: it needs nothing of ours, and ours nothing of it.
$(DOCS)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python docs/make_site.py --requirements > $(DOCS)/requirements.txt
	$(DOCS)/bin/python -m pip install --quiet --constraint constraints.txt --requirement $(DOCS)/requirements.txt
	touch $(DOCS)/.ready
