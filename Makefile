# The front of the project. The work is done by CMake, ninja and the scripts in tools/.
PREFIX ?= /usr/local
SIZE ?= 10
DURATION ?= 40s
KILLS ?= 300
SOLUTIONS ?= relay,telemetry,files
MINUTES ?= 15
SECONDS ?= 600
TARGET ?=
SEEDS ?= 2000

program = build/release/tidemill

.PHONY: help run test sim kill chaos bench soak fuzz build kafka install clean deps format
.NOTPARALLEL:

help:
	@echo 'make run      build, then watch the main job: 40 s of telemetry into DuckDB, and its verification'
	@echo 'make test     everything that CI checks'
	@echo 'make kill     kills the program at every commit step and at KILLS ($(KILLS)) random instants; SEED=…, SOLUTIONS=…'
	@echo 'make bench    measures everything against its baseline and target; EVENTS=100000 for a quick look'
	@echo 'make sim      the deterministic simulation: SEEDS=N of them ($(SEEDS)), or SEEDS=A-B'
	@echo 'make kafka    builds librdkafka, which solutions with Kafka load; tools/kafka up starts a broker here'
	@echo 'make build    the optimised program at $(program)'
	@echo 'make soak     MINUTES of the solutions at 10,000 events/s: memory, files and disk stay flat (15)'
	@echo 'make chaos    MINUTES of faults at random on three Kafka brokers, every event accounted for (15); SEED=…'
	@echo 'make fuzz     SECONDS of every fuzz target, or of TARGET (600)'
	@echo 'make install  program, catalogue and shell completions under PREFIX ($(PREFIX))'
	@echo 'make format   clang-format over all sources'
	@echo 'make clean    removes build/, with what was fetched into it'
	@echo
	@echo 'Each installs the Debian packages it needs (sudo, if you are not root); a second call does no work twice.'

deps:
	@tools/install-packages build
	@tools/fetch-duckdb
	@tools/fetch-librdkafka header

# ninja configures again by itself when a CMake file changes.
build/release/build.ninja:
	cmake --preset release

build: deps build/release/build.ninja
	@cmake --build --preset release --target tidemill

# Only solutions that use Kafka need it.
kafka:
	@tools/install-packages build kafka
	@tools/fetch-librdkafka

run: build
	$(program) run telemetry --size $(SIZE) --duration $(DURATION)

test: deps
	@tools/install-packages test kafka
	@tools/test

kill: build
	@tools/install-packages test
	@python3 -B tests/kill/kill.py --program $(program) --edges --steps --kills $(KILLS) --solutions $(SOLUTIONS) $(if $(SEED),--seed $(SEED))

bench: deps
	@tools/install-packages bench kafka
	cmake --preset bench
	cmake --build --preset bench --target benchmarks
	python3 bench/run.py $(if $(EVENTS),--events $(EVENTS)) $(if $(ONLY),--only $(ONLY))
# A failure prints its seed, and the command that replays it.
sim: deps
	@tools/install-packages test
	@test -e build/test/build.ninja || cmake --preset test
	@cmake --build --preset test --target tidemill_sim
	build/test/tidemill_sim --seeds $(SEEDS)

soak: build
	python3 tests/soak/soak.py --program $(program) --minutes $(MINUTES)

# Root has its workers cut off from the brokers, too.
chaos: build kafka
	@tools/install-packages test
	python3 -B tests/kafka/chaos.py --program $(program) --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

fuzz: deps
	@tools/install-packages test
	@tools/fuzz $(SECONDS) $(TARGET)

install: build
	cmake --install build/release --prefix '$(PREFIX)'

format:
	@tools/install-packages test
	git ls-files -z '*.cc' '*.h' | xargs -0 clang-format-14 -i

clean:
	rm -rf build
