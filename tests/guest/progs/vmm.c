// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Play QEMU's part on the link to hmemd, for trackers that observe the memory of
 * QEMU's process.  This process's memory stands for a guest's memory, in two tiers of
 * equal size; half of the memory is in use all the time.
 *
 *   vmm SOCKET MIB BLOCK WINDOWS STOPFILE [thp]
 *
 * Each run of BLOCK pages is hot or cold, by chance, and stays so: the program answers
 * a hint as if the pages had changed places, but uses the same frames as before.  It
 * records the tier of the first hint for each frame: a frame that hmemd hints to tier
 * 0 was found hot.  A window ends when its time is over and all hot frames were used
 * in it three times at least.
 *
 * After WINDOWS windows, if that is not 0, prints which frames were found hot and
 * whether the memory is unchanged; continues until STOPFILE exists.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <linux/virtio_hmem.h>

#include "hmem_link.h"

#define PAGE	HMEM_LINK_PAGE_SIZE
#define HUGE	(512ul * PAGE)
#define ROUNDS	3
/* For a range this large the kernel flushes the whole TLB. */
#define SCRATCH	(256 * PAGE)

enum hinted { NOT, UP, DOWN };

static int fd;
static volatile char *mem;
static uint64_t pages, block;
static unsigned char *hinted;
static char *scratch;
static struct hmem_link_track track;
/* The number and the start of the present window. */
static uint64_t seq, begun;
static unsigned int rounds;
static bool waiting;

/* One tier has as many cold pages as the other has hot pages. */
static bool hot(uint64_t page)
{
	bool upper = page >= pages / 2;

	return (page % (pages / 2) / block * 2654435761u >> 12 & 1) ^ upper;
}

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void send_all(const void *data, size_t len)
{
	for (const char *at = data; len;) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n <= 0)
			err(1, "hmemd has gone");
		at += n;
		len -= n;
	}
}

static void say(uint32_t type, const void *payload, uint32_t len)
{
	struct hmem_link_header hdr = { .type = type, .len = len };

	send_all(&hdr, sizeof(hdr));
	send_all(payload, len);
}

