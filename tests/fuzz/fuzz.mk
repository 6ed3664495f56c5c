# SPDX-License-Identifier: GPL-2.0-or-later
#
# hmemd as a libFuzzer program; host-backend/Makefile includes this file.

FUZZ_DIR := ../tests/fuzz

$(OUT)/obj/fuzz/hmemd.o: $(FUZZ_DIR)/hmemd.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(HMEM_CFLAGS) -Ihmemd -MMD -MP -c -o $@ $<

$(OUT)/fuzz-hmemd: $(OUT)/obj/fuzz/hmemd.o \
		$(filter-out %/main.o,$(call objs,hmemd)) $(call objs,config) \
		$(call objs,json) $(LIB)
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)
