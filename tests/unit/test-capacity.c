/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The capacity of the host's nodes, and what hmemd has promised of it. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

#define MIB	(UINT64_C(1) << 20)
#define SIZE	(PEER_TIER * UINT64_C(4096))
#define MAX	48

static const char config[] =
	"[node 0]\ncapacity = 48M\n"
	"[node 2]\ncapacity = 64M\n"
	"[vm *]\nnodes = 0:2\n";

static void configure(struct fixture *f, const char *text)
{
	FILE *file = fopen(f->d.config, "w");

	assert_non_null(file);
	assert_int_equal(fputs(text, file) < 0, 0);
	assert_int_equal(fclose(file), 0);
	ctl(f, 0, "reload");
}

/* The guest has so much of tier 0, and hmemd requested as much. */
static void has(struct peer *p, uint64_t mib)
{
	struct hmem_link_sizes sizes = { .tiers = {
		{ .requested = mib * MIB, .actual = mib * MIB, .free = 4096 },
		{ .requested = SIZE, .actual = SIZE },
	} };

	peer_send(p, HMEM_LINK_SIZES, &sizes, sizeof(sizes));
}

static void connect_vm(struct fixture *f, struct peer *p, const char *name)
{
	struct hmem_link_state state = {
		.flags = HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING,
		.features = UINT64_C(1) << VIRTIO_HMEM_F_RESIZE,
	};
	struct hmem_link_hello hello;
	struct peer_msg msg;
	int fd;

	peer_connect(p, f->d.vm_socket);
	peer_fill_hello(&hello, name);
	hello.tiers[0].unit = hello.tiers[1].unit = 4096;
	fd = peer_memfd(PEER_MAPS_BYTES, F_SEAL_SHRINK | F_SEAL_GROW);
	peer_send_hello(p, &hello, &fd, 1);
	close(fd);
	peer_send_ranges(p);
	peer_send(p, HMEM_LINK_STATE, &state, sizeof(state));
	peer_expect(p, &msg, HMEM_LINK_WELCOME);
}

/* What is promised of the first of the configured nodes, in MiB. */
static int64_t promised(struct fixture *f)
{
	struct json_object *o;
	int64_t bytes;

	ctl(f, 0, "-o json pool");
	o = json_tokener_parse(f->ctl.out);
	assert_int_equal(json_num_at(o, "pool.nodes.0.node"), 0);
	assert_int_equal(json_num_at(o, "pool.nodes.0.capacity_bytes"), MAX * MIB);
	bytes = json_num_at(o, "pool.nodes.0.promised_bytes");
	json_object_put(o);
	return bytes / (int64_t)MIB;
}

static void wait_promised(struct fixture *f, int64_t mib)
{
	while (promised(f) != mib)
		;
}

static void wait_event(struct fixture *f, const char *text)
{
	do
		ctl(f, 0, "events");
	while (!strstr(f->ctl.out, text));
}

/* Waits until the pool has so many MiB. */
static void wait_pool(struct fixture *f, int64_t mib)
{
	struct json_object *o;
	int64_t bytes;

	do {
		ctl(f, 0, "-o json pool");
		o = json_tokener_parse(f->ctl.out);
		bytes = json_num_at(o, "pool.bytes");
		json_object_put(o);
	} while (bytes != mib * (int64_t)MIB);
}

