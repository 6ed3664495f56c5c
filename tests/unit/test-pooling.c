/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hmemd --pool and hmemctl pool. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fixture.h"

#define SIZE		(PEER_TIER * UINT64_C(4096))
#define MIB		(UINT64_C(1) << 20)

/* Connects a device whose tiers can be resized if @unit is not 0. */
static void connect_tracked(struct fixture *f, struct peer *p, const char *name, uint64_t unit,
			    bool lockstep)
{
	struct hmem_link_state state = {
		.flags = HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING,
		.features = unit ? UINT64_C(1) << VIRTIO_HMEM_F_RESIZE : 0,
	};
	struct hmem_link_hello hello;
	struct peer_msg msg;
	int fd;

	peer_connect(p, f->d.vm_socket);
	peer_fill_hello(&hello, name);
	hello.tiers[0].unit = hello.tiers[1].unit = unit;
	hello.tiers[0].min = unit ? 4 * MIB : 0;
	if (lockstep) {
		hello.trackers = HMEM_LINK_TRACKER_DIRTY | HMEM_LINK_TRACKER_SIM;
		hello.track_flags = HMEM_LINK_TRACK_LOCKSTEP;
	}
	fd = peer_memfd(PEER_MAPS_BYTES, F_SEAL_SHRINK);
	peer_send_hello(p, &hello, &fd, 1);
	close(fd);
	peer_send_ranges(p);
	peer_send(p, HMEM_LINK_STATE, &state, sizeof(state));
	peer_expect(p, &msg, HMEM_LINK_WELCOME);
}

static void connect_vm(struct fixture *f, struct peer *p, const char *name, uint64_t unit)
{
	connect_tracked(f, p, name, unit, false);
}

static void begin(struct fixture **f, const char *pool)
{
	const char *args[] = { "--pool", pool, NULL };

	*f = fixture_new(pool ? args : NULL);
}

static void send_sizes(struct peer *p, uint64_t requested, uint64_t actual)
{
	struct hmem_link_sizes sizes = { .tiers = {
		{ .requested = requested, .actual = actual },
		{ .requested = SIZE, .actual = SIZE },
	} };

	peer_send(p, HMEM_LINK_SIZES, &sizes, sizeof(sizes));
}

static void send_size(struct peer *p, uint64_t bytes)
{
	send_sizes(p, bytes, bytes);
}

static int64_t pool_num(struct fixture *f, const char *path)
{
	struct json_object *o;
	int64_t n;

	ctl(f, 0, "-o json pool");
	o = json_tokener_parse(f->ctl.out);
	n = json_num_at(o, path);
	json_object_put(o);
	return n;
}

/* Without --pool, hmemd requests no size, and hmemctl pool shows what is known. */
static void only_says(void **state)
{
	struct fixture *f;
	struct peer other;

	(void)state;
	begin(&f, NULL);
	memset(&other, 0, sizeof(other));
	connect_vm(f, &f->web, "web", 4096);
	connect_vm(f, &other, "db", 0);
	while (pool_num(f, "pool.bytes") != (int64_t)(2 * SIZE))
		;
	assert_int_equal(pool_num(f, "pool.acts"), 0);
	assert_int_equal(pool_num(f, "pool.vms.0.guarantee_bytes"), 4 * MIB);
	assert_int_equal(pool_num(f, "pool.vms.0.maximum_bytes"), SIZE);
	assert_int_equal(pool_num(f, "pool.vms.1.guarantee_bytes"), 0);
	/* The VM has no policy, so its rates are unknown. */
	assert_int_equal(pool_num(f, "pool.vms.0.next_mib_ns_per_s"), -1);
	ctl(f, 0, "pool");
	assert_non_null(strstr(f->ctl.out, "unknown"));
	assert_non_null(strstr(f->ctl.out, "only says what it would do"));
	peer_close(&other);
	fixture_end(f);
}

