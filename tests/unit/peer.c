/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "peer.h"

/* Long enough for any machine; only a failing test waits this long. */
#define PATIENCE_MS	60000

/* Returns a connected socket, or -1. */
static int try_socket(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, path);
	if (!connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return fd;
	close(fd);
	return -1;
}

int peer_socket(const char *path)
{
	int fd = try_socket(path);

	if (fd < 0)
		fail_msg("cannot connect to %s: %s", path, strerror(errno));
	return fd;
}

bool peer_try_connect(struct peer *p, const char *path)
{
	*p = (struct peer) {
		.map_fd = -1,
		.trackers = p->trackers,
		.track_flags = p->track_flags,
		.num_cpus = p->num_cpus,
		.busy_us = p->busy_us,
		.min_window_ns = p->min_window_ns,
		.uuid = p->uuid,
		.boot = p->boot,
		.vtime_ns = p->vtime_ns,
		.hva = p->hva,
		.batches_at_once = p->batches_at_once,
		.chunk = p->chunk,
		.dies_after = p->dies_after,
	};
	p->fd = try_socket(path);
	return p->fd >= 0;
}

void peer_connect(struct peer *p, const char *path)
{
	if (!peer_try_connect(p, path))
		fail_msg("cannot connect to %s: %s", path, strerror(errno));
}

void peer_close(struct peer *p)
{
	if (p->map)
		munmap(p->map, PEER_MAPS_BYTES);
	if (p->map_fd >= 0)
		close(p->map_fd);
	if (p->fd >= 0)
		close(p->fd);
	p->fd = p->map_fd = -1;
	p->map = NULL;
}

