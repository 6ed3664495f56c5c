// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Play hmemd's part on the link to QEMU, only to tell which pages the driver's scans find used:
 *
 *   found SOCKET WINDOW_MS FIFO
 *
 * Creates the FIFO, prints "listening", and waits for QEMU to connect to the socket and for its
 * guest to have a driver.  After each window, prints the frames that were found accessed, one in a
 * line, then "window NUMBER".  No scan begins until a line comes through the FIFO; the scan after
 * this one rearms the frames that this one found.
 */
#define _GNU_SOURCE
#include <err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "hmem_link.h"

static int fd;
static uint64_t window_ns;
/* Words of a map, and two of the maps. */
static size_t words;
static uint64_t *accessed, *rearm;

static void say(uint32_t type, const void *payload, uint32_t len)
{
	struct hmem_link_header hdr = { .type = type, .len = len };

	if (send(fd, &hdr, sizeof(hdr), MSG_MORE) != sizeof(hdr) ||
	    send(fd, payload, len, 0) != len)
		err(1, "QEMU has gone");
}

static void receive(void *data, size_t len)
{
	if (len && recv(fd, data, len, MSG_WAITALL) != (ssize_t)len)
		err(1, "QEMU has gone");
}

static void accept_from(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);

	strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
	if (listener < 0 || bind(listener, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(listener, 1))
		err(1, "%s", path);
	printf("listening\n");
	fflush(stdout);
	fd = accept(listener, NULL, NULL);
	if (fd < 0)
		err(1, "accept");
}

/* The first message comes with the maps. */
static void welcome(void)
{
	const struct hmem_link_welcome answer = { HMEM_LINK_MAGIC, HMEM_LINK_VERSION };
	_Alignas(size_t) char control[CMSG_SPACE(sizeof(int))];
	struct hmem_link_header hdr;
	struct hmem_link_hello hello;
	struct iovec iov[2] = { { &hdr, sizeof(hdr) }, { &hello, sizeof(hello) } };
	struct msghdr msg = {
		.msg_iov = iov, .msg_iovlen = 2,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg;
	uint64_t *maps;
	int memory;

	if (recvmsg(fd, &msg, MSG_WAITALL) != sizeof(hdr) + sizeof(hello))
		err(1, "HELLO");
	cmsg = CMSG_FIRSTHDR(&msg);
	if (hdr.type != HMEM_LINK_HELLO || hello.version != HMEM_LINK_VERSION || !cmsg ||
	    cmsg->cmsg_type != SCM_RIGHTS)
		errx(1, "message %u of version %u", hdr.type, hello.version);
	memcpy(&memory, CMSG_DATA(cmsg), sizeof(memory));
	maps = mmap(NULL, HMEM_LINK_MAPS * hello.map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		    memory, 0);
	if (maps == MAP_FAILED)
		err(1, "maps");
	words = hello.map_bytes / sizeof(*maps);
	accessed = maps + words;
	rearm = accessed + words;
	say(HMEM_LINK_WELCOME, &answer, sizeof(answer));
}

static void track(void)
{
	const struct hmem_link_track track = {
		.window_ns = window_ns,
		.tracker = HMEM_LINK_TRACKER_GPT,
		.flags = HMEM_LINK_TRACK_ACCESSED,
	};

	say(HMEM_LINK_TRACK, &track, sizeof(track));
}

static void report(const struct hmem_link_tick *tick)
{
	for (size_t i = 0; i < words; i++) {
		uint64_t found = __atomic_exchange_n(&accessed[i], 0, __ATOMIC_SEQ_CST);

		__atomic_fetch_or(&rearm[i], found, __ATOMIC_SEQ_CST);
		for (; found; found &= found - 1)
			printf("%lu\n", i * 64 + __builtin_ctzl(found));
	}
	printf("window %lu\n", tick->seq);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	_Alignas(8) static char payload[HMEM_LINK_MAX_PAYLOAD];
	struct hmem_link_header hdr;
	bool tracking = false;
	char line[16];
	FILE *fifo;

	if (argc != 4)
		errx(2, "usage: found SOCKET WINDOW_MS FIFO");
	window_ns = strtoul(argv[2], NULL, 0) * 1000000;
	/* Open for writing as well, so that the end of one writer is no end of the file. */
	if (mkfifo(argv[3], 0600) || !(fifo = fopen(argv[3], "r+")))
		err(1, "%s", argv[3]);
	accept_from(argv[1]);
	welcome();
	for (;;) {
		receive(&hdr, sizeof(hdr));
		if (hdr.len > sizeof(payload))
			errx(1, "a message of %u bytes", hdr.len);
		receive(payload, hdr.len);
		if (hdr.type == HMEM_LINK_STATE && !tracking &&
		    ((struct hmem_link_state *)payload)->flags & HMEM_LINK_DRIVER_OK) {
			track();
			tracking = true;
		} else if (hdr.type == HMEM_LINK_TICK) {
			struct hmem_link_tick *tick = (void *)payload;
			struct hmem_link_tick_done done = { .seq = tick->seq };

			report(tick);
			if (!fgets(line, sizeof(line), fifo))
				err(1, "%s", argv[3]);
			say(HMEM_LINK_TICK_DONE, &done, sizeof(done));
		}
	}
}
