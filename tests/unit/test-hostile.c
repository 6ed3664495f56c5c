/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Peers that try to harm other peers: hmemd serves the others nevertheless. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

static bool out_has(struct fixture *f, const char *text)
{
	return strstr(f->ctl.out, text) || strstr(f->ctl.err, text);
}

/* Checks that hmemd is alive and serves web. */
static void web_is_well(struct fixture *f)
{
	ctl(f, 0, "migrate web --gfn 0-9 --to 1 --wait");
	assert_true(out_has(f, "moved"));
}

/* --- turns --- */

/* Frames of a VM that claims to have 8 GiB; a pass over them takes several slices. */
#define LARGE		(UINT64_C(1) << 21)

static void large_ranges(struct hmem_link_range *ranges, uint64_t first)
{
	ranges[0] = (struct hmem_link_range) { .num = first };
	ranges[1] = (struct hmem_link_range) {
		.gfn = LARGE / 2, .num = LARGE / 2, .tier = 1,
	};
}

static void large_handshake(struct peer *p, struct fixture *f, const char *name)
{
	struct hmem_link_hello hello;
	struct hmem_link_range ranges[2];
	struct peer_msg msg;
	int fd = peer_memfd(HMEM_LINK_MAPS * LARGE / 8, F_SEAL_SHRINK);

	peer_connect(p, f->d.vm_socket);
	peer_fill_hello(&hello, name);
	hello.map_bytes = LARGE / 8;
	peer_send_hello(p, &hello, &fd, 1);
	large_ranges(ranges, 64);
	peer_send(p, HMEM_LINK_RANGES, ranges, sizeof(ranges));
	peer_send_state(p, HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING);
	peer_expect(p, &msg, HMEM_LINK_WELCOME);
	close(fd);
}

/*
 * hmemd gets a thousand changes of a large VM's ranges, a client's requests, and a tick of web
 * at once.  It answers the client and web when it has processed few of the changes.
 */
static void many_ranges_starve_nobody(void **state)
{
	enum { CHANGES = 1000 };
	struct message {
		struct hmem_link_header hdr;
		struct hmem_link_range ranges[2];
	} *burst = calloc(CHANGES, sizeof(*burst));
	struct fixture *f = *state;
	struct json_object *o;
	struct peer large = { 0 };
	struct peer_msg msg;
	int64_t pages;
	int control, policy;

	ctl(f, 0, "policy web set name=observe");
	peer_expect(&f->web, &msg, HMEM_LINK_TRACK);
	large_handshake(&large, f, "large");
	control = peer_socket(f->d.control_socket);
	control_send(control, "{\"verb\":\"list\"}");
	json_object_put(control_read(control));
	policy = peer_socket(f->d.control_socket);
	control_send(policy, "{\"verb\":\"list\"}");
	json_object_put(control_read(policy));
	for (unsigned int i = 0; i < CHANGES; i++) {
		burst[i].hdr = (struct hmem_link_header) {
			HMEM_LINK_RANGES, sizeof(burst[i].ranges),
		};
		large_ranges(burst[i].ranges, 128 + 64 * i);
	}
	kill(f->d.pid, SIGSTOP);
	peer_send_raw(&large, burst, CHANGES * sizeof(*burst));
	peer_send_tick(&f->web, 1);
	control_send(control, "{\"verb\":\"status\",\"vm\":\"large\"}");
	control_send(policy, "{\"verb\":\"policy\",\"vm\":\"large\",\"set\":{\"rate\":9}}\n"
		     "{\"verb\":\"status\",\"vm\":\"large\"}");
	kill(f->d.pid, SIGCONT);
	o = control_read(control);
	pages = json_num_at(o, "vms.0.tiers.0.pages");
	/* hmemd has processed only as many changes as turns that it took to read the request. */
	assert_in_range(pages, 64, 128 + 64 * 4);
	json_object_put(o);
	/* A change of policy waits for one change of ranges, but not for all. */
	o = control_read(policy);
	assert_int_equal(json_num_at(o, "policy.rate"), 9);
	json_object_put(o);
	o = control_read(policy);
	pages = json_num_at(o, "vms.0.tiers.0.pages");
	assert_in_range(pages, 64, 128 + 64 * 8);
	json_object_put(o);
	close(policy);
	peer_expect(&f->web, &msg, HMEM_LINK_TICK_DONE);
	/* No change of ranges is lost. */
	do {
		control_send(control, "{\"verb\":\"status\",\"vm\":\"large\"}");
		o = control_read(control);
		pages = json_num_at(o, "vms.0.tiers.0.pages");
		json_object_put(o);
	} while (pages != 128 + 64 * (CHANGES - 1));
	close(control);
	peer_close(&large);
	free(burst);
}

