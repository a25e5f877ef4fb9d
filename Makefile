# maasgate: `make help` lists the targets, `make demo` is the first thing to try.
#
# Everything goes to build/KIND and nothing has to be installed by hand: the stamps in build/
# call tools/bootstrap.sh (Debian packages) and tools/deps.sh (libmicrohttpd and SQLite) when needed.
#
#   KIND=release|asan|ubsan|tsan|clang    which build           WERROR=1  warnings are errors
#   PORT=                                 for demo and run      V=1       show whole commands
#   FUZZ_SECONDS=10  FUZZ=NAME            for fuzz              SOAK_SECONDS=600  for soak

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
ifeq ($(MAKELEVEL)$(filter -j% --jobserver%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif

KIND         ?= release
WERROR       ?=
V            ?=
FUZZ_SECONDS ?= 10
FUZZ         ?= *
SOAK_SECONDS ?= 600
PREFIX       ?= /usr/local
SYSCONFDIR   ?= /etc
UNITDIR      ?= $(PREFIX)/lib/systemd/system
DATADIR      ?= $(PREFIX)/share/maasgate
# Where Debian's python3 looks: one folder of all versions under /usr, one of each under /usr/local.
PYTHONDIR    ?= $(PREFIX)/lib/python$(if $(filter /usr,$(PREFIX)),3,$(shell /usr/bin/python3 -c \
                'import sys; print("%d.%d" % sys.version_info[:2])'))/dist-packages
B            := build/$(KIND)
Q            := $(if $(V),,@)
say           = $(if $(V),@:,@printf '  %-4s %-8s %s\n' '$(1)' '$(KIND)' '$(2)')

# --- Flags --------------------------------------------------------------------------------------

COMPILER := $(if $(filter clang fuzz,$(KIND)),clang,gcc)
ifeq ($(origin CC),default)
CC := $(COMPILER)
endif

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wformat=2 -Wstrict-prototypes \
            -Wmissing-prototypes -Wvla -Wimplicit-fallthrough -Wpointer-arith -Wcast-qual -Wundef \
            $(if $(filter 1,$(WERROR)),-Werror)
HARDENING := -fstack-protector-strong -fstack-clash-protection \
             $(if $(filter x86_64 i%86,$(shell uname -m)),-fcf-protection)
FORTIFY := -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
SANITIZED := -O1 -fno-omit-frame-pointer -fno-optimize-sibling-calls

# gcc's -Wtsan says only that it does not model fences; a fence in a ring is still tested by flow.
CFLAGS_release := $(FORTIFY)
CFLAGS_clang   := $(FORTIFY) -Wno-unused-command-line-argument
CFLAGS_asan    := $(SANITIZED) -fsanitize=address -DARENA_MALLOC
CFLAGS_ubsan   := $(SANITIZED) -fsanitize=undefined -fno-sanitize-recover=all
CFLAGS_tsan    := $(SANITIZED) -fsanitize=thread -Wno-tsan
CFLAGS_fuzz    := $(SANITIZED) -fsanitize=fuzzer-no-link,address,undefined \
                  -fno-sanitize-recover=undefined -DARENA_MALLOC
$(if $(CFLAGS_$(KIND)),,$(error KIND=$(KIND) is not one of release asan ubsan tsan clang))

# Asserts stay on everywhere: NDEBUG is never defined.
CPPFLAGS := -D_GNU_SOURCE -I. -I$(B) -I$(B)/gen -DMAAS_DATADIR='"$(DATADIR)"'
CFLAGS   := -std=c17 -g $(CFLAGS_$(KIND)) $(HARDENING) $(WARNINGS)
# libmicrohttpd's own HTML error pages are remade as JSON: see gateway/reply.c.
LDFLAGS  := -pie -Wl,-z,relro,-z,now,-z,noexecstack \
            -Wl,--wrap=MHD_create_response_from_buffer_static \
            $(filter -fsanitize=%,$(subst fuzzer-no-link,fuzzer,$(CFLAGS_$(KIND))))
COMPILE   = $(CC) $(CPPFLAGS) $(CFLAGS) @build/deps/cflags -MMD -MP
LINK      = $(CC) $(CFLAGS) $(LDFLAGS)
LIBS      = @build/deps/ldlibs
CHECKLIBS = $$(pkg-config --libs check) -lsubunit -lrt -lm

# --- Files: found by folder, so adding one needs no edit here -------------------------------------

objects = $(patsubst %.c,$(B)/obj/%.o,$(1))
suites  = $(patsubst tests/$(1)/test_%.c,%,$(sort $(wildcard tests/$(1)/test_*.c)))
program = $(if $(wildcard $(1)),$(B)/$(2))

# Link order is the include order backwards, so a room that reaches upwards does not even link.
ROOMS    := gateway backends billing auth conf base
room_src  = $(filter-out %/main.c,$(wildcard $(1)/*.c))
WORKER   := $(wildcard backends/worker/*.c)
REFWORKER := $(wildcard backends/refworker/*.c)
CLI      := $(wildcard cli/*.c) $(wildcard backends/workertest/*.c)
HELPERS  := $(wildcard tests/helpers/*.c)
UNIT     := $(wildcard tests/unit/*.c)
TORTURE  := $(wildcard tests/torture/*.c)
FUZZERS  := $(sort $(wildcard tests/fuzz/fuzz_*.c))
SIM      := $(wildcard tests/sim/*.c)
BENCHES  := $(wildcard bench/*.c)
ORACLE   := $(wildcard tests/oracle/*.c)
# One program a folder: tests/faults/NAME/*.c is fault-NAME.
FAULTS   := $(sort $(patsubst tests/faults/%/main.c,%,$(wildcard tests/faults/*/main.c)))
SCHEMA   := $(sort $(wildcard billing/schema/*.sql))

ARCHIVES := $(ROOMS:%=$(B)/lib%.a)
SDK      := $(if $(WORKER),$(B)/libmaasworker.a $(if $(filter release clang,$(KIND)),$(B)/libmaasworker.so))
PROGRAMS := $(call program,gateway/main.c,maasgated) $(call program,cli/main.c,maasgate) \
            $(call program,backends/refworker/main.c,maasgate-refworker)
TESTS    := $(call program,tests/unit/main.c,unit) $(call program,tests/oracle/rate_main.c,rate_oracle) \
            $(call program,tests/oracle/ledger_main.c,ledger_oracle) \
            $(call program,tests/oracle/bpe_main.c,bpe_oracle)
TORTURES := $(call program,tests/torture/main.c,torture)
MUTATE   := $(wildcard tests/mutate/*.c)
GEN      := $(B)/gen/schema.h $(B)/gen/unit_suites.h $(B)/gen/torture_suites.h
SOURCES  := $(foreach r,$(ROOMS),$(wildcard $(r)/*.c)) $(WORKER) $(REFWORKER) $(CLI) $(HELPERS) \
            $(UNIT) $(TORTURE) $(SIM) $(MUTATE) $(FUZZERS) $(BENCHES) $(ORACLE) $(wildcard tests/faults/*/*.c)

READY    := build/deps/.stamp $(if $(filter clang,$(COMPILER)),build/.bootstrap-test)

.PHONY: all deps help demo run check unit flow engines lint format asan ubsan tsan valgrind torture fuzz fuzz-run \
        soak canaries bench docs ci install clean distclean build-tests build-bench bootstrap-test FORCE

all: $(READY) $(GEN) $(ARCHIVES) $(SDK) $(addsuffix .0,$(filter %.so,$(SDK))) $(PROGRAMS) ## build everything into build/KIND (the default)

deps: build/deps/.stamp ## libmicrohttpd and SQLite into build/deps, and nothing else

help: ## this list
	@awk -F ':.*## ' '/^[a-z][a-z -]*:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile
	@sed -n '/^#   [A-Z]/s/^# //p' Makefile

# --- What the build stands on ---------------------------------------------------------------------

build/.bootstrap-%: tools/bootstrap.sh
	@tools/bootstrap.sh $*
	@mkdir -p build && touch $@

build/deps/.stamp: tools/deps.sh build/.bootstrap-build
	@env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS tools/deps.sh

# Rewritten only when the flags or the set of source files change; what depends on them is remade.
$(B)/gen/flags: FORCE
	$(Q)mkdir -p $(@D)
	$(Q)echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS)' | cmp -s - $@ || \
	  echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS)' >$@
$(B)/gen/sources: FORCE
	$(Q)mkdir -p $(@D)
	$(Q)echo '$(SOURCES) $(SCHEMA)' | cmp -s - $@ || echo '$(SOURCES) $(SCHEMA)' >$@

# The schema files, each whole as one C string, in the order of their numbers.
$(B)/gen/schema.h: $(SCHEMA) $(B)/gen/sources Makefile
	$(call say,GEN,$@)
	$(Q){ echo '/* Made from billing/schema/ by make. */'; \
	  echo 'static const char *const schema_sql[] = {'; \
	  for f in $(SCHEMA); do echo "    /* $$f */"; \
	    sed -e 's/\\/\\\\/g; s/"/\\"/g; s/?/\\?/g; s/^/    "/; s/$$/\\n"/' "$$f"; echo '    ,'; done; \
	  $(if $(SCHEMA),,echo '    ""';) echo '};'; } >$@

# One X(name) for each tests/FOLDER/test_name.c, which defines `Suite *name_suite(void)`.
$(B)/gen/%_suites.h: $(B)/gen/sources Makefile
	$(call say,GEN,$@)
	$(Q){ echo '/* Made from the file names in tests/$*/ by make. */'; echo '#include <check.h>'; \
	  echo '#define $(shell echo $* | tr a-z A-Z)_SUITES(X) $(patsubst %,X(%),$(call suites,$*))'; \
	  for s in $(call suites,$*); do echo "Suite *$${s}_suite(void);"; done; } >$@

# --- Compile and link -----------------------------------------------------------------------------

$(B)/obj/%.o: %.c $(B)/gen/flags $(READY) | $(GEN)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(COMPILE) -fPIE -c $< -o $@

# The worker SDK is loaded by strangers: position independent, and it shows no symbol of ours.
$(B)/pic/%.o: %.c $(B)/gen/flags $(READY) | $(GEN)
	$(Q)mkdir -p $(@D)
	$(Q)$(COMPILE) -fPIC $(if $(filter base/%,$<),-fvisibility=hidden) -c $< -o $@

define archive
$(B)/lib$(1).a: $(call objects,$(2)) $(B)/gen/sources | $(READY)
	$$(call say,AR,$$@)
	$(Q)rm -f $$@ && ar rcs $$@ $$(filter %.o,$$^)
endef
$(foreach r,$(ROOMS),$(eval $(call archive,$(r),$(call room_src,$(r)))))
$(eval $(call archive,maasworker,$(WORKER)))
$(eval $(call archive,helpers,$(HELPERS)))

$(B)/maasgated: $(call objects,gateway/main.c) $(ARCHIVES)
	$(call say,LD,$@)
	$(Q)$(LINK) $^ $(LIBS) -o $@

$(B)/maasgate: $(call objects,$(CLI)) $(B)/libbackends.a $(B)/libconf.a $(B)/libbase.a
	$(call say,LD,$@)
	$(Q)$(LINK) $^ $(LIBS) -o $@

$(B)/maasgate-refworker: $(call objects,$(REFWORKER)) $(SDK:%.so=) $(B)/libbase.a
	$(call say,LD,$@)
	$(Q)$(LINK) $(filter-out %.so,$^) $(LIBS) -lz -lm -o $@

# As its first lines say, but with the library of this build.
$(B)/worker-echo: examples/worker-echo.c $(SDK:%.so=) $(B)/libbase.a
	$(call say,LD,$@)
	$(Q)$(LINK) -std=gnu17 -fPIE -Ibackends/worker $(filter-out %.so,$^) $(LIBS) -o $@

# One relocatable object of the SDK and just those parts of base that it uses, made private.
$(B)/pic/libbase.a: $(patsubst %.c,$(B)/pic/%.o,$(call room_src,base)) $(B)/gen/sources
	$(Q)rm -f $@ && ar rcs $@ $(filter %.o,$^)
$(B)/sdk/maasworker.o: $(WORKER:%.c=$(B)/pic/%.o) $(B)/pic/libbase.a
	$(Q)mkdir -p $(@D) && ld -r -o $@ $^ && objcopy --localize-hidden $@
$(B)/sdk/libmaasworker.a: $(B)/sdk/maasworker.o
	$(Q)rm -f $@ && ar rcs $@ $^
$(B)/libmaasworker.so: $(B)/sdk/maasworker.o
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) -shared -Wl,-z,relro,-z,now,-z,noexecstack,-z,defs -Wl,-soname,libmaasworker.so.0 $^ \
	  $(LIBS) -o $@
