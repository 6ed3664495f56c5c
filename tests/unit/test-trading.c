/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hmemd --prices, trade = yes, and hmemctl trades. */
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fixture.h"

#define RESIZE		(UINT64_C(1) << VIRTIO_HMEM_F_RESIZE)
#define PAGING		(UINT64_C(1) << VIRTIO_HMEM_F_PAGING)
#define MIB		(UINT64_C(1) << 20)
#define SIZE		(PEER_TIER * UINT64_C(4096))

static struct fixture *begin(const char *prices)
{
	const char *args[] = { "--prices", prices, NULL };

	return fixture_new(prices ? args : NULL);
}

static void connect_vm(struct fixture *f, struct peer *p, const char *name, uint64_t unit,
		       uint64_t features, uint32_t flags)
{
	struct hmem_link_state state = { .flags = flags, .features = features };
	struct hmem_link_hello hello;
	struct peer_msg msg;
	int fd;

	memset(p, 0, sizeof(*p));
	peer_connect(p, f->d.vm_socket);
	peer_fill_hello(&hello, name);
	hello.tiers[0].unit = hello.tiers[1].unit = unit;
	hello.trackers = HMEM_LINK_TRACKER_GPT;
	hello.track_flags = HMEM_LINK_TRACK_REST | HMEM_LINK_TRACK_ACCESSED;
	fd = peer_memfd(PEER_MAPS_BYTES, F_SEAL_SHRINK | F_SEAL_GROW);
	p->map = mmap(NULL, PEER_MAPS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(p->map != MAP_FAILED);
	peer_send_hello(p, &hello, &fd, 1);
	close(fd);
	peer_send_ranges(p);
	peer_send(p, HMEM_LINK_STATE, &state, sizeof(state));
	peer_expect(p, &msg, HMEM_LINK_WELCOME);
}

static void write_config(struct fixture *f, const char *text)
{
	FILE *config = fopen(f->d.config, "w");

	assert_non_null(config);
	assert_int_equal(fputs(text, config) < 0, 0);
	assert_int_equal(fclose(config), 0);
}

/* Waits until hmemctl trades says this about the VMs. */
static void says(struct fixture *f, const char *text)
{
	do
		ctl(f, 0, "trades");
	while (!strstr(f->ctl.out, text));
}

/* Each reason why a VM cannot trade is told, with the next step where there is one. */
static void tells_what_is_missing(void **state)
{
	const uint32_t works = HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING;
	static const struct {
		uint64_t unit, features;
		bool works;
		const char *says, *word;
	} cases[] = {
		{ 0, 0, true, "its tiers cannot be resized", "no-resize" },
		{ 4096, RESIZE, true, "install a newer virtio_hmem", "no-paging" },
		{ 4096, RESIZE | PAGING, false, "no driver is at work", "no-driver" },
		/* The fixture's VMs have the policy off. */
		{ 4096, RESIZE | PAGING, true, "use the policy auto", "unknown" },
	};
	static const struct usage nobody = {
		1, "trades nobody", "no VM 'nobody' is connected or has traded"
	};
	struct fixture *f = begin("4:1");

	(void)state;
	usage_check(f, &nobody, 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct json_object *o, *at;

		connect_vm(f, &f->web, "web", cases[i].unit, cases[i].features,
			   cases[i].works ? works : HMEM_LINK_VM_RUNNING);
		says(f, cases[i].says);
		ctl(f, 0, "explain web");
		assert_non_null(strstr(f->ctl.out, cases[i].says));
		ctl(f, 0, "-o json trades web");
		o = json_tokener_parse(f->ctl.out);
		assert_true(json_at(o, "vms.0.state", &at));
		assert_string_equal(json_object_get_string(at), cases[i].word);
		assert_int_equal(json_num_at(o, "prices.0"), 4);
		assert_int_equal(json_num_at(o, "prices.1"), 1);
		assert_int_equal(json_num_at(o, "vms.0.budget"), -1);
		assert_true(json_at(o, "trades", &at));
		assert_int_equal(json_object_array_length(at), 0);
		json_object_put(o);
		if (i + 1 == sizeof(cases) / sizeof(*cases)) {
			golden_ctl(f, "trades", "trades", NULL);
			break;
		}
		peer_close(&f->web);
		do
			ctl(f, 0, "-q list");
		while (f->ctl.out_len);
	}
	fixture_end(f);
}

/* A guest whose program needs @missing pages more than the VM has. */
struct guest {
	struct fixture *f;
	struct hmem_link_sizes sizes;
	uint64_t missing;
	/* It gives up and takes nothing. */
	bool stuck;
	/* It takes one half of the first memory that it is to get, and is stuck then. */
	bool halts;
};

/* The guest does what was requested, and reads on from swap.  Returns the cost in MiB. */
static uint64_t live(struct guest *g)
{
	struct peer *p = &g->f->web;
	struct pollfd pfd = { .fd = p->fd, .events = POLLIN };
	struct hmem_link_size *tiers = g->sizes.tiers;
	struct peer_msg msg;
	uint64_t bytes;

	while (poll(&pfd, 1, 20) == 1) {
		const struct hmem_link_resize *r = (const void *)msg.payload;

		peer_read(p, &msg);
		if (msg.hdr.type != HMEM_LINK_RESIZE)
			continue;
		assert_in_range(r->tier, 0, 1);
		assert_in_range(r->bytes, 1, SIZE);
		tiers[r->tier].requested = r->bytes;
		if (g->stuck)
			continue;
		bytes = r->bytes;
		if (g->halts && bytes > tiers[r->tier].actual) {
			bytes = (bytes + tiers[r->tier].actual) / 2 & ~UINT64_C(4095);
			g->stuck = true;
		}
		if (r->tier == 1)
			g->missing -= (bytes - tiers[1].actual) >> 12;
		else
			g->missing += (tiers[0].actual - bytes) >> 12;
		tiers[r->tier].actual = bytes;
		if (g->missing > SIZE)
			g->missing = 0;
	}
	g->sizes.paging.swapped = g->missing;
	if (g->missing) {
		g->sizes.paging.swapped_in += 20;
		g->sizes.paging.read += 20;
		g->sizes.paging.wait_ns += 20 * 300000;
	}
	peer_send(p, HMEM_LINK_SIZES, &g->sizes, sizeof(g->sizes));
	return (4 * tiers[0].actual + tiers[1].actual) / MIB;
}

/* The guest's programs use all pages of DRAM until the first burst of looks has ended. */
static void measure(struct fixture *f)
{
	struct peer_msg msg;

	peer_expect(&f->web, &msg, HMEM_LINK_TRACK);
	for (uint64_t seq = 1;; seq++) {
		memset(f->web.map + PEER_WORDS, 0xff, PEER_TIER / 8);
		peer_send_tick(&f->web, seq);
		do {
			const struct hmem_link_track *track = (const void *)msg.payload;

			peer_read(&f->web, &msg);
			if (msg.hdr.type == HMEM_LINK_TRACK &&
			    track->flags & HMEM_LINK_TRACK_REST)
				return;
		} while (msg.hdr.type != HMEM_LINK_TICK_DONE);
	}
}

/* The state of the first VM, or of the first trade; "-": there is none. */
static const char *state_at(struct fixture *f, const char *path)
{
	static char word[32];
	struct json_object *o, *at = NULL;

	ctl(f, 0, "-o json trades");
	o = json_tokener_parse(f->ctl.out);
	json_at(o, path, &at);
	snprintf(word, sizeof(word), "%s", at ? json_object_get_string(at) : "-");
	json_object_put(o);
	return word;
}

/* The VM web, whose tiers have 32 and 8 MiB, and whose pages are measured. */
static void connect_guest(struct guest *g)
{
	const char *args[] = { "--prices", "4:1", "--policy", "auto,track=gpt", NULL };

	*g = (struct guest) { .f = fixture_new(args), .missing = 4096 };
	connect_vm(g->f, &g->f->web, "web", 4096,
		   RESIZE | PAGING | UINT64_C(1) << VIRTIO_HMEM_F_ACCESS,
		   HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING);
	g->sizes.tiers[0] = (struct hmem_link_size) { .requested = SIZE, .actual = SIZE };
	g->sizes.tiers[1] = (struct hmem_link_size) { .requested = 8 * MIB, .actual = 8 * MIB };
	peer_send(&g->f->web, HMEM_LINK_SIZES, &g->sizes, sizeof(g->sizes));
	measure(g->f);
}

/* While a trade is being undone, nobody else gets the memory that the VM is to get back. */
static void an_undone_trade_keeps_its_memory(void **state)
{
	struct hmem_link_sizes small = { .tiers = {
		{ .requested = 16 * MIB, .actual = 16 * MIB },
		{ .requested = SIZE, .actual = SIZE },
	} };
	struct json_object *o;
	struct peer db;
	struct guest g;

	(void)state;
	connect_guest(&g);
	g.halts = true;
	write_config(g.f, "[node 0]\ncapacity = 48M\n[vm *]\nnodes = 0:1\n"
		     "[vm w*]\ntrade = yes\n");
	ctl(g.f, 0, "reload");
	while (strcmp(state_at(g.f, "vms.0.state"), "returns"))
		live(&g);
	assert_true(g.sizes.tiers[0].actual < SIZE && g.sizes.tiers[1].actual > 8 * MIB);
	connect_vm(g.f, &db, "db", 4096, RESIZE, HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING);
	peer_send(&db, HMEM_LINK_SIZES, &small, sizeof(small));
	do {
		ctl(g.f, 0, "-o json status db");
		o = json_tokener_parse(g.f->ctl.out);
	} while (json_num_at(o, "vms.0.tiers.0.size.actual_bytes") != 16 * MIB &&
		 json_object_put(o));
	json_object_put(o);
	usage_check(g.f, &(const struct usage) { 2, "resize db --tier 0 --size 17M",
		    "tier 0 can have 16 MiB now" }, 1);
	/* The guest gives up what it took, and gets back all that it gave. */
	g.stuck = g.halts = false;
	g.sizes.tiers[1].actual = 8 * MIB;
	while (g.sizes.tiers[0].actual < SIZE)
		live(&g);
	peer_close(&db);
	fixture_end(g.f);
}

/*
 * A VM that swaps gets NVM for DRAM when that is allowed, at the same cost.  Impossible counts
 * of a guest do no harm.
 */
static void a_vm_trades(void **state)
{
	struct guest g;
	const uint64_t budget = 4 * 32 + 8;
	struct json_object *o;
	char text[64];

	(void)state;
	connect_guest(&g);

	/* Without trade = yes, hmemd only says what would pay. */
	while (strcmp(state_at(g.f, "vms.0.state"), "dry-run"))
		assert_int_equal(live(&g), budget);
	ctl(g.f, 0, "trades");
	assert_non_null(strstr(g.f->ctl.out, "trading off: a trade would pay: set trade = yes"));
	assert_non_null(strstr(g.f->ctl.out, "of its budget of 136; reads "));
	assert_non_null(strstr(g.f->ctl.out, "of tier 0 for "));
	assert_string_equal(state_at(g.f, "trades.0.state"), "-");

	/* No trade pays while the node of the NVM has no more. */
	write_config(g.f, "[node 1]\ncapacity = 8M\n[vm w*]\nnodes = 0:1\n");
	ctl(g.f, 0, "reload");
	while (strcmp(state_at(g.f, "vms.0.state"), "no-trade"))
		live(&g);

	write_config(g.f, "[vm w*]\ntrade = yes\n");
	ctl(g.f, 0, "reload");

	/* If somebody resizes a VM whose trade is half done, the VM gets back what it gave. */
	g.stuck = true;
	while (g.sizes.tiers[0].requested == SIZE)
		live(&g);
	assert_string_equal(state_at(g.f, "vms.0.state"), "moves");
	ctl(g.f, 0, "resize web --tier 1 --size 8M");
	while (g.sizes.tiers[0].requested < SIZE)
		live(&g);
	assert_string_equal(state_at(g.f, "trades.0.state"), "left");
	g.stuck = false;

	while (strcmp(state_at(g.f, "trades.1.state"), "kept"))
		assert_in_range(live(&g), 1, budget);
	assert_int_equal(live(&g), budget);
	assert_true(g.sizes.tiers[0].actual < SIZE && g.sizes.tiers[1].actual > 8 * MIB);
	ctl(g.f, 0, "-o json trades web");
	o = json_tokener_parse(g.f->ctl.out);
	assert_int_equal(json_num_at(o, "trades.1.before_bytes.0"), SIZE);
	assert_int_equal(json_num_at(o, "trades.1.after_bytes.0"), g.sizes.tiers[0].actual);
	assert_int_equal(json_num_at(o, "trades.1.after_bytes.1"), g.sizes.tiers[1].actual);
	assert_int_equal(json_num_at(o, "trades.1.taken_bytes"),
			 4 * json_num_at(o, "trades.1.given_bytes"));
	assert_true(json_num_at(o, "trades.1.measured_ns_per_s") > 0);
	json_object_put(o);
	ctl(g.f, 0, "trades");
	snprintf(text, sizeof(text), "32>%.4g", (double)g.sizes.tiers[0].actual / MIB);
	assert_non_null(strstr(g.f->ctl.out, text));

	/* The guest lies: counts jump to the end of the range, and back. */
	for (unsigned int i = 0; i < 3; i++) {
		memset(&g.sizes.paging, i % 2 ? 0 : 0xff, sizeof(g.sizes.paging));
		g.sizes.paging.read = UINT64_MAX - i;
		for (unsigned int n = 0; n < 75; n++) {
			assert_in_range(live(&g), 1, budget);
		}
	}
	/* Whoever resizes the VM gives it another budget. */
	ctl(g.f, 0, "resize web --tier 1 --size 4M");
	while (g.sizes.tiers[1].actual != 4 * MIB)
		live(&g);
	peer_close(&g.f->web);
	do
		ctl(g.f, 0, "-q list");
	while (g.f->ctl.out_len);
	assert_string_equal(state_at(g.f, "vms.0.state"), "-");
	fixture_end(g.f);
}

static void without_prices(void **state)
{
	struct fixture *f = begin(NULL);
	struct json_object *o, *at;

	(void)state;
	connect_vm(f, &f->web, "web", 4096, RESIZE | PAGING,
		   HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING);
	says(f, "no prices are set: see prices in hmemd.conf(5)");
	ctl(f, 0, "-o json trades");
	o = json_tokener_parse(f->ctl.out);
	assert_true(json_at(o, "prices", &at));
	assert_null(at);
	json_object_put(o);
	fixture_end(f);
}

/* The prices of a VM's sections replace those of hmemd, and a reload replaces them. */
static void prices_of_a_vm(void **state)
{
	struct fixture *f = begin(NULL);
	struct peer db;

	(void)state;
	write_config(f, "[daemon]\nprices = 4:1\n[vm web]\nprices = 5:2\n");
	ctl(f, 0, "reload");
	connect_vm(f, &f->web, "web", 4096, RESIZE | PAGING,
		   HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING);
	connect_vm(f, &db, "db", 4096, RESIZE | PAGING,
		   HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING);
	says(f, "vm db: trading off: what DRAM is worth is not known yet");
	assert_string_equal(state_at(f, "prices"), "[ 4.0, 1.0 ]");
	assert_string_equal(state_at(f, "vms.0.prices"), "[ 5.0, 2.0 ]");
	assert_string_equal(state_at(f, "vms.1.prices"), "[ 4.0, 1.0 ]");
	/* Only the VM with prices can trade. */
	write_config(f, "[vm db]\nprices = 3:1\n");
	ctl(f, 0, "reload");
	says(f, "vm web: trading off: no prices are set");
	assert_string_equal(state_at(f, "prices"), "-");
	assert_string_equal(state_at(f, "vms.0.prices"), "-");
	assert_string_equal(state_at(f, "vms.1.prices"), "[ 3.0, 1.0 ]");
	assert_string_equal(state_at(f, "vms.1.state"), "unknown");
	peer_close(&db);
	fixture_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_what_is_missing),
		cmocka_unit_test(without_prices),
		cmocka_unit_test(prices_of_a_vm),
		cmocka_unit_test(a_vm_trades),
		cmocka_unit_test(an_undone_trade_keeps_its_memory),
	};

	return cmocka_run_group_tests_name("trading", tests, NULL, NULL);
}
