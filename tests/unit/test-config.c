/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hmemd.conf, as hmemd and hmemctl read it. */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fputs(text, f) < 0, 0);
	assert_int_equal(fclose(f), 0);
}

/* Checks the policy and rate of the VM, and where they were set. */
static void policy_is(struct fixture *f, const char *vm, const char *name, int rate,
		      const char *from)
{
	struct json_object *o, *at;
	char line[128];

	snprintf(line, sizeof(line), "-o json policy %s", vm);
	ctl(f, 0, line);
	o = json_tokener_parse(f->ctl.out);
	assert_true(json_at(o, "policy.name", &at));
	assert_string_equal(json_object_get_string(at), name);
	assert_int_equal(json_num_at(o, "policy.rate"), rate);
	assert_true(json_at(o, "from", &at));
	if (!strstr(json_object_get_string(at), from))
		fail_msg("vm %s: policy from %s, not %s", vm, json_object_get_string(at), from);
	json_object_put(o);
}

static void no_vm_left(struct fixture *f)
{
	do
		ctl(f, 0, "-q list");
	while (f->ctl.out_len);
}

static const char sections[] =
	"[daemon]\n"
	"max-vms = 3\n"
	"\n"
	"[vm *]			; all of them\n"
	"policy = observe\n"
	"rate = 7\n"
	"\n"
	"# the web servers\n"
	"[vm web*]\n"
	"policy = hmmv\n"
	"rate = 8\n"
	"[vm 07000000-0000-0000-0000-000000000000]\n"
	"rate = 9\n";

static void sections_by_name_and_uuid(void **state)
{
	struct fixture *f = fixture_new(NULL);
	struct peer p[4] = { { 0 } };

	(void)state;
	peer_handshake(&p[0], f->d.vm_socket, "web1");
	policy_is(f, "web1", "off", 200, "the command line or default");
	write_file(f->d.config, sections);
	ctl(f, 0, "reload");
	/* A reload changes the policy of connected VMs at once. */
	policy_is(f, "web1", "hmmv", 8, "/hmemd.conf");
	peer_handshake(&p[1], f->d.vm_socket, "db");
	policy_is(f, "db", "observe", 7, "/hmemd.conf");
	/* For each key, the last section that has the key counts. */
	p[2].uuid = 7;
	peer_handshake(&p[2], f->d.vm_socket, "web1");
	policy_is(f, "web1-2", "hmmv", 9, "/hmemd.conf");
	/* A new limit applies at once, too. */
	peer_connect(&p[3], f->d.vm_socket);
	peer_expect_drop(&p[3]);
	/* If no section matches any more, the command line's policy applies again. */
	write_file(f->d.config, "");
	kill(f->d.pid, SIGHUP);
	do
		ctl(f, 0, "-q list");
	while (strstr(f->ctl.out, "hmmv"));
	policy_is(f, "db", "off", 200, "the command line or default");
	for (unsigned int i = 0; i < 4; i++)
		peer_close(&p[i]);
	fixture_end(f);
}

