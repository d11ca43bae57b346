# From a fresh clone: make demo, make test. Both set up .venv first, quick when it is up to date.
VENV := .venv
READY := $(VENV)/.ready

.PHONY: demo test lint clean

demo: $(READY)
	@$(VENV)/bin/napari-unet demo --out demo-output

test: $(READY)
	@scripts/test.sh $(VENV)/bin/python

lint: $(READY)
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

$(READY): pyproject.toml scripts/bootstrap.sh
	@scripts/bootstrap.sh $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) demo-output
