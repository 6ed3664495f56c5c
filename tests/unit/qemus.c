/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peer.h"
#include "qemus.h"
#include "run.h"

/* Windows end this long after the answer to the last one, so that the test needs little time. */
#define PAUSE_MS	10
/* So many batches do not fit into the buffers of a socket. */
#define BATCHES		64u
#define USED_PAGES	100u

/* The guest's time in windows, which goes on when the link does not. */
static uint64_t now;

static void end_window(struct peer *p, uint64_t seq)
{
	struct hmem_link_tick tick = {
		.seq = seq,
		.vtime_ns = ++now * 1000000000,
		.window_ns = 1000000000,
		.accessed = USED_PAGES,
	};
	uint64_t *accessed = p->map + PEER_WORDS;

	for (unsigned int i = PEER_TIER; i < PEER_TIER + USED_PAGES; i++)
		__atomic_fetch_or(&accessed[i / 64], UINT64_C(1) << (i % 64), __ATOMIC_RELAXED);
	peer_send(p, HMEM_LINK_TICK, &tick, sizeof(tick));
}

/* Until hmemd closes the connection. */
static void serve(struct peer *p)
{
	const struct hmem_link_track *track;
	bool tracks = false, waits = false;
	struct peer_msg msg;
	uint64_t seq = 0;

	for (;;) {
		struct pollfd pfd = { .fd = p->fd, .events = POLLIN };
		bool due = tracks && !waits;

		if (due && !poll(&pfd, 1, PAUSE_MS)) {
			end_window(p, ++seq);
			waits = true;
			continue;
		}
		/* Otherwise, wait for as long as it takes: another process may be at fault. */
		poll(&pfd, 1, -1);
		if (!peer_try_read(p, &msg))
			return;
		switch (msg.hdr.type) {
		case HMEM_LINK_HINTS:
			peer_answer(p, &msg);
			break;
		case HMEM_LINK_TRACK:
			track = (const void *)msg.payload;
			tracks = track->window_ns;
			break;
		case HMEM_LINK_TICK_DONE:
			waits = false;
			break;
		default:
			break;
		}
	}
}

static void run(const struct qemu *q, const char *vm_socket)
{
	struct peer p = {
		.trackers = HMEM_LINK_TRACKER_SIM, .uuid = q->uuid, .boot = q->boot,
		.batches_at_once = BATCHES, .dies_after = q->dies_after, .chunk = q->chunk,
	};

	for (now = 1; ; ) {
		p.vtime_ns = now * 1000000000;
		if (peer_try_connect(&p, vm_socket)) {
			peer_introduce(&p, q->name);
			serve(&p);
			peer_close(&p);
		}
		usleep(PAUSE_MS * 1000);
	}
}

void qemu_start(struct qemu *q, const char *vm_socket)
{
	q->pid = fork();
	assert_return_code(q->pid, errno);
	if (!q->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* Otherwise it would hold the test's connections open. */
		close_range(3, ~0u, 0);
		run(q, vm_socket);
	}
}

void qemu_kill(struct qemu *q)
{
	kill(q->pid, SIGKILL);
	qemu_expect_death(q);
}

void qemu_expect_death(struct qemu *q)
{
	assert_int_equal(process_wait(q->pid), 128 + SIGKILL);
}

void qemu_stop(const struct qemu *q)
{
	kill(q->pid, SIGSTOP);
}

void qemu_continue(const struct qemu *q)
{
	kill(q->pid, SIGCONT);
}

void qemu_check(const struct qemu *q)
{
	if (waitpid(q->pid, NULL, WNOHANG))
		fail_msg("%s has ended: see what it said", q->name);
}