static void what_hmemctl_set_stays(void **state)
{
	struct fixture *f = fixture_new(NULL);
	char dir[80], extra[96];
	struct peer p = { 0 };

	(void)state;
	write_file(f->d.config, sections);
	ctl(f, 0, "reload");
	peer_handshake(&p, f->d.vm_socket, "web");
	ctl(f, 0, "-q config show");
	assert_int_equal(f->ctl.out_len, 0);
	ctl(f, 0, "policy web set rate=10");
	policy_is(f, "web", "hmmv", 10, "hmemctl");
	ctl(f, 0, "reload");
	policy_is(f, "web", "hmmv", 10, "hmemctl");
	/* Shows the settings, and starts a new hmemd with that text. */
	ctl(f, 0, "config show");
	snprintf(dir, sizeof(dir), "%s/conf.d", f->d.dir);
	snprintf(extra, sizeof(extra), "%s/50-web.conf", dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	write_file(extra, f->ctl.out);
	ctl(f, 0, "policy web reset");
	policy_is(f, "web", "hmmv", 8, "/hmemd.conf");
	peer_close(&p);
	no_vm_left(f);
	daemon_kill(&f->d);
	daemon_restart(&f->d, NULL);
	peer_handshake(&p, f->d.vm_socket, "web");
	policy_is(f, "web", "hmmv", 10, "/conf.d/50-web.conf");
	peer_close(&p);
	unlink(extra);
	rmdir(dir);
	fixture_end(f);
}

/* The bounds of a VM in the pool. */
static void bounds_in_the_pool(void **state)
{
	struct fixture *f = fixture_new(NULL);
	struct json_object *o;
	struct peer p = { 0 };

	(void)state;
	write_file(f->d.config, "[vm *]\npool-guarantee = 8M\npool-maximum = 16M\n"
		   "pool-weight = 5\n");
	ctl(f, 0, "reload");
	peer_handshake(&p, f->d.vm_socket, "web");
	do {
		ctl(f, 0, "-o json pool");
		o = json_tokener_parse(f->ctl.out);
		if (json_num_at(o, "pool.vms.0.weight") >= 0)
			break;
		json_object_put(o);
	} while (true);
	assert_int_equal(json_num_at(o, "pool.vms.0.weight"), 5);
	assert_int_equal(json_num_at(o, "pool.vms.0.guarantee_bytes"), 8 << 20);
	assert_int_equal(json_num_at(o, "pool.vms.0.maximum_bytes"), 16 << 20);
	json_object_put(o);
	/* A reload resets what the file no longer sets, but not what hmemctl has set. */
	write_file(f->d.config, "[vm *]\npool-weight = 4\n");
	ctl(f, 0, "reload");
	ctl(f, 0, "-o json pool");
	o = json_tokener_parse(f->ctl.out);
	assert_int_equal(json_num_at(o, "pool.vms.0.weight"), 4);
	assert_int_equal(json_num_at(o, "pool.vms.0.guarantee_bytes"), 0);
	json_object_put(o);
	ctl(f, 0, "pool web guarantee=4M");
	write_file(f->d.config, "");
	ctl(f, 0, "reload");
	ctl(f, 0, "-o json pool");
	o = json_tokener_parse(f->ctl.out);
	assert_int_equal(json_num_at(o, "pool.vms.0.weight"), 4);
	assert_int_equal(json_num_at(o, "pool.vms.0.guarantee_bytes"), 4 << 20);
	json_object_put(o);
	peer_close(&p);
	fixture_end(f);
}

/* How often hmemd's log says that hmemd must be started again. */
static unsigned int told_to_start_again(struct fixture *f)
{
	unsigned int num = 0;
	char line[512];
	FILE *log = fopen(f->d.log, "r");

	assert_non_null(log);
	while (fgets(line, sizeof(line), log))
		num += strstr(line, "start hmemd again") != NULL;
	fclose(log);
	return num;
}

/* A socket that a reload adds, changes or removes takes effect when hmemd is started again. */
static void changed_sockets(void **state)
{
	static const char *const keys[] = { "monitor-socket", "metrics-socket" };
	struct fixture *f = fixture_new(NULL);
	unsigned int told = 0;
	char text[256], lock[96];

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		snprintf(text, sizeof(text), "[daemon]\n%s = %s/one\n", keys[i], f->d.dir);
		write_file(f->d.config, text);
		ctl(f, 0, "reload");
		assert_int_equal(told_to_start_again(f), told + 1);
		daemon_kill(&f->d);
		daemon_restart(&f->d, NULL);
		told = told_to_start_again(f);
		ctl(f, 0, "reload");
		assert_int_equal(told_to_start_again(f), told);
		snprintf(text, sizeof(text), "[daemon]\n%s = %s/other\n", keys[i], f->d.dir);
		write_file(f->d.config, text);
		ctl(f, 0, "reload");
		assert_int_equal(told_to_start_again(f), told + 1);
		write_file(f->d.config, "");
		ctl(f, 0, "reload");
		assert_int_equal(told_to_start_again(f), told + 2);
		daemon_kill(&f->d);
		daemon_restart(&f->d, NULL);
		told = told_to_start_again(f);
	}
	snprintf(lock, sizeof(lock), "%s/one", f->d.dir);
	unlink(lock);
	snprintf(lock, sizeof(lock), "%s/one.lock", f->d.dir);
	unlink(lock);
	fixture_end(f);
}

/*
 * After a fault, hmemctl config check and reload name file, line and fault, and hmemd keeps its
 * configuration.
 */
