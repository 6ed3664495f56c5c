/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many VMs on one hmemd cost as much per VM as one does; and a VM with 1 TiB needs few bytes per
 * page, and is passed over in slices.
 *
 * Counted are hmemd's system calls, the turns of its loop, and its memory.  HMEMD_PLAIN is an hmemd
 * without sanitizers.
 */
#include "unit.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"
#include "placer.h"
#include "process.h"

#define MAX_VMS		64u
#define WINDOWS		8u
#define USED		100u
/* What a VM of many may cost, in percent of what one alone, or one of few, costs. */
#define FLAT		115u

static struct peer vms[MAX_VMS];
static uint64_t seq;

/* --- many VMs --- */

static void connect_vms(struct fixture *f, unsigned int num)
{
	char name[16];

	for (unsigned int i = 0; i < num; i++) {
		vms[i] = (struct peer) { .trackers = HMEM_LINK_TRACKER_SIM };
		snprintf(name, sizeof(name), "vm%u", i);
		peer_handshake(&vms[i], f->d.vm_socket, name);
	}
	seq = 0;
}

static void close_vms(unsigned int num)
{
	for (unsigned int i = 0; i < num; i++)
		peer_close(&vms[i]);
}

/* All VMs end @windows windows, and their guests do what hmemd asks for. */
static void windows(unsigned int num, unsigned int windows)
{
	struct peer_msg msg;

	while (windows--) {
		seq++;
		for (unsigned int i = 0; i < num; i++) {
			for (unsigned int g = PEER_TIER; g < PEER_TIER + USED; g++)
				vms[i].map[PEER_WORDS + g / 64] |= UINT64_C(1) << g % 64;
			peer_send_tick(&vms[i], seq);
		}
		for (unsigned int i = 0; i < num; i++) {
			for (;;) {
				peer_read(&vms[i], &msg);
				if (msg.hdr.type == HMEM_LINK_TICK_DONE)
					break;
				if (msg.hdr.type == HMEM_LINK_HINTS)
					peer_answer(&vms[i], &msg);
			}
		}
	}
}

static int64_t turns_of(struct fixture *f)
{
	int fd = peer_socket(f->d.control_socket);
	struct json_object *o;
	int64_t turns;

	control_send(fd, "{\"verb\":\"info\"}");
	o = control_read(fd);
	turns = json_num_at(o, "hmemd.turns");
	json_object_put(o);
	close(fd);
	return turns;
}

/* Counts the process's system calls into @calls until the counter is killed. */
static void count_calls(pid_t pid, uint64_t *calls, int ready)
{
	bool entry = true, attached = !ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD) &&
					!ptrace(PTRACE_INTERRUPT, pid, 0, 0);
	int status;

	if (!attached)
		_exit(1);
	while (waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status)) {
		if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
			*calls += entry;
			entry = !entry;
		}
		ptrace(PTRACE_SYSCALL, pid, 0, 0);
		if (ready >= 0 && (write(ready, "", 1) != 1 || close(ready)))
			_exit(1);
		ready = -1;
	}
	_exit(0);
}

/* A process that counts the system calls of hmemd.  When it ends, hmemd goes on alone. */
static pid_t tracer_start(struct fixture *f, uint64_t *calls)
{
	int fds[2];
	char byte;
	pid_t pid;

	assert_return_code(pipe(fds), errno);
	pid = fork();
	assert_return_code(pid, errno);
	if (!pid) {
		close(fds[0]);
		count_calls(f->d.pid, calls, fds[1]);
	}
	close(fds[1]);
	/* It counts from now on, unless the kernel does not let it (kernel.yama.ptrace_scope). */
	if (read(fds[0], &byte, 1) != 1) {
		process_wait(pid);
		pid = -1;
	}
	close(fds[0]);
	return pid;
}

struct cost {
	uint64_t calls, turns;		/* of all windows */
	uint64_t kib;			/* memory in use */
};

