/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faults around hmemd, at random: hmemd and QEMUs are killed at any point, peers read slowly or not
 * at all, memory and disk are full, io_uring is forbidden, and clocks jump.  After each fault,
 * nothing is lost: hmemd serves all VMs, and has no file, no memory and no work left over.
 *
 * CYCLES is the number of faults, SEED makes the same choices again.  HMEMD_PLAIN is an hmemd
 * without sanitizers, whose memory can be measured and limited; half of the cycles use it.
 * HMEMCTL_PLAIN is such an hmemctl.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"
#include "preload-faults.h"
#include "process.h"
#include "qemus.h"

#define VMS		4u
/* The file system of the state directory has room for the state of all VMs, and not for more. */
#define DISK_BYTES	"size=1m"
/*
 * A reading of hmemd's turns is quiet if it has made few since the one before, of which the
 * requests of the test are half.
 */
#define QUIET_TURNS	16
#define QUIET_READINGS	3u
#define PAUSE_US	20000
#define PATIENCE	3000u
/* Calls for memory that fail in a cycle, at least. */
#define FAILED_CALLS	8u
#define RUNS_OF_HMEMCTL	100u
/* What hmemd may need in addition: a client that does not read is kept 32 MiB of answers. */
#define MORE_KIB	(48u * 1024)

struct world {
	struct fixture *f;
	struct qemu qemus[VMS];
	uint64_t rnd;
	/* The faults of hmemd and of hmemctl, and their files. */
	struct preload_faults *faults, *ctl_faults;
	char path[64], ctl_path[64];
	char dir[32], state[64], disk_full[64], preload[256];
	/* How the present hmemd was started. */
	const char *args[5];
	char policy[64], option[96];
	bool plain, epoll, has_state;
	/* How often hmemd could not save a VM's state for want of room: in all, and last. */
	unsigned int disk_full_times, not_saved;
	/* Figures of the present hmemd, when it first served all VMs; a connection to it. */
	unsigned int files;
	uint64_t kib;
	int control;
};

static uint64_t pick(struct world *w, uint64_t num)
{
	return unit_random(&w->rnd) % num;
}

/* --- asking hmemd --- */

static struct json_object *ask(struct world *w, const char *request)
{
	control_send(w->control, request);
	return control_read(w->control);
}

static int64_t ask_num(struct world *w, const char *request, const char *path)
{
	struct json_object *o = ask(w, request);
	int64_t num = json_num_at(o, path);

	json_object_put(o);
	return num;
}

/* Waits until this process, and not one before it, is the VM. */
static void wait_for_vm(struct world *w, const struct qemu *q)
{
	char request[64];

	snprintf(request, sizeof(request), "{\"verb\":\"list\",\"vm\":\"%s\"}", q->name);
	for (unsigned int i = 0; ask_num(w, request, "vms.0.pid") != q->pid; i++) {
		if (i == PATIENCE)
			fail_msg("%s does not come back", q->name);
		usleep(PAUSE_US);
	}
}

/* Each page that a client has moved gets a result. */
static void moves_pages(struct world *w, const char *name)
{
	unsigned int first = pick(w, PEER_TIER - 2000), num = 1 + pick(w, 1500);
	unsigned int from = pick(w, 2);
	struct json_object *o;
	char request[160];

	snprintf(request, sizeof(request), "{\"verb\":\"migrate\",\"vm\":\"%s\",\"to\":%u,"
		 "\"ranges\":[[%u,%u]],\"wait\":true}", name, !from,
		 first + (from ? PEER_TIER : 0), num);
	o = ask(w, request);
	while (json_num_at(o, "progress.pages") >= 0) {
		json_object_put(o);
		o = control_read(w->control);
	}
	if (json_num_at(o, "migrate.done") != num)
		fail_msg("%s: %u pages were to move: %s", name, num,
			 json_object_to_json_string(o));
	json_object_put(o);
}

/* --- an hmemd --- */

static void connect_control(struct world *w)
{
	w->control = peer_socket(w->f->d.control_socket);
}