/* hmemd drops a device that sends a tick before the answer to the last one. */
static void a_tick_before_the_answer(void **state)
{
	static const char *const ways[] = { "off", "on" };
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 2; i++) {
		struct {
			struct hmem_link_header hdr;
			struct hmem_link_tick tick;
		} two[2];
		struct peer p = {
			.trackers = HMEM_LINK_TRACKER_DIRTY | HMEM_LINK_TRACKER_SIM,
			.track_flags = HMEM_LINK_TRACK_LOCKSTEP,
		};
		struct peer_msg msg;
		char line[80];

		peer_handshake(&p, f->d.vm_socket, "hasty");
		snprintf(line, sizeof(line), "policy hasty set name=observe lockstep=%s",
			 ways[i]);
		ctl(f, 0, line);
		peer_expect(&p, &msg, HMEM_LINK_TRACK);
		for (unsigned int k = 0; k < 2; k++) {
			two[k].hdr = (struct hmem_link_header) {
				HMEM_LINK_TICK, sizeof(two[k].tick),
			};
			two[k].tick = (struct hmem_link_tick) {
				.seq = 7 + k, .vtime_ns = 1000000 * k, .window_ns = 1000000,
			};
		}
		/* In lockstep, hmemd answers a tick before it reads the next message. */
		peer_send_raw(&p, two, sizeof(two));
		if (i) {
			for (unsigned int k = 0; k < 2; k++)
				peer_expect(&p, &msg, HMEM_LINK_TICK_DONE);
			peer_close(&p);
			continue;
		}
		peer_expect_drop(&p);
		doctor(f);
		assert_true(out_has(f, "TICK before the answer"));
	}
	web_is_well(f);
}

/* With --lockstep=2, a VM must not tick again before all VMs have ticked. */
static void a_tick_before_the_others(void **state)
{
	struct fixture *f = fixture_new((const char *[]) {
		"--lockstep=2", "-p", "observe", NULL
	});
	struct peer p = {
		.trackers = HMEM_LINK_TRACKER_DIRTY | HMEM_LINK_TRACKER_SIM,
		.track_flags = HMEM_LINK_TRACK_LOCKSTEP,
	};
	struct peer_msg msg;

	(void)state;
	peer_handshake(&p, f->d.vm_socket, "hasty");
	peer_expect(&p, &msg, HMEM_LINK_TRACK);
	peer_send_tick(&p, 1);
	peer_send_tick(&p, 2);
	peer_expect_drop(&p);
	doctor(f);
	assert_true(out_has(f, "before the answer to 1"));
	fixture_end(f);
}

/* After tracking has started again, a late tick of the old tracking is answered, too. */
static void a_tick_of_before(void **state)
{
	struct fixture *f = *state;
	struct peer p = {
		.trackers = HMEM_LINK_TRACKER_DIRTY | HMEM_LINK_TRACKER_SIM,
	};
	struct peer_msg msg;
	struct {
		struct hmem_link_header hdr;
		struct hmem_link_tick tick;
	} two[2] = {
		{ { HMEM_LINK_TICK, sizeof(two[0].tick) }, { .seq = 5, .window_ns = 1 } },
		{ { HMEM_LINK_TICK, sizeof(two[0].tick) }, { .seq = 1, .window_ns = 1 } },
	};

	peer_handshake(&p, f->d.vm_socket, "slow");
	ctl(f, 0, "policy slow set name=observe track=dirty");
	peer_expect(&p, &msg, HMEM_LINK_TRACK);
	ctl(f, 0, "policy slow set track=sim");
	peer_expect(&p, &msg, HMEM_LINK_TRACK);
	peer_send_raw(&p, two, sizeof(two));
	for (unsigned int k = 0; k < 2; k++) {
		peer_expect(&p, &msg, HMEM_LINK_TICK_DONE);
		assert_int_equal(((struct hmem_link_tick_done *)msg.payload)->seq,
				 two[k].tick.seq);
	}
	peer_close(&p);
}

