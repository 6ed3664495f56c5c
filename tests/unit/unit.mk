# SPDX-License-Identifier: GPL-2.0-or-later
#
# The unit tests and benchmarks; host-backend/Makefile includes this file.  Each
# test-*.c and bench-*.c is a program of its own.

HELPERS := $(patsubst %,$(OUT)/obj/unit/%.o,fixture hosts loads model peer process \
	qemus run)
UNIT := $(patsubst $(UNIT_DIR)/%.c,$(OUT)/%,$(sort $(wildcard $(UNIT_DIR)/test-*.c)))
BENCH := $(patsubst $(UNIT_DIR)/%.c,$(OUT)/%,$(sort $(wildcard $(UNIT_DIR)/bench-*.c)))

$(OUT)/obj/unit/%.o: $(UNIT_DIR)/%.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(HMEM_CFLAGS) -MMD -MP -c -o $@ $<

$(UNIT) $(BENCH): $(OUT)/%: $(OUT)/obj/unit/%.o $(HELPERS) $(LIB)
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka -ljson-c -lm

# Parts of hmemd that can be tested alone.
$(OUT)/obj/unit/test-host.o: CPPFLAGS += -Ihmemd
$(OUT)/test-host: $(addprefix $(OUT)/obj/hmemd/,damon.o idle.o log.o loop.o requests.o \
	worker.o)
$(OUT)/test-host: LDLIBS += -luring -Wl,--wrap=write,--wrap=usleep
$(OUT)/obj/unit/test-loop.o: CPPFLAGS += -Ihmemd
$(OUT)/test-loop: $(addprefix $(OUT)/obj/hmemd/,log.o loop.o requests.o worker.o)
$(OUT)/test-loop: LDLIBS += -luring
$(OUT)/test-loop: LDLIBS += -Wl,--wrap=io_uring_submit,--wrap=io_uring_submit_and_wait
$(OUT)/test-loop: LDLIBS += -Wl,--wrap=pwrite

$(OUT)/test-json: $(patsubst %,$(OUT)/obj/json/%.o,json_read json_text jsonio)
# After these objects, which need it.
$(OUT)/test-json: LDLIBS += $(LIB) -Wl,--wrap=malloc
$(OUT)/test-json: LDLIBS += $(foreach f,new_object new_array_ext new_uint64 new_int64 new_double \
	new_boolean new_string object_add array_add,-Wl,--wrap=json_object_$(f))

# What test-faults loads into an hmemd without sanitizers.
$(OUT)/preload-faults.so: $(UNIT_DIR)/preload-faults.c $(UNIT_DIR)/preload-faults.h
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) -Wall -Wextra $(WERROR) -fPIC -shared -o $@ $<
$(OUT)/test-faults: | $(OUT)/preload-faults.so

$(OUT)/obj/unit/test-restart.o: CPPFLAGS += -Ihmemd
$(OUT)/test-restart: $(addprefix $(OUT)/obj/hmemd/,closer.o learned_dir.o)
$(OUT)/test-restart: LDLIBS += -Wl,--wrap=unlinkat

$(OUT)/obj/unit/test-quota.o: CPPFLAGS += -Ihmemd
$(OUT)/test-quota: $(OUT)/obj/hmemd/quota.o

.SECONDARY: $(patsubst $(OUT)/%,$(OUT)/obj/unit/%.o,$(UNIT) $(BENCH))

ifdef SANITIZE
check: $(UNIT) $(PROGRAMS)
	@for t in $(UNIT); do \
		echo "# $${t##*/}"; \
		HMEMD=$(OUT)/hmemd HMEMCTL=$(OUT)/hmemctl \
		GOLDEN=$(UNIT_DIR)/golden.txt CMOCKA_MESSAGE_OUTPUT=TAP $$t || exit 1; \
	done

# Run this after a change of hmemctl's output, and check the difference before a commit.
golden:
	echo '# SPDX-License-Identifier: GPL-2.0-or-later' > $(UNIT_DIR)/golden.txt
	$(MAKE) SANITIZE=1 OUT=$(OUT) GOLDEN_UPDATE=1 check
endif