/* If DRAM is scarce, each VM shrinks to its share, which depends on its weight. */
static void shares_by_weight(void **state)
{
	struct fixture *f;
	struct peer other;

	(void)state;
	begin(&f, "48M");
	memset(&other, 0, sizeof(other));
	connect_vm(f, &f->web, "web", 4096);
	connect_vm(f, &other, "db", 4096);
	peer_expect_size(&f->web, 24 * MIB);
	send_size(&f->web, 24 * MIB);
	peer_expect_size(&other, 24 * MIB);
	send_size(&other, 24 * MIB);
	while (pool_num(f, "pool.vms.1.bytes") != 24 * MIB)
		;
	assert_int_equal(pool_num(f, "pool.acts"), 1);
	assert_int_equal(pool_num(f, "pool.vms.0.share_bytes"), 24 * MIB);

	/* A guarantee is kept as soon as another VM has given up the DRAM. */
	ctl(f, 0, "pool web guarantee=28M weight=2");
	peer_expect_size(&other, 20 * MIB);
	send_size(&other, 20 * MIB);
	peer_expect_size(&f->web, 28 * MIB);
	send_size(&f->web, 28 * MIB);
	while (pool_num(f, "pool.vms.0.bytes") != 28 * MIB)
		;
	/*
	 * web's share of what is not guaranteed would exceed its maximum, which limits its
	 * share.
	 */
	assert_int_equal(pool_num(f, "pool.vms.0.share_bytes"), SIZE);
	peer_close(&other);
	fixture_end(f);
}

/*
 * The reserve is nobody's share, and is not lent.  A VM with less than its share gets it at once,
 * while the other VM has not given up anything yet.
 */
static void keeps_a_reserve(void **state)
{
	struct fixture *f = fixture_new((const char *[]) {
		"--pool=48M", "--pool-reserve=8M", NULL
	});
	struct peer other = { 0 };

	(void)state;
	connect_vm(f, &f->web, "web", 4096);
	connect_vm(f, &other, "db", 4096);
	peer_expect_size(&f->web, 20 * MIB);
	send_size(&f->web, 20 * MIB);
	peer_expect_size(&other, 20 * MIB);
	send_size(&other, 20 * MIB);
	while (pool_num(f, "pool.vms.1.bytes") != 20 * MIB)
		;
	assert_int_equal(pool_num(f, "pool.reserve_bytes"), 8 * MIB);
	assert_int_equal(pool_num(f, "pool.vms.0.share_bytes"), 20 * MIB);
	ctl(f, 0, "pool");
	assert_non_null(strstr(f->ctl.out, "lends all but 8 MiB"));
	ctl(f, 0, "pool web guarantee=26M");
	peer_expect_size(&f->web, 26 * MIB);
	peer_expect_size(&other, 14 * MIB);
	peer_close(&other);
	fixture_end(f);
}

/* How often the pool has decided, by hmemd's metrics at this socket. */
static unsigned long decisions(const char *path)
{
	static const char get[] = "GET /metrics HTTP/1.1\r\nHost: hmemd\r\n\r\n";
	static const char name[] = "\nhmem_pool_decisions_total ";
	static char text[1 << 20];
	int fd = peer_socket(path);
	size_t len = 0;
	ssize_t n;
	char *at;

	assert_int_equal(send(fd, get, strlen(get), MSG_NOSIGNAL), strlen(get));
	while ((n = recv(fd, text + len, sizeof(text) - 1 - len, 0)) > 0)
		len += n;
	text[len] = '\0';
	close(fd);
	at = strstr(text, name);
	assert_non_null(at);
	return strtoul(at + strlen(name), NULL, 10);
}

/* A VM gets each part of what another VM gives up before the pool decides again. */
static void freed_memory_does_not_wait(void **state)
{
	struct peer lender = { 0 }, waiting = { 0 };
	unsigned int soon = 0;
	struct fixture *f;
	char path[64];

	(void)state;
	f = fixture_with_socket("metrics-socket", path, "--pool=80M");
	/* The VM of the fixture keeps 32 MiB, so the others share 48. */
	ctl(f, 0, "pool web guarantee=32M maximum=32M");
	connect_vm(f, &lender, "lender", 4096);
	connect_vm(f, &waiting, "waiting", 4096);
	peer_expect_size(&lender, 24 * MIB);
	send_size(&lender, 24 * MIB);
	peer_expect_size(&waiting, 24 * MIB);
	send_size(&waiting, 24 * MIB);
	while (pool_num(f, "pool.vms.2.bytes") != 24 * MIB)
		;
	ctl(f, 0, "pool waiting guarantee=32M");
	peer_expect_size(&lender, 16 * MIB);
	for (uint64_t has = 22 * MIB; has >= 16 * MIB; has -= 2 * MIB) {
		unsigned long before = decisions(path);

		send_sizes(&lender, 16 * MIB, has);
		peer_expect_size(&waiting, 48 * MIB - has);
		soon += decisions(path) == before;
		send_size(&waiting, 48 * MIB - has);
	}
	/* By chance, a decision comes in between. */
	assert_int_not_equal(soon, 0);
	peer_close(&lender);
	peer_close(&waiting);
	fixture_end_with_socket(f, path);
}