/* --max-tables limits the tables of all VMs together, whatever sizes VMs claim. */
static void claims_are_bounded(void **state)
{
	struct fixture *f = fixture_new((const char *[]) { "--max-tables=240K", NULL });
	struct peer p = { 0 }, q = { 0 };
	struct hmem_link_hello hello;
	struct hmem_link_range ranges[2];
	int fd = peer_memfd(HMEM_LINK_MAPS * LARGE / 8, F_SEAL_SHRINK);

	(void)state;
	peer_handshake(&f->web, f->d.vm_socket, "web");
	/* There is room for two VMs of 64 MiB, but not for a third VM. */
	peer_handshake(&p, f->d.vm_socket, "second");
	peer_connect(&q, f->d.vm_socket);
	peer_fill_hello(&hello, "large");
	hello.map_bytes = LARGE / 8;
	peer_send_hello(&q, &hello, &fd, 1);
	large_ranges(ranges, 64);
	peer_send(&q, HMEM_LINK_RANGES, ranges, sizeof(ranges));
	peer_expect_drop(&q);
	doctor(f);
	assert_true(out_has(f, "--max-tables"));
	/* A VM cannot grow beyond the limit either. */
	large_ranges(ranges, 64);
	ranges[1].gfn = 8192;
	ranges[1].num = 8192;
	peer_send(&p, HMEM_LINK_RANGES, ranges, sizeof(ranges));
	web_is_well(f);
	peer_close(&p);
	close(fd);
	fixture_end(f);
}

/* A client requests a VM's heat while the VM's ranges change again and again. */
static void looks_while_ranges_change(void **state)
{
	struct fixture *f = *state;
	struct peer large = { 0 };
	struct json_object *o;
	int control = peer_socket(f->d.control_socket);

	large_handshake(&large, f, "large");
	for (unsigned int i = 0; i < 30; i++) {
		struct hmem_link_range ranges[2];

		large_ranges(ranges, 64 + i);
		/* The VM becomes smaller than the part that hmemd has counted so far. */
		if (i % 3)
			ranges[1].num = 1000;
		kill(f->d.pid, SIGSTOP);
		control_send(control, "{\"verb\":\"heat\",\"vm\":\"large\",\"bins\":9}");
		peer_send(&large, HMEM_LINK_RANGES, ranges, sizeof(ranges));
		kill(f->d.pid, SIGCONT);
		o = control_read(control);
		assert_true(json_num_at(o, "tiers.0.pages") >= 64);
		json_object_put(o);
	}
	peer_close(&large);
	close(control);
	web_is_well(f);
}

/* A change of policy during a pass waits until the pass ends, and is not lost. */
static void policy_changes_in_a_pass(void **state)
{
	struct fixture *f = *state;
	struct peer large = { 0 };
	struct json_object *o;
	struct peer_msg msg;
	int control = peer_socket(f->d.control_socket);

	large_handshake(&large, f, "large");
	ctl(f, 0, "policy large set name=hmmv track=dirty");
	peer_expect(&large, &msg, HMEM_LINK_TRACK);
	control_send(control, "{\"verb\":\"list\"}");
	json_object_put(control_read(control));
	for (uint64_t seq = 1; seq <= 20; seq++) {
		kill(f->d.pid, SIGSTOP);
		peer_send_tick(&large, seq);
		control_send(control, seq % 2 ?
			     "{\"verb\":\"policy\",\"vm\":\"large\","
			     "\"set\":{\"name\":\"observe\"}}" :
			     "{\"verb\":\"policy\",\"vm\":\"large\","
			     "\"set\":{\"name\":\"hmmv\"}}");
		kill(f->d.pid, SIGCONT);
		o = control_read(control);
		assert_int_equal(json_num_at(o, "policy.window"), 1000);
		json_object_put(o);
		peer_expect(&large, &msg, HMEM_LINK_TICK_DONE);
	}
	/* The change gets an answer even if the VM disconnects during the pass. */
	kill(f->d.pid, SIGSTOP);
	peer_send_tick(&large, 21);
	control_send(control, "{\"verb\":\"policy\",\"vm\":\"large\",\"set\":{\"rate\":9}}");
	peer_close(&large);
	kill(f->d.pid, SIGCONT);
	json_object_put(control_read(control));
	close(control);
	web_is_well(f);
}