int peer_memfd(uint64_t bytes, int seals)
{
	int fd = memfd_create("peer", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_return_code(fd, errno);
	assert_return_code(ftruncate(fd, bytes), errno);
	if (seals)
		assert_return_code(fcntl(fd, F_ADD_SEALS, seals), errno);
	return fd;
}

void peer_fill_hello(struct hmem_link_hello *hello, const char *name)
{
	*hello = (struct hmem_link_hello) {
		.magic = HMEM_LINK_MAGIC,
		.version = HMEM_LINK_VERSION,
		.device = "hmem0",
		.num_tiers = 2,
		.max_batches = PEER_BATCHES,
		.map_bytes = PEER_MAP_BYTES,
		.trackers = HMEM_LINK_TRACKER_DIRTY,
		.min_window_ns = HMEM_LINK_MIN_WINDOW_NS,
		.num_cpus = 1,
		.tiers = {
			{ .pxm = 0, .kind = VIRTIO_HMEM_KIND_DRAM,
			  .read_latency = 80, .size = PEER_TIER * 4096ull },
			{ .pxm = 1, .kind = VIRTIO_HMEM_KIND_NVM,
			  .read_latency = 300, .size = PEER_TIER * 4096ull },
		},
	};
	snprintf(hello->vm, sizeof(hello->vm), "%s", name);
}

/* How many of @len bytes the peer sends or receives at a time. */
static size_t piece(const struct peer *p, size_t len)
{
	return p->chunk && p->chunk < len ? p->chunk : len;
}

/*
 * Sends bytes, with a message's ancillary data @control.  If hmemd has closed the connection, the
 * next read reports that.
 */
static void send_all(struct peer *p, const void *data, size_t len, void *control,
		     size_t control_len)
{
	const char *at = data;

	while (len) {
		bool last = p->dies_after && p->dies_after <= len;
		struct iovec iov = { (void *)at, piece(p, last ? p->dies_after : len) };
		struct msghdr msg = {
			.msg_iov = &iov, .msg_iovlen = 1,
			.msg_control = control, .msg_controllen = control_len,
		};
		ssize_t n = sendmsg(p->fd, &msg, MSG_NOSIGNAL);

		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return;
		assert_true(n > 0);
		if (p->dies_after && p->dies_after <= (size_t)n)
			raise(SIGKILL);
		p->dies_after -= p->dies_after ? n : 0;
		at += n;
		len -= n;
		control = NULL;
		control_len = 0;
	}
}

void peer_send_raw(struct peer *p, const void *data, size_t len)
{
	send_all(p, data, len, NULL, 0);
}

void peer_send(struct peer *p, uint32_t type, const void *payload, uint32_t len)
{
	struct hmem_link_header hdr = { .type = type, .len = len };

	peer_send_raw(p, &hdr, sizeof(hdr));
	peer_send_raw(p, payload, len);
}

void peer_send_hello(struct peer *p, const struct hmem_link_hello *hello,
		     const int *fds, unsigned int num_fds)
{
	struct {
		struct hmem_link_header hdr;
		struct hmem_link_hello hello;
	} msg = { { HMEM_LINK_HELLO, sizeof(*hello) }, *hello };
	_Alignas(size_t) char control[CMSG_SPACE(8 * sizeof(int))] = { 0 };
	struct cmsghdr *cmsg = (void *)control;

	p->tier0 = hello->tiers[0];
	if (num_fds) {
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(num_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, num_fds * sizeof(int));
	}
	send_all(p, &msg, sizeof(msg), num_fds ? control : NULL,
		 num_fds ? CMSG_SPACE(num_fds * sizeof(int)) : 0);
}

void peer_send_ranges(struct peer *p)
{
	const struct hmem_link_range ranges[] = {
		{ .gfn = 0, .num = PEER_TIER, .tier = 0, .hva = p->hva },
		{ .gfn = PEER_TIER, .num = PEER_TIER, .tier = 1,
		  .hva = p->hva ? p->hva + PEER_TIER * HMEM_LINK_PAGE_SIZE : 0 },
	};

	peer_send(p, HMEM_LINK_RANGES, ranges, sizeof(ranges));
}

void peer_send_state(struct peer *p, uint32_t flags)
{
	struct hmem_link_state state = {
		.flags = flags,
		.boot = flags & HMEM_LINK_DRIVER_OK ? p->boot : 0,
		.features = flags & HMEM_LINK_DRIVER_OK ? p->features : 0,
		.vtime_ns = p->vtime_ns,
	};

	peer_send(p, HMEM_LINK_STATE, &state, sizeof(state));
}

void peer_send_tick(struct peer *p, uint64_t seq)
{
	struct hmem_link_tick tick = {
		.seq = seq,
		.vtime_ns = seq * 1000000000 - p->behind_ns,
		.window_ns = 1000000000,
		.dirty = 1,
		.accessed = p->trackers & HMEM_LINK_TRACKER_SIM ? 2 : 0,
		.busy_us = p->busy_us,
	};

	peer_send(p, HMEM_LINK_TICK, &tick, sizeof(tick));
}

void peer_introduce(struct peer *p, const char *name)
{
	struct hmem_link_hello hello;

	p->map_fd = peer_memfd(PEER_MAPS_BYTES, F_SEAL_SHRINK | F_SEAL_GROW);
	p->map = mmap(NULL, PEER_MAPS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		      p->map_fd, 0);
	assert_true(p->map != MAP_FAILED);
	peer_fill_hello(&hello, name);
	if (p->trackers)
		hello.trackers = p->trackers;
	hello.track_flags = p->track_flags;
	if (p->min_window_ns)
		hello.min_window_ns = p->min_window_ns;
	if (p->batches_at_once)
		hello.max_batches = p->batches_at_once;
	if (p->num_cpus)
		hello.num_cpus = p->num_cpus;
	hello.uuid[0] = p->uuid;
	peer_send_hello(p, &hello, &p->map_fd, 1);
	peer_send_ranges(p);
	peer_send_state(p, HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING);
}

void peer_handshake(struct peer *p, const char *path, const char *name)
{
	struct hmem_link_welcome *welcome;
	struct peer_msg msg;

	peer_connect(p, path);
	peer_introduce(p, name);
	peer_read(p, &msg);
	assert_int_equal(msg.hdr.type, HMEM_LINK_WELCOME);
	assert_int_equal(msg.hdr.len, sizeof(*welcome));
	welcome = (void *)msg.payload;
	assert_int_equal(welcome->magic, HMEM_LINK_MAGIC);
	assert_int_equal(welcome->version, HMEM_LINK_VERSION);
}

/* Read @len bytes.  Returns false if the connection was closed. */
static bool read_all(struct peer *p, void *data, size_t len)
{
	char *at = data;

	while (len) {
		struct pollfd pfd = { .fd = p->fd, .events = POLLIN };
		ssize_t n;

		if (poll(&pfd, 1, PATIENCE_MS) != 1)
			fail_msg("hmemd neither says anything nor closes");
		n = recv(p->fd, at, piece(p, len), 0);
		if (n <= 0)
			return false;
		at += n;
		len -= n;
	}
	return true;
}

bool peer_try_read(struct peer *p, struct peer_msg *msg)
{
	if (!read_all(p, &msg->hdr, sizeof(msg->hdr)))
		return false;
	assert_in_range(msg->hdr.len, 0, HMEM_LINK_MAX_PAYLOAD);
	return read_all(p, msg->payload, msg->hdr.len);
}

void peer_read(struct peer *p, struct peer_msg *msg)
{
	if (!peer_try_read(p, msg))
		fail_msg("hmemd closed the connection");
}

void peer_expect(struct peer *p, struct peer_msg *msg, uint32_t type)
{
	do
		peer_read(p, msg);
	while (msg->hdr.type != type);
}

void peer_expect_size(struct peer *p, uint64_t bytes)
{
	const struct hmem_link_resize *resize;
	struct peer_msg msg;

	do {
		peer_expect(p, &msg, HMEM_LINK_RESIZE);
		resize = (const void *)msg.payload;
		assert_int_equal(resize->tier, 0);
		assert_in_range(resize->bytes, p->tier0.min, p->tier0.size);
	} while (resize->bytes != bytes);
}

void peer_expect_drop(struct peer *p)
{
	struct peer_msg msg;

	while (peer_try_read(p, &msg))
		;
	peer_close(p);
}

void peer_answer(struct peer *p, const struct peer_msg *msg)
{
	const struct virtio_hmem_hint_batch *batch = (const void *)msg->payload;
	uint32_t num = le32toh(batch->num_hints);
	_Alignas(8) char buf[sizeof(struct virtio_hmem_result_batch) +
			     HMEM_LINK_MAX_HINTS * sizeof(struct virtio_hmem_result)];
	struct virtio_hmem_result_batch *out = (void *)buf;

	assert_int_equal(msg->hdr.len, sizeof(*batch) + num * sizeof(batch->hints[0]));
	assert_in_range(num, 1, HMEM_LINK_MAX_HINTS);
	*out = (struct virtio_hmem_result_batch) {
		.id = batch->id,
		.num_results = htole32(num),
		.flags = htole32(VIRTIO_HMEM_RESULT_LAST),
		.foreign_moves = htole64(p->foreign_moves),
	};
	for (uint32_t i = 0; i < num; i++) {
		const struct virtio_hmem_hint *hint = &batch->hints[i];
		uint64_t gfn = le64toh(hint->gfn);
		unsigned int reason;

		assert_in_range(gfn, 0, PEER_FRAMES - 1);
		assert_in_range(hint->tier, 0, 1);
		reason = p->reason ? p->reason(p, hint) : VIRTIO_HMEM_R_MOVED;
		p->times_hinted[gfn]++;
		out->results[i] = (struct virtio_hmem_result) {
			.gfn = hint->gfn,
			.new_gfn = reason == VIRTIO_HMEM_R_MOVED ?
				   htole64(gfn ^ PEER_TIER) : hint->gfn,
			.order = hint->order,
			.status = virtio_hmem_status(reason),
			.reason = reason,
		};
	}
	p->hints += num;
	p->batches++;
	peer_send(p, HMEM_LINK_RESULTS, out,
		  sizeof(*out) + num * sizeof(out->results[0]));
}

void peer_serve(struct peer *p)
{
	struct peer_msg msg;

	peer_read(p, &msg);
	if (msg.hdr.type == HMEM_LINK_HINTS)
		peer_answer(p, &msg);
}