static void choose_hmemd(struct world *w)
{
	static const char *const policies[] = { "hmmv", "auto" };
	const char *plain = getenv("HMEMD_PLAIN"), *sanitized = getenv("HMEMD_SANITIZED");
	unsigned int n = 0;

	w->plain = pick(w, 2);
	w->epoll = pick(w, 2);
	w->has_state = pick(w, 2);
	setenv("HMEMD", w->plain ? plain : sanitized, 1);
	/* Sanitizers have an allocator and a clock of their own. */
	if (w->plain)
		setenv("HMEMD_PRELOAD", w->preload, 1);
	else
		unsetenv("HMEMD_PRELOAD");
	if (w->epoll)
		setenv("NO_IO_URING", "1", 1);
	else
		unsetenv("NO_IO_URING");
	snprintf(w->policy, sizeof(w->policy), "--policy=%s,track=sim", policies[pick(w, 2)]);
	snprintf(w->option, sizeof(w->option), "--state-directory=%s", w->state);
	w->args[n++] = w->policy;
	if (w->has_state)
		w->args[n++] = w->option;
	if (w->has_state && pick(w, 2))
		w->args[n++] = "--state-interval=1";
	w->args[n] = NULL;
}

/* All VMs are served. */
static void serves_all(struct world *w)
{
	for (unsigned int i = 0; i < VMS; i++) {
		wait_for_vm(w, &w->qemus[i]);
		moves_pages(w, w->qemus[i].name);
	}
}

static void stop_or_continue_all(struct world *w, void (*what)(const struct qemu *q))
{
	for (unsigned int i = 0; i < VMS; i++)
		what(&w->qemus[i]);
}

/* While nobody asks anything, hmemd does nothing. */
static void becomes_quiet(struct world *w)
{
	int64_t before = 0, now;

	stop_or_continue_all(w, qemu_stop);
	for (unsigned int i = 0, quiet = 0; quiet < QUIET_READINGS; i++) {
		if (i == PATIENCE)
			fail_msg("hmemd is busy, though nobody asks anything");
		now = ask_num(w, "{\"verb\":\"info\"}", "hmemd.turns");
		quiet = now - before <= QUIET_TURNS ? quiet + 1 : 0;
		before = now;
		usleep(PAUSE_US);
	}
	stop_or_continue_all(w, qemu_continue);
}

static void keeps_nothing(struct world *w)
{
	uint64_t kib;

	for (unsigned int i = 0; process_files(w->f->d.pid) > w->files; i++) {
		if (i == PATIENCE)
			fail_msg("hmemd has %u files open, not %u",
				 process_files(w->f->d.pid), w->files);
		usleep(PAUSE_US);
	}
	kib = process_kib(w->f->d.pid, "VmHWM");
	if (w->plain && kib > w->kib + MORE_KIB)
		fail_msg("hmemd has needed %" PRIu64 " KiB, %" PRIu64 " at first", kib, w->kib);
}

/* All is as it was before the fault. */
static void is_well(struct world *w)
{
	for (unsigned int i = 0; i < VMS; i++)
		qemu_check(&w->qemus[i]);
	serves_all(w);
	becomes_quiet(w);
	keeps_nothing(w);
}

static void first_figures(struct world *w)
{
	connect_control(w);
	serves_all(w);
	becomes_quiet(w);
	w->files = process_files(w->f->d.pid);
	w->kib = process_kib(w->f->d.pid, "VmHWM");
}

static void start_again(struct world *w)
{
	choose_hmemd(w);
	daemon_restart(&w->f->d, w->args);
	first_figures(w);
}

static void forget_log(struct world *w)
{
	assert_return_code(truncate(w->f->d.log, 0), errno);
}

/* The number of lines of the log that have @text. */
static unsigned int lines_with(struct world *w, const char *text)
{
	FILE *f = fopen(w->f->d.log, "r");
	unsigned int num = 0;
	char line[1024];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		num += strstr(line, text) != NULL;
	fclose(f);
	return num;
}

static void stop_hmemd(struct world *w)
{
	close(w->control);
	kill(w->f->d.pid, SIGTERM);
	assert_int_equal(process_wait(w->f->d.pid), 0);
}

/* --- faults --- */

static void some_time(struct world *w)
{
	usleep(pick(w, 30000));
}

/* Begins to move all pages that are not in the tier. */
static void move(struct world *w, const struct qemu *q, unsigned int to)
{
	char request[96];

	snprintf(request, sizeof(request), "{\"verb\":\"migrate\",\"vm\":\"%s\",\"to\":%u,"
		 "\"all\":true}", q->name, to);
	json_object_put(ask(w, request));
}

/* Something is under way for all VMs. */
static void move_all(struct world *w)
{
	for (unsigned int i = 0; i < VMS; i++)
		move(w, &w->qemus[i], pick(w, 2));
}