/* --- file descriptors --- */

static void fuse_answer(int dev, uint64_t unique, const void *data, size_t len)
{
	struct {
		struct fuse_out_header hdr;
		char data[128];
	} out = { .hdr = { .len = sizeof(out.hdr) + len, .unique = unique } };

	memcpy(out.data, data, len);
	(void)!write(dev, &out, out.hdr.len);
}

/* Serves a file system with one file, which can be opened; answers nothing else. */
static void fuse_serve(int dev)
{
	static char buf[1 << 17];

	for (;;) {
		const struct fuse_in_header *in = (void *)buf;
		struct fuse_init_out init = {
			.major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = 4096,
		};
		struct fuse_open_out open = { .fh = 1 };

		if (read(dev, buf, sizeof(buf)) < (ssize_t)sizeof(*in))
			return;
		if (in->opcode == FUSE_INIT)
			fuse_answer(dev, in->unique, &init, sizeof(init));
		else if (in->opcode == FUSE_OPEN)
			fuse_answer(dev, in->unique, &open, sizeof(open));
	}
}

struct stuck {
	char path[64];
	pid_t server, opener;
};

/*
 * Mounts such a file system.  A process that has opened the file cannot close it before the
 * server ends, so a child opens it, and sends @num descriptors of it in the HELLO of @p.
 */
static bool stuck_hello(struct stuck *s, struct peer *p, unsigned int num)
{
	struct hmem_link_hello hello;
	char options[80];
	int dev = open("/dev/fuse", O_RDWR | O_CLOEXEC), fd;

	strcpy(s->path, "/tmp/hmem-stuck-XXXXXX");
	fd = mkstemp(s->path);
	assert_return_code(fd, errno);
	close(fd);
	snprintf(options, sizeof(options), "fd=%d,rootmode=100000,user_id=0,group_id=0",
		 dev);
	if (dev < 0 || mount("hmem", s->path, "fuse", 0, options) < 0) {
		unlink(s->path);
		return false;
	}
	s->server = fork();
	if (!s->server) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fuse_serve(dev);
		_exit(0);
	}
	close(dev);
	s->opener = fork();
	if (!s->opener) {
		int fds[8];

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (unsigned int i = 0; i < num; i++)
			fds[i] = open(s->path, O_RDONLY);
		peer_fill_hello(&hello, "stuck");
		peer_send_hello(p, &hello, fds, num);
		for (;;)
			pause();
	}
	return true;
}

static void stuck_end(struct stuck *s)
{
	/* When the server ends, processes that wait for it go on. */
	kill(s->server, SIGKILL);
	kill(s->opener, SIGKILL);
	process_wait(s->server);
	process_wait(s->opener);
	umount2(s->path, MNT_DETACH);
	unlink(s->path);
}

/* hmemd can neither examine nor close a file whose server does not answer. */
static void a_file_that_hangs(void **state)
{
	struct fixture *f = *state;

	for (unsigned int num = 1; num <= 5; num += 4) {
		struct stuck s;
		struct peer p = { 0 };

		peer_connect(&p, f->d.vm_socket);
		if (!stuck_hello(&s, &p, num)) {
			peer_close(&p);
			skip();
		}
		peer_expect_drop(&p);
		web_is_well(f);
		/*
		 * This connection sends no complete message, so hmemd does not receive the
		 * file.
		 */
		peer_connect(&p, f->d.vm_socket);
		ctl(f, 0, "list");
		stuck_end(&s);
		peer_close(&p);
	}
	doctor(f);
	assert_true(out_has(f, "memfd"));
}