# The name that programs linked with it ask for.
$(B)/libmaasworker.so.0: $(B)/libmaasworker.so
	$(Q)ln -sf $(<F) $@

TEST_PARTS := $(B)/libhelpers.a $(SDK:%.so=) $(ARCHIVES)
$(B)/unit: $(call objects,$(UNIT) $(HELPERS)) $(TEST_PARTS) | build/.bootstrap-test
	$(call say,LD,$@)
	$(Q)$(LINK) $(filter-out %helpers.a %.so,$^) $(CHECKLIBS) $(LIBS) -o $@

# Behind a pipe: the evaluator of prices for tests/oracle/rate.py, the ledger for year.py, the encoder of
# tokens for test_bpe_oracle.py.
oracle = $(call objects,$(wildcard tests/oracle/$(1)_*.c))
$(B)/rate_oracle: $(call oracle,rate) $(TEST_PARTS)
$(B)/ledger_oracle: $(call oracle,ledger) $(TEST_PARTS)
$(B)/bpe_oracle: $(call oracle,bpe) $(TEST_PARTS)
$(B)/rate_oracle $(B)/ledger_oracle $(B)/bpe_oracle:
	$(call say,LD,$@)
	$(Q)$(LINK) $(filter-out %helpers.a %.so,$^) $(LIBS) -o $@

