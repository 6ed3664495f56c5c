/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A libFuzzer program with the functions of hmemd and hmemctl that read what others have written,
 * each called directly: the first byte of an input says which.  fuzz-hmemd reaches them as well,
 * but a hundred times as slowly.  What is accepted must also keep the promises of its checks.
 */
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "json_read.h"
#include "json_text.h"
#include "link_check.h"
#include "numbers.h"
#include "utf8.h"

#define MAP_BYTES	(UINT64_C(1) << 17)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* --- messages of the link --- */

static void check_ranges(const struct hmem_link_range *ranges, uint32_t num)
{
	struct hmem_err err;
	uint64_t end = 0;

	if (hmem_link_check_ranges(ranges, num, MAP_BYTES, 2, &err))
		return;
	for (uint32_t i = 0; i < num; i++) {
		must(ranges[i].gfn >= end && ranges[i].num && ranges[i].tier < 2);
		end = ranges[i].gfn + ranges[i].num;
		must(end > ranges[i].gfn && end <= MAP_BYTES * 8);
	}
}

static void check_results(const struct virtio_hmem_result_batch *b, uint32_t len)
{
	struct hmem_err err;

	if (hmem_link_check_results(b, len, &err))
		return;
	for (uint32_t i = 0; i < b->num_results; i++) {
		if (!hmem_link_check_result(&b->results[i], &err))
			must(hmem_reason_name(b->results[i].reason) &&
			     b->results[i].gfn < HMEM_MAX_GFN);
	}
}

static void check_hello(const struct hmem_link_hello *hello)
{
	struct hmem_err err;

	if (hmem_link_check_hello(hello, &err))
		return;
	must(memchr(hello->vm, 0, sizeof(hello->vm)) &&
	     memchr(hello->device, 0, sizeof(hello->device)));
	must(hello->num_tiers && hello->num_tiers <= HMEM_LINK_MAX_TIERS);
}

/* The payload is as long as the header's check allows. */
static void check_payload(uint32_t type, const void *payload, uint32_t len)
{
	static const struct hmem_link_tier tiers[HMEM_LINK_MAX_TIERS] = {
		{ .size = 1 << 30, .unit = 4096 }, { .size = 1 << 30, .unit = 1 << 21 },
	};
	struct hmem_err err;

	switch (type) {
	case HMEM_LINK_HELLO:
		check_hello(payload);
		break;
	case HMEM_LINK_RANGES:
		check_ranges(payload, len / sizeof(struct hmem_link_range));
		break;
	case HMEM_LINK_STATE:
		hmem_link_check_state(payload, &err);
		break;
	case HMEM_LINK_RESULTS:
		check_results(payload, len);
		break;
	case HMEM_LINK_REJECT:
		hmem_link_check_reject(payload, &err);
		break;
	case HMEM_LINK_SIZES:
		hmem_link_check_sizes(payload, tiers, 2, &err);
		break;
	case HMEM_LINK_ACCOUNT:
		hmem_link_check_account(payload, 2, UINT64_MAX, &err);
		break;
	case HMEM_LINK_TICK:
		hmem_link_check_tick(payload, &err);
		break;
	}
}

static void read_message(const uint8_t *data, size_t len)
{
	struct hmem_link_header hdr = { 0 };
	struct hmem_err err;
	void *payload;

	memcpy(&hdr, data, len < 1 ? len : 1);
	data += len < 1 ? len : 1;
	len -= len < 1 ? len : 1;
	/* As long as the input, or as the type demands: the fuzzer seldom finds that length. */
	hdr.len = len & ~7u;
	for (uint32_t want = 8; hmem_link_check_header(&hdr, &err) && want <= 2048; want += 8)
		hdr.len = want;
	if (hmem_link_check_header(&hdr, &err))
		return;
	payload = calloc(1, hdr.len ? hdr.len : 1);
	memcpy(payload, data, len < hdr.len ? len : hdr.len);
	check_payload(hdr.type, payload, hdr.len);
	free(payload);
}

/* --- texts --- */

/* What is read and written is read again, to the same. */
static void read_json(const char *text, size_t len)
{
	struct hmem_err err;
	json *o = json_read(text, len, &err), *again;
	char *first, *second;
	size_t first_len, second_len;

	if (!o) {
		must(strlen(err.msg) > 0);
		return;
	}
	first = json_text(o, &first_len);
	must(first);
	again = json_read(first, first_len, &err);
	must(again);
	second = json_text(again, &second_len);
	must(second && first_len == second_len && !memcmp(first, second, first_len));
	free(first);
	free(second);
	json_object_put(o);
	json_object_put(again);
}

static void read_config(const char *text, size_t len)
{
	static const uint8_t uuid[16] = { 1 };
	struct hmem_vm_config vm;
	struct hmem_config c;
	struct hmem_err err;

	hmem_config_init(&c, UINT64_C(64) << 30);
	if (!hmem_config_parse(&c, "hmemd.conf", text, len, &err))
		hmem_config_vm(&c, "web", uuid, &vm);
	hmem_config_free(&c);
}

static void read_number(const char *text, size_t len)
{
	struct hmem_err err;
	char out[64];
	uint64_t num;

	if (!hmem_parse_size(text, len, &num, &err))
		hmem_format_size(num, out, sizeof(out));
	hmem_parse_num(text, len, &num, &err);
}

static void write_utf8(const char *text, size_t len)
{
	char *in = strndup(text, len), out[64], again[64];

	must(in);
	hmem_utf8(in, out, sizeof(out));
	hmem_utf8(out, again, sizeof(again));
	must(!strcmp(out, again));
	free(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static void (*const readers[])(const char *text, size_t len) = {
		read_json, read_config, read_number, write_utf8,
	};
	uint8_t which;
	char *text;

	if (!len)
		return 0;
	which = *data % 8;
	data++;
	len--;
	if (which >= sizeof(readers) / sizeof(readers[0])) {
		read_message(data, len);
		return 0;
	}
	/* A copy of its own, so that the sanitizer notices a read behind its end. */
	text = malloc(len ? len : 1);
	memcpy(text, data, len);
	readers[which](text, len);
	free(text);
	return 0;
}