static void kill_hmemd(struct world *w)
{
	if (pick(w, 2))
		move_all(w);
	some_time(w);
	daemon_kill(&w->f->d);
	close(w->control);
	/* Another one can be killed before all VMs have connected again. */
	while (!pick(w, 3)) {
		daemon_restart(&w->f->d, w->args);
		some_time(w);
		daemon_kill(&w->f->d);
	}
	start_again(w);
}

/* What hmemd says it has saved is what the next one goes on with. */
static void restart_hmemd(struct world *w)
{
	unsigned int saved, restored;

	forget_log(w);
	stop_hmemd(w);
	saved = lines_with(w, "what was learned is saved");
	w->not_saved = lines_with(w, "No space left on device");
	if (w->has_state)
		assert_int_equal(saved + lines_with(w, "what was learned is not saved"), VMS);
	else
		assert_int_equal(saved, 0);
	forget_log(w);
	daemon_restart(&w->f->d, w->args);
	first_figures(w);
	restored = lines_with(w, "goes on with what was learned before");
	/* What was saved in an interval can be of use to VMs whose state found no room now. */
	if (restored < saved)
		fail_msg("%u VMs go on with what was learned, but that of %u was saved",
			 restored, saved);
}

static void kill_qemu(struct world *w)
{
	struct qemu *q = &w->qemus[pick(w, VMS)];

	if (pick(w, 2))
		move_all(w);
	qemu_kill(q);
	/* Another one kills itself at any byte of what it sends: often of its introduction. */
	q->dies_after = 1 + pick(w, pick(w, 2) ? 1000 : 100000);
	qemu_start(q, w->f->d.vm_socket);
	if (q->dies_after > 1000)
		wait_for_vm(w, q);
	if (q->dies_after > 1000)
		move_all(w);
	qemu_expect_death(q);
	q->dies_after = 0;
	q->boot++;
	qemu_start(q, w->f->d.vm_socket);
}

/* A peer that does not read for a while holds up nobody, and loses nothing. */
static void stuck_qemu(struct world *w)
{
	struct qemu *q = &w->qemus[pick(w, VMS)];

	qemu_stop(q);
	/* All pages, there and back: more than the buffers of the socket hold. */
	for (unsigned int to = 0; to < 2; to++)
		move(w, q, to);
	for (unsigned int i = 0; i < VMS; i++) {
		if (&w->qemus[i] != q)
			moves_pages(w, w->qemus[i].name);
	}
	becomes_quiet(w);
	qemu_continue(q);
}

static void slow_qemu(struct world *w)
{
	struct qemu *q = &w->qemus[pick(w, VMS)];

	qemu_kill(q);
	q->chunk = 1 + pick(w, 30);
	q->boot++;
	qemu_start(q, w->f->d.vm_socket);
	wait_for_vm(w, q);
	moves_pages(w, q->name);
	qemu_kill(q);
	q->chunk = 0;
	q->boot++;
	qemu_start(q, w->f->d.vm_socket);
}

/* Peers that begin to introduce themselves, and never end. */
static void strangers(struct world *w)
{
	unsigned int num = 1 + pick(w, 20);
	struct hmem_link_header hdr = { HMEM_LINK_HELLO, sizeof(struct hmem_link_hello) };
	int fds[20];

	for (unsigned int i = 0; i < num; i++) {
		fds[i] = peer_socket(w->f->d.vm_socket);
		if (pick(w, 2))
			(void)!send(fds[i], &hdr, 1 + pick(w, sizeof(hdr)), MSG_NOSIGNAL);
	}
	serves_all(w);
	for (unsigned int i = 0; i < num; i++)
		close(fds[i]);
}

/* A client that asks and does not read the answers: hmemd keeps some for it, and then drops it. */
static void deaf_client(struct world *w)
{
	static const char request[] = "{\"verb\":\"status\"}\n";
	int fd = peer_socket(w->f->d.control_socket);
	unsigned int tries = 0;

	for (;;) {
		if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
			continue;
		if (errno == EPIPE || errno == ECONNRESET)
			break;
		/* hmemd has still to read. */
		assert_int_equal(errno, EAGAIN);
		assert_in_range(tries++, 0, PATIENCE);
		usleep(PAUSE_US);
	}
	serves_all(w);
	close(fd);
}