/* No tier grows beyond what its node has left, and what a guest still has is not left. */
static void nothing_is_promised_twice(void **state)
{
	struct fixture *f = fixture_new(NULL);
	struct peer db = { 0 };

	(void)state;
	configure(f, config);
	connect_vm(f, &f->web, "web");
	connect_vm(f, &db, "db");
	has(&db, 8);
	wait_promised(f, 40);
	ctl(f, 0, "resize db --tier 0 --size 16M");
	wait_promised(f, 48);
	usage_check(f, &(const struct usage) { 2, "resize db --tier 0 --size 17M",
		    "tier 0 can have 16 MiB now: node 0 of the host has no more" }, 1);
	/* A dry run says the same, and the other tier is on a node that has room. */
	usage_check(f, &(const struct usage) { 2, "resize db --tier 0 --size 17M --dry-run",
		    "tier 0 can have 16 MiB now" }, 1);
	ctl(f, 0, "resize db --tier 1 --size 32M");
	/* The other guest has not given up what it is to give up. */
	ctl(f, 0, "resize web --tier 0 --size 20M");
	assert_int_equal(promised(f), 48);
	usage_check(f, &(const struct usage) { 2, "resize db --tier 0 --size 17M", "16 MiB" }, 1);
	has(&f->web, 20);
	wait_promised(f, 36);
	ctl(f, 0, "resize db --tier 0 --size 28M");
	assert_int_equal(promised(f), 48);
	ctl(f, 0, "pool");
	/* What follows is known a second later. */
	*strstr(f->ctl.out, "The pool") = '\0';
	golden_check("pool-nodes", strstr(f->ctl.out, "Of node"));
	/* Without a capacity, hmemd does not count. */
	configure(f, "[vm *]\nnodes = 0:2\n");
	ctl(f, 0, "resize db --tier 0 --size 32M");
	peer_close(&db);
	fixture_end(f);
}

/* VMs take memory without hmemd when they are started: hmemd tells. */
static void too_much_is_told(void **state)
{
	struct fixture *f = fixture_new(NULL);
	struct peer db = { 0 };

	(void)state;
	configure(f, config);
	connect_vm(f, &f->web, "web");
	connect_vm(f, &db, "db");
	wait_event(f, "node 0 has 48 MiB, and the VMs there have 64 MiB");
	usage_check(f, &(const struct usage) { 2, "resize db --tier 0 --size 33M", "" }, 1);
	doctor(f);
	assert_non_null(strstr(f->ctl.out, "VMs have 64 MiB of it"));
	assert_non_null(strstr(f->ctl.out, "64 MiB of 64 MiB are promised to VMs"));
	/* Whoever has more than there is can give it up. */
	ctl(f, 0, "resize db --tier 0 --size 16M");
	has(&db, 16);
	wait_event(f, "node 0 is large enough again");
	peer_close(&db);
	wait_promised(f, 32);
	fixture_end(f);
}

/* A node that is no longer counted is not said to be large enough. */
static void what_is_not_known_is_not_told(void **state)
{
	struct fixture *f = fixture_new(NULL);
	struct peer db = { 0 };

	(void)state;
	configure(f, config);
	connect_vm(f, &f->web, "web");
	connect_vm(f, &db, "db");
	wait_event(f, "node 0 has 48 MiB");
	configure(f, "[node 2]\ncapacity = 1M\n[vm *]\nnodes = 0:2\n");
	/* By now, hmemd has looked at node 0 as well. */
	wait_event(f, "node 2 has 1 MiB");
	ctl(f, 0, "events");
	assert_null(strstr(f->ctl.out, "large enough"));
	peer_close(&db);
	fixture_end(f);
}

/* A report from before a request does not make hmemd forget what it has promised. */
static void an_old_report_promises_nothing_less(void **state)
{
	struct fixture *f = fixture_new(NULL);
	struct peer db = { 0 };
	struct peer_msg msg;

	(void)state;
	configure(f, config);
	connect_vm(f, &f->web, "web");
	connect_vm(f, &db, "db");
	has(&f->web, 16);
	has(&db, 8);
	wait_promised(f, 24);
	ctl(f, 0, "resize db --tier 0 --size 32M");
	assert_int_equal(promised(f), 48);
	peer_expect(&db, &msg, HMEM_LINK_RESIZE);
	/* The device sent this one before it had read the request. */
	has(&db, 7);
	while (!strstr(f->ctl.out, "\"actual_bytes\": 7340032"))
		ctl(f, 0, "-o json status db");
	assert_int_equal(promised(f), 48);
	usage_check(f, &(const struct usage) { 2, "resize web --tier 0 --size 17M", "16 MiB" }, 1);
	/* The device confirms the request, and from then on its reports count. */
	has(&db, 32);
	while (!strstr(f->ctl.out, "\"actual_bytes\": 33554432"))
		ctl(f, 0, "-o json status db");
	has(&db, 8);
	wait_promised(f, 24);
	peer_close(&db);
	fixture_end(f);
}