static void introduce(void)
{
	uint64_t map_bytes = pages / 8, tier = pages / 2;
	struct hmem_link_hello hello = {
		.magic = HMEM_LINK_MAGIC,
		.version = HMEM_LINK_VERSION,
		.vm = "vmm",
		.device = "hmem0",
		.num_tiers = 2,
		.max_batches = 16,
		.map_bytes = map_bytes,
		.trackers = HMEM_LINK_TRACKER_DIRTY | HMEM_LINK_TRACKER_HOST,
		.min_window_ns = HMEM_LINK_MIN_WINDOW_NS,
		.num_cpus = 1,
		.tiers = {
			{ .pxm = 0, .kind = VIRTIO_HMEM_KIND_DRAM, .read_latency = 80,
			  .write_latency = 80, .size = tier * PAGE },
			{ .pxm = 1, .kind = VIRTIO_HMEM_KIND_NVM, .read_latency = 300,
			  .write_latency = 300, .size = tier * PAGE },
		},
	};
	/* The upper half is the first range: this finds out if hmemd mixes up the halves. */
	struct hmem_link_range ranges[2] = {
		{ .gfn = 0, .num = tier, .tier = 0,
		  .hva = (uintptr_t)mem + tier * PAGE },
		{ .gfn = tier, .num = tier, .tier = 1, .hva = (uintptr_t)mem },
	};
	struct hmem_link_state state = {
		.flags = HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING,
	};
	struct hmem_link_header hdr = { HMEM_LINK_HELLO, sizeof(hello) };
	struct iovec iov[2] = { { &hdr, sizeof(hdr) }, { &hello, sizeof(hello) } };
	_Alignas(size_t) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct msghdr msg = {
		.msg_iov = iov, .msg_iovlen = 2,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int maps = memfd_create("maps", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (maps < 0 || ftruncate(maps, HMEM_LINK_MAPS * map_bytes) < 0 ||
	    fcntl(maps, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		err(1, "maps");
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &maps, sizeof(int));
	if (sendmsg(fd, &msg, MSG_NOSIGNAL) != sizeof(hdr) + sizeof(hello))
		err(1, "HELLO");
	close(maps);
	say(HMEM_LINK_RANGES, ranges, sizeof(ranges));
	say(HMEM_LINK_STATE, &state, sizeof(state));
}

/* Tier 0 is the upper half of the memory. */
static uint64_t page_of(uint64_t gfn)
{
	return gfn < pages / 2 ? gfn + pages / 2 : gfn - pages / 2;
}

static void swap(struct virtio_hmem_result *a, struct virtio_hmem_result *b)
{
	a->new_gfn = b->gfn;
	b->new_gfn = a->gfn;
	a->status = b->status = virtio_hmem_status(VIRTIO_HMEM_R_MOVED);
	a->reason = b->reason = VIRTIO_HMEM_R_MOVED;
}

/* Pages are promoted only as others are demoted; the result of the rest is "locked". */
static void move(const struct virtio_hmem_hint_batch *batch)
{
	uint32_t num = le32toh(batch->num_hints), other = num;
	_Alignas(8) char buf[sizeof(struct virtio_hmem_result_batch) +
			     HMEM_LINK_MAX_HINTS * sizeof(struct virtio_hmem_result)];
	struct virtio_hmem_result_batch *out = (void *)buf;

	*out = (struct virtio_hmem_result_batch) {
		.id = batch->id,
		.num_results = batch->num_hints,
		.flags = htole32(VIRTIO_HMEM_RESULT_LAST),
	};
	for (uint32_t i = 0; i < num; i++) {
		const struct virtio_hmem_hint *hint = &batch->hints[i];
		uint64_t gfn = le64toh(hint->gfn);
		uint64_t page = page_of(gfn);

		if (gfn >= pages || hint->order)
			errx(1, "a hint for frame %#lx order %u", gfn, hint->order);
		if (!hinted[page])
			hinted[page] = hint->tier ? DOWN : UP;
		out->results[i] = (struct virtio_hmem_result) {
			.gfn = hint->gfn,
			.new_gfn = hint->gfn,
			.status = virtio_hmem_status(VIRTIO_HMEM_R_LOCKED),
			.reason = VIRTIO_HMEM_R_LOCKED,
		};
	}
	/* Demotions come first. */
	while (other && !batch->hints[other - 1].tier)
		other--;
	for (uint32_t i = 0; other < num && batch->hints[i].tier; i++, other++)
		swap(&out->results[i], &out->results[other]);
	say(HMEM_LINK_RESULTS, out, sizeof(*out) + num * sizeof(out->results[0]));
}

static void handle(const struct hmem_link_header *hdr, const void *payload)
{
	switch (hdr->type) {
	case HMEM_LINK_HINTS:
		move(payload);
		break;
	case HMEM_LINK_TRACK:
		track = *(const struct hmem_link_track *)payload;
		seq = rounds = 0;
		waiting = false;
		begun = now();
		break;
	case HMEM_LINK_TICK_DONE:
		if (((const struct hmem_link_tick_done *)payload)->seq != seq)
			break;
		waiting = false;
		rounds = 0;
		break;
	}
}

static bool receive(void *data, size_t len, int flags)
{
	ssize_t n = recv(fd, data, len, flags);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n != (ssize_t)len)
		err(1, "hmemd has gone");
	return true;
}

static void receive_all(void)
{
	static struct {
		struct hmem_link_header hdr;
		_Alignas(8) char payload[HMEM_LINK_MAX_PAYLOAD];
	} msg;

	while (receive(&msg.hdr, sizeof(msg.hdr), MSG_DONTWAIT)) {
		receive(msg.payload, msg.hdr.len, MSG_WAITALL);
		handle(&msg.hdr, msg.payload);
	}
}

/* Returns true if the window has ended. */
static bool tick(void)
{
	uint64_t time = now();
	struct hmem_link_tick msg = {
		.seq = seq + 1, .vtime_ns = time, .window_ns = time - begun,
	};

	if (!track.window_ns || waiting || rounds < ROUNDS ||
	    time - begun < track.window_ns)
		return false;
	seq++;
	begun = time;
	waiting = true;
	say(HMEM_LINK_TICK, &msg, sizeof(msg));
	return true;
}

/*
 * A processor sets a cleared accessed bit when it next reads the page table, which it
 * does when its TLB has no entry for the page.  A real TLB soon loses the entry, as
 * it is small; QEMU's emulated TLB keeps entries until it is flushed.
 */
static void empty_tlb(void)
{
	memset(scratch, 1, SCRATCH);
	if (mprotect(scratch, SCRATCH, PROT_READ) < 0 ||
	    mprotect(scratch, SCRATCH, PROT_READ | PROT_WRITE) < 0)
		err(1, "mprotect");
}

static void use(void)
{
	empty_tlb();
	for (uint64_t p = 0; p < pages; p++) {
		if (hot(p))
			(void)mem[p * PAGE];
	}
	rounds++;
}

/* Returns true if neither hmemd nor the kernel on its behalf has changed a page. */
static bool intact(void)
{
	for (uint64_t p = 0; p < pages; p++) {
		if (*(volatile uint64_t *)(mem + p * PAGE) != p * 3)
			return false;
	}
	return true;
}

static void report(void)
{
	unsigned long num[2][2][3] = { 0 };

	for (uint64_t p = 0; p < pages; p++)
		num[p < pages / 2][hot(p)][hinted[p]]++;
	printf("tier 0: hot %lu, up %lu, down %lu; cold %lu, up %lu, down %lu\n",
	       num[0][1][NOT], num[0][1][UP], num[0][1][DOWN],
	       num[0][0][NOT], num[0][0][UP], num[0][0][DOWN]);
	printf("tier 1: hot %lu, up %lu, down %lu; cold %lu, up %lu, down %lu\n",
	       num[1][1][NOT], num[1][1][UP], num[1][1][DOWN],
	       num[1][0][NOT], num[1][0][UP], num[1][0][DOWN]);
	printf("memory is %s\n", intact() ? "intact" : "DAMAGED");
	printf("end\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	unsigned long windows, bytes, ticks = 0;
	bool thp;
	char *p;

	if (argc < 6)
		errx(2, "usage: vmm SOCKET MIB BLOCK WINDOWS STOPFILE [thp]");
	bytes = strtoul(argv[2], NULL, 0) << 20;
	block = strtoul(argv[3], NULL, 0);
	windows = strtoul(argv[4], NULL, 0);
	thp = argc > 6 && !strcmp(argv[6], "thp");
	pages = bytes / PAGE;
	hinted = calloc(pages, 1);
	scratch = mmap(NULL, SCRATCH, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	p = mmap(NULL, bytes + HUGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!hinted || p == MAP_FAILED || scratch == MAP_FAILED)
		err(1, "memory");
	p = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
	if (madvise(p, bytes, thp ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) < 0)
		err(1, "madvise");
	mem = p;
	for (uint64_t i = 0; i < pages; i++)
		*(volatile uint64_t *)(mem + i * PAGE) = i * 3;
	strncpy(addr.sun_path, argv[1], sizeof(addr.sun_path) - 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		err(1, "%s", argv[1]);
	introduce();
	printf("ready\n");
	fflush(stdout);
	while (access(argv[5], F_OK) < 0) {
		receive_all();
		use();
		if (tick() && ++ticks == windows)
			report();
		usleep(1000);
	}
	return 0;
}
