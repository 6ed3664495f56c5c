# SPDX-License-Identifier: GPL-2.0-or-later
#
# hmemd, and what reads texts and messages, as libFuzzer programs; host-backend/Makefile
# includes this file.

FUZZ_DIR := ../tests/fuzz

$(OUT)/obj/fuzz/%.o: $(FUZZ_DIR)/%.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(HMEM_CFLAGS) -Ihmemd -MMD -MP -c -o $@ $<

$(OUT)/fuzz-hmemd: $(OUT)/obj/fuzz/hmemd.o \
		$(filter-out %/main.o,$(call objs,hmemd)) $(call objs,config) \
		$(call objs,json) $(LIB)

$(OUT)/fuzz-parsers: $(OUT)/obj/fuzz/parsers.o $(call objs,config) $(call objs,json) $(LIB)

$(OUT)/fuzz-hmemd $(OUT)/fuzz-parsers:
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)