/* A pool has no more than the nodes on which the VMs have DRAM. */
static void the_pool_is_on_a_node(void **state)
{
	const char *args[] = { "--pool", "1G", NULL };
	struct fixture *f = fixture_new(args);

	(void)state;
	configure(f, config);
	connect_vm(f, &f->web, "web");
	wait_pool(f, MAX);
	/* If it is not known where a VM has DRAM, the pool is as large as configured. */
	configure(f, "[node 0]\ncapacity = 48M\n");
	wait_pool(f, 1024);
	/* Nor without VMs. */
	configure(f, config);
	wait_pool(f, MAX);
	peer_close(&f->web);
	wait_pool(f, 1024);
	fixture_end(f);
}

static int64_t num_of(struct fixture *f, const char *command, const char *path)
{
	struct json_object *o;
	int64_t num;

	ctl(f, 0, command);
	o = json_tokener_parse(f->ctl.out);
	num = json_num_at(o, path);
	json_object_put(o);
	return num;
}

/* What counts on each of the two nodes, in MiB. */
static void wait_on_nodes(struct fixture *f, int64_t first, int64_t second)
{
	while (num_of(f, "-o json pool", "pool.nodes.0.promised_bytes") != first * (int64_t)MIB ||
	       num_of(f, "-o json pool", "pool.nodes.1.promised_bytes") != second * (int64_t)MIB)
		;
}

static const char two_sockets[] =
	"[node 0]\ncapacity = 48M\n"
	"[node 1]\ncapacity = 64M\n"
	"[vm *]\nnodes = 0+1\n"
	"[vm far*]\nnodes = 1+0\n"
	"[vm one]\nnodes = 0\n";

/* Memory counts on the node of the VM's own socket first, and on others when that is used up. */
static void own_socket_first(void **state)
{
	struct fixture *f = fixture_new(NULL);
	struct peer db = { 0 }, one = { 0 };

	(void)state;
	configure(f, two_sockets);
	connect_vm(f, &f->web, "web");
	connect_vm(f, &db, "db");
	wait_on_nodes(f, 48, 16);
	assert_int_equal(num_of(f, "-o json status web", "vms.0.tiers.0.elsewhere_bytes"), 0);
	assert_int_equal(num_of(f, "-o json status db", "vms.0.tiers.0.elsewhere_bytes"),
			 16 * (int64_t)MIB);
	assert_int_equal(num_of(f, "-o json status db", "vms.0.tiers.0.host_nodes.1"), 1);
	ctl(f, 0, "explain db");
	assert_non_null(strstr(f->ctl.out, "16 MiB of it count on nodes of other sockets"));
	ctl(f, 0, "explain web");
	assert_null(strstr(f->ctl.out, "other sockets"));
	/* When its own node has room again, the memory counts there. */
	has(&f->web, 16);
	wait_on_nodes(f, 48, 0);
	/* A VM that can be on one node only comes first there. */
	connect_vm(f, &one, "one");
	wait_on_nodes(f, 48, 32);
	/* It grows only as far as its node has memory wherever that of the others is. */
	has(&one, 4);
	has(&db, 16);
	wait_on_nodes(f, 36, 0);
	usage_check(f, &(const struct usage) { 2, "resize one --tier 0 --size 17M",
		    "tier 0 can have 16 MiB now: node 0 of the host has no more" }, 1);
	/* Nor do the others take that from it, though another node has room. */
	usage_check(f, &(const struct usage) { 2, "resize db --tier 0 --size 29M",
		    "tier 0 can have 28 MiB now: node 0+1 of the host has no more" }, 1);
	peer_close(&one);
	wait_on_nodes(f, 32, 0);
	ctl(f, 0, "resize db --tier 0 --size 32M");
	peer_close(&db);
	fixture_end(f);
}