/* Ends a window; all that hmemd sends until its answer must be a request for this size. */
static void tick(struct peer *p, uint64_t seq, uint64_t bytes)
{
	unsigned int requests = 0;
	struct peer_msg msg;

	peer_send_tick(p, seq);
	for (peer_read(p, &msg); msg.hdr.type == HMEM_LINK_RESIZE; peer_read(p, &msg)) {
		assert_int_equal(((struct hmem_link_resize *)msg.payload)->bytes, bytes);
		requests++;
	}
	assert_int_equal(msg.hdr.type, HMEM_LINK_TICK_DONE);
	assert_int_equal(requests, bytes ? 1 : 0);
}

/* In lockstep, the VM of the fixture and @other share 48 MiB evenly; each has had one tick. */
static struct fixture *share_in_lockstep(struct peer *other)
{
	struct fixture *f = fixture_new((const char *[]) {
		"--pool", "48M", "--lockstep", "-p", "observe", NULL
	});
	struct peer_msg msg;

	connect_tracked(f, &f->web, "web", 4096, true);
	connect_tracked(f, other, "db", 4096, true);
	peer_expect(&f->web, &msg, HMEM_LINK_TRACK);
	peer_expect(other, &msg, HMEM_LINK_TRACK);
	tick(&f->web, 1, 24 * MIB);
	send_size(&f->web, 24 * MIB);
	tick(other, 1, 24 * MIB);
	send_size(other, 24 * MIB);
	return f;
}

/* In lockstep, a VM gets a request only while its time stands still, and no other VM's tick. */
static void requests_in_lockstep(void **state)
{
	struct peer other = { 0 };
	struct fixture *f = share_in_lockstep(&other);

	(void)state;
	tick(&f->web, 2, 0);
	tick(&other, 2, 0);
	peer_close(&other);
	fixture_end(f);
}

/* In lockstep, too, a VM gets what another one has given up before the pool decides again. */
static void promises_in_lockstep(void **state)
{
	struct peer other = { 0 };
	struct fixture *f = share_in_lockstep(&other);

	(void)state;
	ctl(f, 0, "pool web guarantee=32M");
	tick(&other, 2, 16 * MIB);
	tick(&f->web, 2, 0);
	/* Less than a second later. */
	send_size(&other, 16 * MIB);
	other.behind_ns = f->web.behind_ns = 900 * 1000000;
	tick(&other, 3, 0);
	tick(&f->web, 3, 32 * MIB);
	peer_close(&other);
	fixture_end(f);
}

/* VMs that cannot be resized keep their DRAM, and no other VM is promised it. */
static void cannot_be_resized(void **state)
{
	struct fixture *f;
	struct peer other;

	(void)state;
	begin(&f, "48M");
	memset(&other, 0, sizeof(other));
	connect_vm(f, &other, "db", 0);
	connect_vm(f, &f->web, "web", 4096);
	peer_expect_size(&f->web, 16 * MIB);
	send_size(&f->web, 16 * MIB);
	ctl(f, 0, "pool");
	assert_non_null(strstr(f->ctl.out, "fixed"));
	peer_close(&other);
	fixture_end(f);
}

/* A window in which the VM uses all pages of DRAM, if any.  Returns the flags of the next one. */
static uint32_t window(struct peer *p, uint64_t seq, uint32_t flags)
{
	struct peer_msg msg;

	memset(p->map + PEER_WORDS, 0xff, PEER_TIER / 8);
	peer_send_tick(p, seq);
	do {
		peer_read(p, &msg);
		if (msg.hdr.type == HMEM_LINK_TRACK)
			flags = ((const struct hmem_link_track *)(const void *)msg.payload)->flags;
	} while (msg.hdr.type != HMEM_LINK_TICK_DONE);
	return flags;
}

static bool is_worth_something(struct fixture *f)
{
	return pool_num(f, "pool.vms.0.last_mib_ns_per_s") > 0;
}

/* The VM is idle in a window. */
static void sleeps(struct fixture *f, uint64_t seq, uint32_t flags)
{
	f->web.busy_us = 0;
	window(&f->web, seq, flags);
	while (is_worth_something(f))
		;
}

/*
 * What DRAM is worth to a VM follows the time for which its processors run: in a rest, too, and
 * before the next burst of looks has ended.
 */