/* hmemd ends on SIGTERM although a thread hangs on a file. */
static void ends_although_a_file_hangs(void **state)
{
	struct fixture *f = fixture_new(NULL);
	struct stuck s;
	struct peer p = { 0 };

	(void)state;
	peer_connect(&p, f->d.vm_socket);
	if (!stuck_hello(&s, &p, 1)) {
		peer_close(&p);
		fixture_end(f);
		skip();
	}
	peer_expect_drop(&p);
	fixture_end(f);
	stuck_end(&s);
}

/* Messages with as many descriptors as possible, again and again; hmemd closes them all. */
static void many_descriptors(void **state)
{
	struct fixture *f = *state;
	struct hmem_link_hello hello;
	int fds[8];

	fds[0] = peer_memfd(PEER_MAPS_BYTES, F_SEAL_SHRINK);
	for (unsigned int i = 1; i < 8; i++)
		fds[i] = fds[0];
	peer_fill_hello(&hello, "many");
	for (unsigned int i = 0; i < 300; i++) {
		struct peer p = { 0 };

		peer_connect(&p, f->d.vm_socket);
		peer_send_hello(&p, &hello, fds, 8);
		peer_expect_drop(&p);
	}
	close(fds[0]);
	web_is_well(f);
}

/* --- connections, and the end of hmemd --- */

/*
 * Although more connections are silent than there may be VMs, a VM can connect.  doctor says
 * who was turned away.
 */
static void silent_connections(void **state)
{
	enum { SILENT = 40 };
	struct fixture *f = fixture_new((const char *[]) { "--max-vms=8", NULL });
	struct peer silent[SILENT] = { { 0 } };

	(void)state;
	for (unsigned int i = 0; i < SILENT; i++)
		peer_connect(&silent[i], f->d.vm_socket);
	peer_handshake(&f->web, f->d.vm_socket, "web");
	web_is_well(f);
	doctor(f);
	assert_true(out_has(f, "turned away, the last one: a connection of process"));
	assert_true(out_has(f, "have not introduced themselves"));
	for (unsigned int i = 0; i < SILENT; i++)
		peer_close(&silent[i]);
	fixture_end(f);
}

/* --max-user-vms limits the VMs of one user. */
static void one_user_too_many(void **state)
{
	struct fixture *f = fixture_new((const char *[]) {
		"--max-vms=8", "--max-user-vms=2", NULL
	});
	struct peer p[2] = { { 0 } };

	(void)state;
	peer_handshake(&f->web, f->d.vm_socket, "web");
	peer_handshake(&p[0], f->d.vm_socket, "second");
	peer_connect(&p[1], f->d.vm_socket);
	peer_expect_drop(&p[1]);
	doctor(f);
	assert_true(out_has(f, "2 of that user are connected, see --max-user-vms"));
	web_is_well(f);
	peer_close(&p[0]);
	fixture_end(f);
}

/* One control client too many gets an error, and is counted. */
static void one_client_too_many(void **state)
{
	enum { CLIENTS = 64 };
	struct fixture *f = *state;
	int fds[CLIENTS];

	for (unsigned int i = 0; i < CLIENTS; i++) {
		fds[i] = peer_socket(f->d.control_socket);
		control_send(fds[i], "{\"verb\":\"info\"}");
		json_object_put(control_read(fds[i]));
	}
	ctl(f, 1, "list");
	assert_true(out_has(f, "hmemd serves 64 control clients already"));
	/* There is room again when a client has disconnected. */
	close(fds[0]);
	do
		ctl_run(&f->ctl, &f->d, NULL, "doctor");
	while (f->ctl.status == 1);
	assert_true(out_has(f, "of control clients were turned away"));
	for (unsigned int i = 1; i < CLIENTS; i++)
		close(fds[i]);
	web_is_well(f);
}