/* When a VM of another node joins, a small pool is divided, and all shares together still fit. */
static void guarantees_come_first_on_a_node(void **state)
{
	static const char *const paths[] = {
		"pool.vms.0.share_bytes", "pool.vms.1.share_bytes", "pool.vms.2.share_bytes",
	};
	struct fixture *f = fixture_new((const char *[]) { "--pool", "64M", NULL });
	struct peer db = { 0 }, far = { 0 };
	int64_t sum = 0;

	(void)state;
	configure(f, "[node 0]\ncapacity = 48M\n"
		     "[node 1]\ncapacity = 64M\n"
		     "[vm *]\nnodes = 0\npool-guarantee = 20M\n"
		     "[vm far]\nnodes = 1\npool-guarantee = 8M\n");
	connect_vm(f, &f->web, "web");
	connect_vm(f, &db, "db");
	wait_pool(f, 48);
	connect_vm(f, &far, "far");
	wait_pool(f, 64);
	while (num_of(f, "-o json pool", paths[2]) <= 0)
		;
	for (unsigned int i = 0; i < 3; i++) {
		int64_t share = num_of(f, "-o json pool", paths[i]);

		assert_true(share >= (i < 2 ? 20 : 8) * (int64_t)MIB);
		sum += share;
	}
	assert_true(sum <= 64 * (int64_t)MIB);
	peer_close(&far);
	peer_close(&db);
	fixture_end(f);
}

/* VMs give up DRAM of another socket, and no other, when VMs of that socket need it. */
static void the_pool_lends_within_a_socket_first(void **state)
{
	struct fixture *f = fixture_new((const char *[]) { "--pool", "1G", NULL });
	struct peer db = { 0 }, far1 = { 0 }, far2 = { 0 };

	(void)state;
	configure(f, two_sockets);
	connect_vm(f, &f->web, "web");
	connect_vm(f, &db, "db");
	wait_pool(f, 48 + 64);
	/* The shares are those of the VMs' own socket, and beyond that they have what is free. */
	while (num_of(f, "-o json pool", "pool.vms.0.share_bytes") != 24 * (int64_t)MIB)
		;
	assert_int_equal(num_of(f, "-o json pool", "pool.vms.0.requested_bytes"),
			 32 * (int64_t)MIB);
	assert_int_equal(num_of(f, "-o json pool", "pool.vms.1.requested_bytes"),
			 32 * (int64_t)MIB);
	connect_vm(f, &far1, "far1");
	connect_vm(f, &far2, "far2");
	peer_expect_size(&f->web, 24 * MIB);
	peer_expect_size(&db, 24 * MIB);
	has(&f->web, 24);
	has(&db, 24);
	wait_on_nodes(f, 48, 64);
	assert_int_equal(num_of(f, "-o json pool", "pool.vms.2.requested_bytes"),
			 32 * (int64_t)MIB);
	assert_int_equal(num_of(f, "-o json pool", "pool.vms.3.requested_bytes"),
			 32 * (int64_t)MIB);
	assert_int_equal(num_of(f, "-o json pool", "pool.vms.1.elsewhere_bytes"), 0);
	peer_close(&db);
	peer_close(&far1);
	peer_close(&far2);
	fixture_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_promised_twice),
		cmocka_unit_test(too_much_is_told),
		cmocka_unit_test(what_is_not_known_is_not_told),
		cmocka_unit_test(an_old_report_promises_nothing_less),
		cmocka_unit_test(the_pool_is_on_a_node),
		cmocka_unit_test(own_socket_first),
		cmocka_unit_test(guarantees_come_first_on_a_node),
		cmocka_unit_test(the_pool_lends_within_a_socket_first),
	};

	return cmocka_run_group_tests_name("capacity", tests, NULL, NULL);
}
