# A front door to meson and ninja: each target first installs the Debian packages it misses, so that
# each works as the only command after a clone. `make help` lists them.

BUILD   ?= build
PREFIX  ?= /usr/local
export MENURA_CACHE

# make's built-in CC is "cc", which a Debian machine may lack while gcc is there: only a CC given by
# the user counts. A build directory keeps the compiler with which it was set up.
ifneq ($(filter environment command%,$(origin CC)),)
compiler := CC="$(CC)"
endif
menura = $(BUILD)/menura

.PHONY: all run check bench install sanitize fuzz format clean help packages-%

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja: | packages-build
	@$(compiler) meson setup $(BUILD) --prefix=$(PREFIX) $(MESON_OPTIONS)

packages-%:
	@scripts/ensure-packages $(subst -, ,$*)

help:
	@echo 'make            build $(BUILD)/menura and $(BUILD)/menura-user'
	@echo 'make run        a tour: real arm64 programs from Debian, then Linux on a whole PC'
	@echo 'make check      all tests; the last line is "N passed, N failed"'
	@echo 'make bench      speed against native and QEMU (BENCH="--quick integer" to choose)'
	@echo 'make sanitize   the tests under ASan+UBSan and under TSan'
	@echo 'make fuzz       each fuzz target for FUZZ_SECONDS (60) seconds'
	@echo 'make install    into PREFIX ($(PREFIX)); DESTDIR is respected'
	@echo 'make format     clang-format on all sources'
	@echo 'make clean      remove the build directories'
	@echo 'CC=clang make BUILD=build-clang   another compiler, another directory'

run: | packages-build-fetch
	@$(MAKE) --no-print-directory all
	@scripts/tour $(menura)
	@scripts/boot-linux $(menura)

check: | packages-build-fetch-cross-check
	@scripts/check $(CHECK)

sanitize: | packages-build-fetch-cross-check
	@scripts/check --sanitize

fuzz: | packages-build-check
	@scripts/fuzz --seconds $(or $(FUZZ_SECONDS),60)

bench: | packages-build-fetch-cross-bench
	@$(MAKE) --no-print-directory all
	@bench/run --menura $(BUILD)/menura-user $(BENCH)

# The prefix of now counts, not that with which the build directory was set up.
install: | packages-build
	@test ! -f $(BUILD)/build.ninja || meson configure $(BUILD) -Dprefix=$(PREFIX)
	@$(MAKE) --no-print-directory all
	@meson install -C $(BUILD) --no-rebuild

format: | packages-format
	@git ls-files '*.c' '*.h' | xargs clang-format-14 -i

clean:
	rm -rf $(BUILD) build-check-*