/* hmemd ends although peers connect again at once.  SIGHUP does not end hmemd. */
static void ends_while_peers_reconnect(void **state)
{
	enum { PEERS = 4 };
	struct fixture *f = fixture_new(NULL);
	pid_t pids[PEERS];

	(void)state;
	peer_handshake(&f->web, f->d.vm_socket, "web");
	kill(f->d.pid, SIGHUP);
	web_is_well(f);
	peer_close(&f->web);
	for (unsigned int i = 0; i < PEERS; i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			struct sockaddr_un addr = { .sun_family = AF_UNIX };
			int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
			char byte;

			strcpy(addr.sun_path, f->d.vm_socket);
			if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
				_exit(0);
			while (recv(fd, &byte, 1, 0) > 0)
				;
			close(fd);
		}
	}
	ctl(f, 0, "list");
	fixture_end(f);
	/* Each peer has found that it cannot connect any more. */
	for (unsigned int i = 0; i < PEERS; i++)
		assert_int_equal(process_wait(pids[i]), 0);
}

/* If somebody removes the lock files, a second hmemd still cannot take the sockets. */
static void lock_files_are_removed(void **state)
{
	struct fixture *f = *state;
	char path[80];

	snprintf(path, sizeof(path), "%s.lock", f->d.vm_socket);
	assert_return_code(unlink(path), errno);
	snprintf(path, sizeof(path), "%s.lock", f->d.control_socket);
	assert_return_code(unlink(path), errno);
	assert_int_equal(daemon_second(&f->d), 1);
	web_is_well(f);
}

/* Sends garbage: hmemd drops the peer, and logs why. */
static void send_nonsense(struct fixture *f)
{
	static const char zeros[64];
	struct peer p = { 0 };

	peer_connect(&p, f->d.vm_socket);
	peer_send_raw(&p, zeros, sizeof(zeros));
	peer_expect_drop(&p);
}

/* If nobody reads the log, hmemd loses lines, logs their number later, and does not hang. */
static void nobody_reads_the_log(void **state)
{
	struct fixture *f = *state;
	/* Large enough for several times what the FIFO holds. */
	static char text[1 << 18];
	size_t size = 0;
	ssize_t n;
	int fifo;

	daemon_kill(&f->d);
	peer_close(&f->web);
	unlink(f->d.log);
	assert_return_code(mkfifo(f->d.log, 0600), errno);
	fifo = open(f->d.log, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_return_code(fifo, errno);
	daemon_restart(&f->d, NULL);
	for (unsigned int i = 0; i < 1500; i++)
		send_nonsense(f);
	peer_handshake(&f->web, f->d.vm_socket, "web");
	web_is_well(f);
	doctor(f);
	assert_true(out_has(f, "lines of hmemd's log are lost"));
	/* hmemd logs the number with its next line, which may come before this peer is dropped. */
	for (int i = 0; i < 3; i++) {
		while ((n = read(fifo, text + size, sizeof(text) - 1 - size)) > 0)
			size += n;
		send_nonsense(f);
	}
	text[size] = '\0';
	assert_non_null(strstr(text, "lines of this log are missing"));
	fixture_end(f);
	close(fifo);
	*state = fixture_new(NULL);
}

/* A client can send a name that is not UTF-8; the answer is UTF-8. */
static void names_that_are_no_utf8(void **state)
{
	struct fixture *f = *state;
	int control = peer_socket(f->d.control_socket);
	struct json_object *o, *text;

	control_send(control, "{\"verb\":\"list\",\"vm\":\"\xc3\xa4\xff\xc3\"}");
	o = control_read(control);
	assert_true(json_at(o, "error.message", &text) && text);
	assert_non_null(strstr(json_object_get_string(text), "no VM '\xc3\xa4?" "?'"));
	json_object_put(o);
	close(control);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, \
							   fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(many_ranges_starve_nobody),
		TEST(a_tick_before_the_answer),
		cmocka_unit_test(a_tick_before_the_others),
		TEST(a_tick_of_before),
		cmocka_unit_test(claims_are_bounded),
		TEST(looks_while_ranges_change),
		TEST(policy_changes_in_a_pass),
		TEST(a_file_that_hangs),
		cmocka_unit_test(ends_although_a_file_hangs),
		TEST(many_descriptors),
		cmocka_unit_test(silent_connections),
		cmocka_unit_test(one_user_too_many),
		TEST(one_client_too_many),
		cmocka_unit_test(ends_while_peers_reconnect),
		TEST(lock_files_are_removed),
		TEST(nobody_reads_the_log),
		TEST(names_that_are_no_utf8),
	};

	return cmocka_run_group_tests_name("hostile", tests, NULL, NULL);
}