static void idle_processors_need_no_dram(void **state)
{
	struct peer_msg msg;
	unsigned long before;
	uint32_t flags = 0;
	struct fixture *f;
	uint64_t seq = 0;
	struct peer *p;
	char path[64];

	(void)state;
	f = fixture_with_socket("metrics-socket", path, "--policy=auto,track=gpt");
	p = &f->web;
	peer_close(p);
	p->trackers = HMEM_LINK_TRACKER_GPT;
	p->track_flags = HMEM_LINK_TRACK_REST | HMEM_LINK_TRACK_ACCESSED |
			 HMEM_LINK_TRACK_BUSY;
	p->busy_us = 500000;
	p->num_cpus = 2;
	peer_connect(p, f->d.vm_socket);
	p->features = UINT64_C(1) << VIRTIO_HMEM_F_ACCESS;
	peer_introduce(p, "web");
	peer_expect(p, &msg, HMEM_LINK_TRACK);
	while (!(flags & HMEM_LINK_TRACK_REST))
		flags = window(p, ++seq, flags);
	while (!is_worth_something(f))
		;
	sleeps(f, ++seq, flags);
	/* An idle VM whose pages move does not work, though its processors run. */
	ctl(f, 0, "migrate web --gfn 0-999 --to 1 --wait");
	p->busy_us = 25000;
	window(p, ++seq, flags);
	before = decisions(path);
	while (decisions(path) < before + 2)
		assert_false(is_worth_something(f));
	/* Without moves, so much time is work. */
	window(p, ++seq, flags);
	while (!is_worth_something(f))
		;
	sleeps(f, ++seq, flags);
	/* A huge page that moves as a whole takes much less time than its frames would. */
	ctl(f, 0, "migrate web --gfn 0-4095 --to 1 --order 9 --wait");
	p->busy_us = 50000;
	window(p, ++seq, flags);
	while (!is_worth_something(f))
		;
	sleeps(f, ++seq, flags);
	/* Moves take the time of one processor at most, so the other one works. */
	for (unsigned int i = 0; i < 4; i++)
		ctl(f, 0, i % 2 ? "migrate web --all --to 0 --order 0 --wait" :
		    "migrate web --all --to 1 --order 0 --wait");
	p->busy_us = 1050000;
	window(p, ++seq, flags);
	while (!is_worth_something(f))
		;
	/* A reset of the counters makes no difference. */
	ctl(f, 0, "stats web --reset");
	p->busy_us = 500000;
	window(p, ++seq, flags);
	while (!is_worth_something(f))
		;
	fixture_end_with_socket(f, path);
}

static void usage(void **state)
{
	static const struct usage cases[] = {
		{ 2, "pool web", "give what to set for vm 'web'" },
		{ 1, "pool nobody weight=2", "nobody" },
		{ 2, "pool web colour=red", "unknown key 'colour'" },
		{ 2, "pool web weight=0", "1 to 1000" },
		{ 2, "pool web weight=many", "1 to 1000" },
		{ 2, "pool web guarantee=much", "much" },
		{ 2, "pool web maximum=1M", "set the other one first" },
		{ 2, "pool web guarantee=3G maximum=4G", "set the other one first" },
	};
	struct fixture *f;

	(void)state;
	begin(&f, NULL);
	connect_vm(f, &f->web, "web", 4096);
	while (pool_num(f, "pool.bytes") != (int64_t)SIZE)
		;
	usage_check(f, cases, sizeof(cases) / sizeof(*cases));
	/* All settings of a command take effect, or none does. */
	ctl(f, 2, "pool web weight=7 maximum=4G guarantee=3G");
	assert_non_null(strstr(f->ctl.err, "cannot be kept"));
	assert_int_equal(pool_num(f, "pool.vms.0.guarantee_bytes"), 4 * MIB);
	assert_int_equal(pool_num(f, "pool.vms.0.maximum_bytes"), SIZE);
	assert_int_equal(pool_num(f, "pool.vms.0.weight"), 1);
	fixture_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_says),
		cmocka_unit_test(shares_by_weight),
		cmocka_unit_test(keeps_a_reserve),
		cmocka_unit_test(freed_memory_does_not_wait),
		cmocka_unit_test(requests_in_lockstep),
		cmocka_unit_test(promises_in_lockstep),
		cmocka_unit_test(cannot_be_resized),
		cmocka_unit_test(idle_processors_need_no_dram),
		cmocka_unit_test(usage),
	};

	return cmocka_run_group_tests_name("pooling", tests, NULL, NULL);
}