static void fill_disk(struct world *w)
{
	static char zeros[4096];
	int fd = open(w->disk_full, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	unsigned int pages = 230 + pick(w, 40);

	while (pages-- && write(fd, zeros, sizeof(zeros)) > 0)
		;
	close(fd);
}

static void disk_full(struct world *w)
{
	if (!w->has_state) {
		stop_hmemd(w);
		do
			choose_hmemd(w);
		while (!w->has_state);
		daemon_restart(&w->f->d, w->args);
		first_figures(w);
	}
	fill_disk(w);
	restart_hmemd(w);
	w->disk_full_times += w->not_saved;
	unlink(w->disk_full);
}

/* A client that gets answers while there is no memory: events. */
static int follow(struct world *w)
{
	int fd = peer_socket(w->f->d.control_socket);

	control_send(fd, "{\"verb\":\"events\",\"follow\":true}");
	json_object_put(control_read(fd));
	return fd;
}

/*
 * A client that asks while there is no memory.  hmemd drops it, says that there is no memory, or
 * answers what it was asked: that a word of the request was not kept must not change its meaning.
 */
static void ask_without_memory(struct world *w)
{
	static const char request[] = "{\"verb\": \"explain\", \"version\": 1, \"vm\": "
		"\"no such\", \"gfn\": 1, \"more\": [[[2.5, true, false, null]]]}\n";
	int fd = peer_socket(w->f->d.control_socket);
	char line[1024] = "";
	size_t n = 0;

	(void)!send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL);
	while (n < sizeof(line) - 1 && recv(fd, line + n, 1, 0) == 1 && line[n] != '\n')
		n++;
	close(fd);
	if (n && !strstr(line, "no VM 'no such' is connected") && !strstr(line, "no memory"))
		fail_msg("hmemd answers '%s'", line);
}

/* Many of hmemd's calls for memory fail for a while, in which VMs and clients come and go. */
static void no_memory(struct world *w)
{
	struct qemu *q = &w->qemus[pick(w, VMS)];
	uint32_t before = w->faults->no_memory;
	int fd = follow(w);

	move_all(w);
	for (unsigned int i = 0; w->plain && w->faults->no_memory < before + FAILED_CALLS; i++) {
		assert_in_range(i, 0, PATIENCE);
		__atomic_store_n(&w->faults->memory_fails, 1 + pick(w, 10), __ATOMIC_RELAXED);
		qemu_kill(q);
		q->boot++;
		qemu_start(q, w->f->d.vm_socket);
		for (unsigned int k = 0; k < 8; k++)
			ask_without_memory(w);
		some_time(w);
	}
	__atomic_store_n(&w->faults->memory_fails, 0, __ATOMIC_RELAXED);
	close(fd);
}

/* hmemctl prints as much as with memory, or says that there is none. */
static void no_memory_for_hmemctl(struct world *w)
{
	struct ctl *ctl = &w->f->ctl;
	char *all;

	ctl_run(ctl, &w->f->d, NULL, "-o json policy vm0");
	assert_int_equal(ctl->status, 0);
	all = strdup(ctl->out);
	setenv("FAULTS", w->ctl_path, 1);
	setenv("LD_PRELOAD", w->preload, 1);
	for (unsigned int i = 1; i <= RUNS_OF_HMEMCTL; i++) {
		w->ctl_faults->memory_fails = i;
		ctl_run(ctl, &w->f->d, NULL, "-o json policy vm0");
		if (ctl->status ? ctl->status != 1 || !strstr(ctl->err, "no memory") :
		    strcmp(ctl->out, all))
			fail_msg("hmemctl without memory for one call in %u: status %d, '%s%s'",
				 i, ctl->status, ctl->out, ctl->err);
	}
	unsetenv("LD_PRELOAD");
	setenv("FAULTS", w->path, 1);
	free(all);
}

/* The time of day jumps by up to ten years, back or forth. */
static void clock_jump(struct world *w)
{
	int64_t range = 2ll * 10 * 365 * 86400;

	__atomic_store_n(&w->faults->clock_s, (int64_t)pick(w, range) - range / 2,
			 __ATOMIC_RELAXED);
}

static const struct {
	const char *name;
	void (*run)(struct world *w);
} faults[] = {
	{ "hmemd killed", kill_hmemd },
	{ "hmemd restarted", restart_hmemd },
	{ "QEMU killed", kill_qemu },
	{ "QEMU stuck", stuck_qemu },
	{ "QEMU slow", slow_qemu },
	{ "strangers", strangers },
	{ "deaf client", deaf_client },
	{ "disk full", disk_full },
	{ "no memory", no_memory },
	{ "no memory for hmemctl", no_memory_for_hmemctl },
	{ "clock jump", clock_jump },
};

#define NUM_FAULTS	(sizeof(faults) / sizeof(faults[0]))

/* --- the world --- */