static void faults_are_named(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "max-vms = 1\n", ":1: 'max-vms' stands before the first section" },
		{ "[daemon]\nmax-vms = 0\n", ":2: max-vms: 1 to 65536, not '0'" },
		{ "[daemon]\ncolour = red\n", ":2: 'colour' is unknown: socket, " },
		{ "[daemon]\nprices = 4\n", ":2: prices: DRAM:NVM, the prices of a MiB" },
		{ "[daemon]\nprices = 1:4\n", ":2: prices: " },
		{ "[daemon]\nprices = 4:0\n", ":2: prices: " },
		{ "[daemon]\nprices = 4:1x\n", ":2: prices: " },
		{ "[daemon]\nprices = 1000001:1\n", ":2: prices: " },
		{ "[vm *]\nprices = 1:4\n", ":2: prices: DRAM:NVM, the prices of a MiB" },
		{ "[vm *]\nnodes = 0:\n", ":2: nodes: the node of the host of each tier" },
		{ "[vm *]\nnodes = 64\n", ":2: nodes: " },
		{ "[vm *]\nnodes = 0:1:2:3:4:5:6:7:8\n", ":2: nodes: " },
		{ "[vm *]\nnodes = 0+1:2+2\n", ":2: nodes: " },
		{ "[vm *]\nnodes = 0+:2\n", ":2: nodes: " },
		{ "[vm *]\nnodes = +1\n", ":2: nodes: " },
		{ "[node 64]\ncapacity = 1G\n", ":2: [node 64]: a node's number is 0 to 63" },
		{ "[node x]\ncapacity = 1G\n", ":2: [node x]: " },
		{ "[node 0]\ncapacity = 0\n", ":2: capacity: more than 0, not '0'" },
		{ "[node 0]\ncapacity = much\n", ":2: capacity: 'much' is not a size" },
		{ "[node 0]\nsize = 1G\n", ":2: 'size' is unknown: a node has a capacity" },
		{ "[vm *]\ntrade = maybe\n", ":2: trade: yes or no, not 'maybe'" },
		{ "[daemon]\npool = 0\n", ":2: pool: more than 0" },
		{ "[daemon]\npool = 48M\npool-reserve = 48M\n",
		  "pool-reserve: 48 MiB leaves nothing of the pool of 48 MiB" },
		{ "[daemon]\nlog = loud\n", ":2: log: info or debug, not 'loud'" },
		{ "[daemon]\nsocket =\n", ":2: socket: a path is expected" },
		{ "[daemon]\nmax-guest = 512T\n", ":2: max-guest: 4K to 256T" },
		{ "\n[vm]\nrate = 1\n", ":3: there is no section [vm]" },
		{ "[machine a]\nrate = 1\n", ":2: there is no section [machine a]" },
		{ "[vm a]\nrate = 0\n", ":2: policy: rate=0 is not a number from 1" },
		{ "[vm a]\npolicy = best\n", ":2: no policy is named 'best'" },
		{ "[vm a]\nsize = 1\n", ":2: policy: 'size' is unknown" },
		{ "[vm a]\npool-weight = 0\n", ":2: pool-weight: 1 to 1000, not '0'" },
		{ "[vm a]\npool-maximum = x\n", "'x' is not a size" },
		{ "[vm a]\nrate = 1\nrate = 2\n", ":3: 'rate' is set twice in [vm a]" },
		{ "[vm a]\nrate = 1\n  2\n", ":3: 'rate' is set twice in [vm a]" },
		{ "[vm a]\nrate\n", ":2: neither a [section], nor KEY = VALUE" },
		{ "[vm a\nrate = 1\n", ":1: neither a [section], nor KEY = VALUE" },
		{ "[vm aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]\nrate = 1\n",
		  ":2: a section's or key's name is too long" },
		{ "[vm a]\n# aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
		  ":2: the line is too long" },
	};
	struct fixture *f = fixture_new(NULL);
	struct peer p = { 0 };
	char line[128];

	(void)state;
	write_file(f->d.config, sections);
	ctl(f, 0, "reload");
	peer_handshake(&p, f->d.vm_socket, "web");
	snprintf(line, sizeof(line), "config check %s", f->d.config);
	ctl(f, 0, line);
	assert_non_null(strstr(f->ctl.out, "no errors; 3 sections about VMs"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		write_file(f->d.config, cases[i].text);
		usage_check(f, &(struct usage) { 1, line, cases[i].says }, 1);
		usage_check(f, &(struct usage) { 2, "reload", cases[i].says }, 1);
	}
	policy_is(f, "web", "hmmv", 8, "/hmemd.conf");
	usage_check(f, (const struct usage[]) {
		{ 1, "config check /nonexistent/hmemd.conf", "No such file" },
		{ 1, "config check /", "Is a directory" },
		{ 1, "config check /dev/zero", "larger than 1 MiB" },
		{ 2, "config", "check or show?" },
		{ 2, "config forget", "neither check nor show" },
		{ 2, "config show a", "nothing more is expected" },
		{ 2, "reload now", "nothing is expected" },
		{ 2, "policy web reset now", "nothing more is expected" },
	}, 8);
	/* hmemd does not start with a wrong file. */
	assert_int_equal(daemon_second(&f->d), 1);
	write_file(f->d.config, "");
	peer_close(&p);
	fixture_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sections_by_name_and_uuid),
		cmocka_unit_test(what_hmemctl_set_stays),
		cmocka_unit_test(bounds_in_the_pool),
		cmocka_unit_test(changed_sockets),
		cmocka_unit_test(faults_are_named),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