# The nth allocation of what is linked statically fails; the system's shared libraries are not touched.
WRAP := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup
$(B)/torture: $(call objects,$(TORTURE) $(HELPERS)) $(TEST_PARTS) | build/.bootstrap-test
	$(call say,LD,$@)
	$(Q)$(LINK) $(WRAP) $(filter-out %helpers.a %.so,$^) $(CHECKLIBS) $(LIBS) -o $@

$(B)/sim: $(call objects,$(SIM)) $(TEST_PARTS) | build/.bootstrap-test
	$(call say,LD,$@)
	$(Q)$(LINK) $(filter-out %helpers.a %.so,$^) $(LIBS) -o $@

$(B)/mutate: $(call objects,$(MUTATE)) $(TEST_PARTS)
	$(call say,LD,$@)
	$(Q)$(LINK) $(filter-out %helpers.a %.so,$^) $(LIBS) -o $@

$(B)/fuzz_%: $(B)/obj/tests/fuzz/fuzz_%.o $(TEST_PARTS)
	$(call say,LD,$@)
	$(Q)$(LINK) $(filter-out %.so,$^) $(LIBS) -lz -o $@

$(B)/bench_%: $(B)/obj/bench/%.o $(TEST_PARTS)
	$(call say,LD,$@)
	$(Q)$(LINK) $(filter-out %helpers.a %.so,$^) $(LIBS) -lz -o $@