static struct cost measure(unsigned int num)
{
	static const char *const args[] = { "--policy=hmmv,track=sim", NULL };
	uint64_t *calls = mmap(NULL, sizeof(*calls), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct fixture *f = fixture_new(args);
	struct cost cost;
	pid_t tracer;

	connect_vms(f, num);
	windows(num, 1);
	cost.turns = turns_of(f);
	tracer = tracer_start(f, calls);
	if (tracer < 0) {
		print_message("# system calls cannot be counted: ptrace is not permitted\n");
		close_vms(num);
		fixture_end(f);
		skip();
	}
	windows(num, WINDOWS);
	cost.calls = *calls;
	kill(tracer, SIGKILL);
	process_wait(tracer);
	cost.turns = turns_of(f) - cost.turns;
	cost.kib = process_kib(f->d.pid, "VmRSS");
	printf("# %u VMs: %.1f system calls and %.1f turns per VM and window, %" PRIu64 " KiB\n",
	       num, (double)cost.calls / num / WINDOWS, (double)cost.turns / num / WINDOWS,
	       cost.kib);
	close_vms(num);
	fixture_end(f);
	munmap(calls, sizeof(*calls));
	return cost;
}

static void each_vm_costs_the_same(void **state)
{
	struct cost one, some, many;
	uint64_t few, more;

	(void)state;
	setenv("HMEMD", getenv("HMEMD_PLAIN"), 1);
	one = measure(1);
	some = measure(8);
	many = measure(MAX_VMS);
	assert_in_range(many.calls, 1, one.calls * MAX_VMS * FLAT / 100);
	assert_in_range(many.turns, 1, one.turns * MAX_VMS * FLAT / 100);
	/* What a further VM needs. */
	few = (some.kib - one.kib) / 7;
	more = (many.kib - some.kib) / (MAX_VMS - 8);
	printf("# a further VM needs %" PRIu64 " KiB, and one of many %" PRIu64 "\n", few, more);
	assert_in_range(more, 1, few * FLAT / 100);
}

/* --- much memory --- */

#define TERABYTE	(UINT64_C(1) << 28)	/* frames */
/* As hmemd's WORK_SLOTS. */
#define SLICE		(UINT64_C(1) << 18)
#define SLICES		(TERABYTE / SLICE)
/* A plan passes over all pages up to three times, and each pass can end with a short slice. */
#define PLAN_SLICES	(3 * (SLICES + 1))
#define MAPS_BYTES	(HMEM_LINK_MAPS * TERABYTE / 8)

/* One block in 256 is used, some more than others; the same blocks in each window. */
static void use_blocks(uint64_t *accessed, unsigned int window)
{
	uint64_t rnd = 1;

	for (uint64_t i = 0; i < TERABYTE / 64 / 256; i++) {
		uint64_t x = unit_random(&rnd), block = x % (TERABYTE / 64);

		if (window % (1 + (x >> 40) % 4) == 0)
			accessed[block] |= x;
	}
}

/* The slices of a window until the device has its answer, and in all. */
struct slices {
	unsigned int counted, all;
};

static struct slices end_window(struct hmem_placer *p)
{
	const struct hmem_tick tick = {
		.times.window_ns = 4000000000, .tells_written = true, .may_move = true,
		.max_moves = UINT32_MAX,
	};
	enum hmem_placer_step to;
	struct slices n = { 0 };
	struct hmem_err err;

	hmem_placer_window(p, &tick);
	do {
		to = hmem_placer_step(p, SLICE, &err);
		assert_string_equal(err.msg, "");
		n.all++;
		if (to != HMEM_PLACER_MORE && !n.counted)
			n.counted = n.all;
	} while (to != HMEM_PLACER_DONE);
	return n;
}

static void a_terabyte(void **state)
{
	static const struct hmem_link_range ranges[] = {
		{ .gfn = 0, .num = TERABYTE / 4, .tier = 0 },
		{ .gfn = TERABYTE / 4, .num = TERABYTE - TERABYTE / 4, .tier = 1 },
	};
	static const struct hmem_link_tier tiers[2];
	/* Memory that is not written takes no room. */
	uint64_t *maps = mmap(NULL, MAPS_BYTES, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct hmem_placer *p = calloc(1, sizeof(*p));
	struct hmem_tracker_maps sim;
	struct hmem_policy policy;
	struct hmem_hint hints[512];
	double bytes, used;
	uint64_t before;

	(void)state;
	assert_true(maps != MAP_FAILED);
	before = process_kib(getpid(), "VmRSS");
	hmem_policy_init(&policy);
	policy.kind = HMEM_POLICY_HMMV;
	hmem_placer_init(p, &policy, tiers, 2, 3400000000, 64);
	assert_int_equal(hmem_placer_ranges(p, ranges, 2, TERABYTE, NULL), 1);
	hmem_tracker_sim_init(&sim, maps, TERABYTE / 8);
	hmem_placer_set_tracker(p, &sim.tracker, HMEM_CAN_REST);
	hmem_placer_begin(p);
	for (unsigned int i = 0; i < 5; i++) {
		struct slices n;

		use_blocks(sim.accessed, i);
		n = end_window(p);
		printf("# window %u: %u slices count, %u plan\n", i, n.counted,
		       n.all - n.counted);
		/* No slice has more pages than its share: otherwise there would be fewer. */
		assert_in_range(n.counted, SLICES, SLICES + 1);
		assert_in_range(n.all - n.counted, SLICES, PLAN_SLICES);
	}
	assert_true(p->planned);
	assert_int_equal(hmem_placer_hints(p, hints, 512), 512);
	bytes = (double)hmem_pages_bytes(&p->pages) / TERABYTE;
	used = (process_kib(getpid(), "VmRSS") - before) * 1024.0 / TERABYTE;
	printf("# %.2f bytes per page if all are used, %.2f of %.2f %% now\n", bytes, used,
	       100.0 / 256);
	assert_true(bytes < 6.5);
	hmem_placer_free(p);
	free(p);
	munmap(maps, MAPS_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_vm_costs_the_same),
		cmocka_unit_test(a_terabyte),
	};

	return cmocka_run_group_tests_name("scale", tests, NULL, NULL);
}