/* A small disk for the state, and a clock that the test controls. */
/* In a new user namespace, only users that are mapped can own files. */
static bool map_user(uid_t user)
{
	char text[32];
	int fd = open("/proc/self/uid_map", O_WRONLY), len;
	bool done;

	len = snprintf(text, sizeof(text), "0 %u 1", user);
	done = fd >= 0 && write(fd, text, len) == len;
	close(fd);
	return done;
}

static struct preload_faults *make_faults(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	void *map;

	assert_return_code(ftruncate(fd, sizeof(struct preload_faults)), errno);
	map = mmap(NULL, sizeof(struct preload_faults), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(map != MAP_FAILED);
	close(fd);
	return map;
}

static void make_world(struct world *w)
{
	uid_t user = geteuid();		/* 0: root needs no user namespace */

	strcpy(w->dir, "/tmp/hmem-faults-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	if (unshare(CLONE_NEWNS | (user ? CLONE_NEWUSER : 0)) < 0 ||
	    (user && !map_user(user)) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("hmem", w->dir, "tmpfs", 0, DISK_BYTES) < 0) {
		printf("no namespace of its own: %s\n", strerror(errno));
		rmdir(w->dir);
		exit(77);
	}
	snprintf(w->state, sizeof(w->state), "%s/state", w->dir);
	snprintf(w->disk_full, sizeof(w->disk_full), "%s/full", w->dir);
	snprintf(w->path, sizeof(w->path), "%s/faults", w->dir);
	w->faults = make_faults(w->path);
	snprintf(w->ctl_path, sizeof(w->ctl_path), "%s/hmemctl-faults", w->dir);
	w->ctl_faults = make_faults(w->ctl_path);
	setenv("FAULTS", w->path, 1);
	setenv("HMEMCTL", getenv("HMEMCTL_PLAIN"), 1);
	setenv("HMEMD_SANITIZED", getenv("HMEMD"), 1);
	snprintf(w->preload, sizeof(w->preload), "%.*s/preload-faults.so",
		 (int)(strrchr(getenv("HMEMD"), '/') - getenv("HMEMD")), getenv("HMEMD"));
	for (unsigned int i = 0; i < VMS; i++) {
		snprintf(w->qemus[i].name, sizeof(w->qemus[i].name), "vm%u", i);
		w->qemus[i].uuid = i + 1;
		w->qemus[i].boot = 1;
	}
	w->f = calloc(1, sizeof(*w->f));
	w->f->web.fd = w->f->web.map_fd = -1;
}

static void end_world(struct world *w)
{
	close(w->control);
	for (unsigned int i = 0; i < VMS; i++)
		qemu_kill(&w->qemus[i]);
	fixture_end(w->f);
	umount2(w->dir, MNT_DETACH);
	rmdir(w->dir);
}

/* The faults in another order each time. */
static void shuffle(struct world *w, unsigned int order[NUM_FAULTS])
{
	for (unsigned int i = 0; i < NUM_FAULTS; i++) {
		unsigned int k = pick(w, i + 1);

		order[i] = order[k];
		order[k] = i;
	}
}

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

int main(void)
{
	uint64_t cycles = number("CYCLES", 40), seed = number("SEED", 1);
	unsigned int counts[NUM_FAULTS] = { 0 }, order[NUM_FAULTS];
	struct world w = { .rnd = seed * 2 + 1 };

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("# SEED=%" PRIu64 " CYCLES=%" PRIu64 " makes the same choices\n", seed, cycles);
	make_world(&w);
	choose_hmemd(&w);
	daemon_start(&w.f->d, w.args);
	for (unsigned int i = 0; i < VMS; i++)
		qemu_start(&w.qemus[i], w.f->d.vm_socket);
	first_figures(&w);
	for (uint64_t i = 0; i < cycles; i++) {
		unsigned int fault;

		if (!(i % NUM_FAULTS))
			shuffle(&w, order);
		fault = order[i % NUM_FAULTS];
		printf("# cycle %" PRIu64 ": %s%s%s%s\n", i, faults[fault].name,
		       w.plain ? ", plain" : "", w.epoll ? ", epoll" : "",
		       w.has_state ? ", state" : "");
		faults[fault].run(&w);
		is_well(&w);
		counts[fault]++;
	}
	end_world(&w);
	for (unsigned int i = 0; i < NUM_FAULTS; i++)
		printf("# %5u %s\n", counts[i], faults[i].name);
	printf("# %u calls for memory failed, and %u files found no room\n", w.faults->no_memory,
	       w.disk_full_times);
	printf("ok 1 - %" PRIu64 " cycles, nothing lost\n1..1\n", cycles);
	return 0;
}