define fault
$(B)/fault-$(1): $(call objects,$(wildcard tests/faults/$(1)/*.c)) $(TEST_PARTS)
	$$(call say,LD,$$@)
	$$(Q)$$(LINK) $$(filter-out %helpers.a %.so,$$^) $$(LIBS) -o $$@
endef
$(foreach f,$(FAULTS),$(eval $(call fault,$(f))))

# For LD_PRELOAD: a disk that is full, a clock that is wrong.
$(B)/libfault.so: tests/faults/preload/preload.c $(B)/gen/flags
	$(call say,LD,$@)
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -O2 -g $(WARNINGS) -fPIC -shared $< -ldl -o $@

$(call objects,$(UNIT) $(TORTURE) $(HELPERS)): | build/.bootstrap-test

build-tests: all $(TESTS) $(B)/worker-echo $(FAULTS:%=$(B)/fault-%) $(B)/libfault.so $(B)/bench_load
build-bench: all $(BENCHES:bench/%.c=$(B)/bench_%)
bootstrap-test: build/.bootstrap-test
# --- Try it ---------------------------------------------------------------------------------------

export KIND PORT
demo: all ## set up, ask every kind of model, show the usage and an invoice
	@tools/demo.sh

run: all ## the same set-up, then stay in the foreground (PORT= chooses the port)
	@exec tools/demo.sh run

# --- Prove it -------------------------------------------------------------------------------------

check: build-tests ## all tests on the release build; the last line is `N passed, N failed`
	@tests/run.sh

unit: build-tests ## the unit tests alone
	@$(RUNNER) $(B)/unit

flow: build-tests ## the flow tests alone: the real daemon, real workers
	@tests/run.sh --flow

engines: build-tests ## real engines behind the gateway: llama.cpp, a sentence-embedding model, the examples
	@tests/run.sh --engines

asan ubsan tsan: ## the unit tests and the short flow tests under that sanitizer
	@$(MAKE) --no-print-directory KIND=$@ build-tests
	@tests/run.sh --kind $@ --short

valgrind: build-tests ## the unit tests under memcheck
	@CK_FORK=no CK_TIMEOUT_MULTIPLIER=20 valgrind -q --leak-check=full --error-exitcode=9 $(B)/unit

# SHORT=1: what fits a CI run.  The whole of it takes about an hour and a half.
torture: build-tests $(TORTURES) $(B)/sim ## failing allocations, power cuts, failing disks, kill -9 (SHORT=1)
	@$(B)/torture
	@rm -rf $(B)/stores && mkdir -p $(B)/stores
	@MAASGATE_STORES=$(B)/stores $(B)/sim power $(if $(SHORT),1000,10000)
	@MAASGATE_STORES=$(B)/stores $(B)/sim fail $(if $(SHORT),9,1)
	@python3 tests/oracle/invariants.py --all $(B)/stores && rm -r $(B)/stores
	@$(B)/sim flip $(if $(SHORT),4,1)
	$(if $(SHORT),,@MAASGATE_KILL_ROUNDS=2000 MAASGATE_HOLDS=1000 tests/run.sh --flow test_kill9.py test_exactly_k.py test_kill_points.py -s)

fuzz: ## every fuzz target for FUZZ_SECONDS (FUZZ=NAME for one)
	@$(MAKE) --no-print-directory KIND=fuzz fuzz-run

# New inputs go to build/fuzz/corpus; tests/fuzz/corpus is read and never written.
fuzz-run: $(FUZZERS:tests/fuzz/%.c=$(B)/%)
	@for t in $(B)/fuzz_$(FUZZ); do [ -x "$$t" ] || continue; n=$${t##*/fuzz_}; \
	  seeds=tests/fuzz/corpus/$$n; dict=tests/fuzz/$$n.dict; mkdir -p $(B)/corpus/$$n; \
	  "$$t" -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -verbosity=0 \
	    -print_final_stats=0 -artifact_prefix=$(B)/$$n- $$([ ! -f $$dict ] || echo -dict=$$dict) \
	    $(B)/corpus/$$n $$([ ! -d $$seeds ] || echo $$seeds) >$(B)/$$n.log 2>&1 </dev/null \
	    || { tail -n 60 $(B)/$$n.log; echo "fuzz: $$n failed; the input is beside $(B)/$$n.log"; exit 1; }; \
	  echo "fuzz: $$n ok"; done

MUTATIONS ?= 1000000
.PHONY: mutate mutate-run models
mutate: ## MUTATIONS of rings and frames, under ASan and under UBSan
	@$(MAKE) --no-print-directory KIND=asan mutate-run
	@$(MAKE) --no-print-directory KIND=ubsan mutate-run

mutate-run: $(B)/mutate
	@$(B)/mutate $(MUTATIONS)

models: build/.bootstrap-test ## the ring, the slots and the ledger as models, whole; their mutants must fail
	@tests/models/run.sh

soak: build-tests ## SOAK_SECONDS of load; memory and file descriptors must stay flat
	@tests/run.sh --soak $(SOAK_SECONDS)

CANARIES ?= 100000
canaries: build-tests ## CANARIES clients leave at random; not a byte of one may reach another (two minutes)
	@MAASGATE_CANARIES=$(CANARIES) tests/run.sh --flow test_canaries.py -s

bench: build-bench build/.bootstrap-bench ## measure against nginx, as ratios
	@bench/run.sh

lint: build/.bootstrap-test ## layers, doors, format, banned calls, sizes, shell scripts
	@tools/lint.sh

FILES ?= '*.c' '*.h'
format: build/.bootstrap-test ## let clang-format rewrite the C files (FILES='auth/*' for some)
	@git ls-files -co --exclude-standard $(FILES) | grep '\.[ch]$$' | xargs -r clang-format -i

docs: all ## write the pages that come from tables: docs/settings.md, docs/errors.md
	$(Q)$(B)/maasgated --help-config --markdown >$(B)/settings.md && cp $(B)/settings.md docs/settings.md
	$(Q)$(B)/maasgated --help-errors --markdown >$(B)/errors.md && cp $(B)/errors.md docs/errors.md

ci: ## everything a change has to pass
	@tools/ci.sh

# --- Install and clean ----------------------------------------------------------------------------

D = $(DESTDIR)
install: all $(if $(WORKER),$(B)/sdk/libmaasworker.a) ## into DESTDIR with PREFIX and SYSCONFDIR
	install -d $(D)$(PREFIX)/bin $(D)$(PREFIX)/lib $(D)$(PREFIX)/include $(D)$(UNITDIR) \
	  $(D)$(SYSCONFDIR)/maasgate $(D)$(PREFIX)/share/man/man1 $(D)$(PREFIX)/share/man/man8
	install -m 755 $(PROGRAMS) $(D)$(PREFIX)/bin/
	install -m 644 $(B)/sdk/libmaasworker.a $(D)$(PREFIX)/lib/
	install -m 755 $(B)/libmaasworker.so $(D)$(PREFIX)/lib/libmaasworker.so.0
	ln -sf libmaasworker.so.0 $(D)$(PREFIX)/lib/libmaasworker.so
	install -m 644 $(wildcard backends/worker/maasworker*.h) $(D)$(PREFIX)/include/
	install -d $(D)$(PYTHONDIR)/maasworker
	install -m 644 $(wildcard bindings/python/maasworker/*.py) bindings/python/maasworker/py.typed $(D)$(PYTHONDIR)/maasworker/
	for u in $(wildcard systemd/*.service systemd/*.socket systemd/*.timer); do \
	  sed 's|/usr/bin/maasgate|$(PREFIX)/bin/maasgate|' $$u >$(D)$(UNITDIR)/$${u##*/}; done
	for m in $(wildcard docs/man/*.[18]); do \
	  install -m 644 $$m $(D)$(PREFIX)/share/man/man$${m##*.}/; done
	install -m 644 conf/maasgate.yaml.example $(D)$(SYSCONFDIR)/maasgate/
	install -d $(D)$(DATADIR)/corpus
	install -m 644 backends/refworker/corpus/*.txt $(D)$(DATADIR)/corpus/

clean: ## remove what was built, but not build/deps
	rm -rf $(filter-out build/deps%,$(wildcard build/*))

distclean: ## remove all of build/
	rm -rf build

-include $(patsubst %.o,%.d,$(call objects,$(SOURCES))) $(patsubst %.c,$(B)/pic/%.d,$(WORKER) $(wildcard base/*.c))
