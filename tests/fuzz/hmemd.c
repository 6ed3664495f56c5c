/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A libFuzzer program with all of hmemd in it, except its main(): the input is a program for
 * a device and for a client of the control socket, which do what they like.
 *
 * Nothing depends on time.  After each step, hmemd's loop runs until it has nothing to do.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"
#include "device.h"
#include "learned.h"
#include "log.h"

/* Frames of a tier; and bytes in each map, which has room for four times as many. */
#define TIER		8192u
#define MAP_BYTES	4096u

#define MAX_TURNS	100000

/* The rest of the input; behind its end there are zeros. */
struct input {
	const uint8_t *data;
	size_t len;
};

struct hints {
	uint64_t id;
	uint32_t num;
	struct virtio_hmem_hint hints[HMEM_LINK_MAX_HINTS];
};

static struct hmemd d;
static struct io marker;
/* The peers' ends: of a device, and of a client; -1: closed. */
static int device = -1, client = -1;
static int maps_fd;
static uint64_t *maps;
/* What hmemd has sent, up to an incomplete message; the last hints in it. */
static uint8_t from_hmemd[2 * HMEM_LINK_MAX_PAYLOAD];
static size_t from_len;
static struct hints last_hints;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok, const char *what)
{
	if (!ok) {
		perror(what);
		abort();
	}
}

static uint64_t take(struct input *in, size_t bytes)
{
	size_t n = in->len < bytes ? in->len : bytes;
	uint64_t value = 0;

	if (!n)
		return 0;
	memcpy(&value, in->data, n);
	in->data += n;
	in->len -= n;
	return value;
}

/* --- hmemd --- */

static void marked(struct io *io, enum io_op op, int res)
{
	(void)io, (void)op, (void)res;
}

/* A turn of the loop, which waits for nothing. */
static void turn(void)
{
	struct io_uring_sqe *sqe = loop_sqe(&d.loop);
	struct hmem_err err;

	io_uring_prep_nop(sqe);
	loop_queue(&d.loop, &marker, IO_TIMEOUT, sqe);
	must(loop_turn(&d.loop, &err) >= 0, "loop_turn");
}

static bool unread(int fd)
{
	int bytes = 0;

	return fd >= 0 && !ioctl(fd, SIOCOUTQ, &bytes) && bytes;
}

static void keep_hints(const struct hmem_link_header *hdr)
{
	const struct virtio_hmem_hint_batch *b = (const void *)(hdr + 1);

	if (hdr->type != HMEM_LINK_HINTS)
		return;
	last_hints.id = b->id;
	last_hints.num = b->num_hints;
	memcpy(last_hints.hints, b->hints, b->num_hints * sizeof(b->hints[0]));
}

/* Messages are multiples of 8 long, so they are aligned. */
static void read_link(void)
{
	struct hmem_link_header hdr;
	size_t at = 0;
	ssize_t n;

	n = recv(device, from_hmemd + from_len, sizeof(from_hmemd) - from_len, MSG_DONTWAIT);
	from_len += n > 0 ? n : 0;
	while (from_len - at >= sizeof(hdr)) {
		memcpy(&hdr, from_hmemd + at, sizeof(hdr));
		if (from_len - at < sizeof(hdr) + hdr.len)
			break;
		keep_hints((void *)(from_hmemd + at));
		at += sizeof(hdr) + hdr.len;
	}
	memmove(from_hmemd, from_hmemd + at, from_len - at);
	from_len -= at;
}

static void read_answers(void)
{
	char buf[4096];

	while (recv(client, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
}

/* Run hmemd until it has read everything; some messages it reads later, see CONN_LATER. */
static void run(void)
{
	for (int i = 0; i < 32; i++) {
		turn();
		if (device >= 0)
			read_link();
		if (client >= 0)
			read_answers();
		if (TAILQ_EMPTY(&d.loop.turns) && !unread(device) && !unread(client))
			break;
	}
}

static void accept_client(struct hmemd *to, int fd)
{
	client_accept(to, fd, false);
}

static int pair(void (*accept)(struct hmemd *d, int fd))
{
	int fds[2];

	must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), "socketpair");
	accept(&d, fds[1]);
	return fds[0];
}

static void hang_up(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* hmemd's side of the device; NULL: hmemd has closed the connection. */
static const struct vm *the_vm(void)
{
	const struct vm *vm = NULL, *next;

	TAILQ_FOREACH(next, &d.vms, link)
		vm = next;
	return vm;
}

/* --- the device --- */

/* hmemd can have closed the connection, or its buffer is full. */
static void send_raw(int fd, const void *data, size_t len)
{
	if (fd >= 0 && send(fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
	    errno != EAGAIN && errno != EPIPE && errno != ECONNRESET)
		must(false, "send");
}

/* Change bytes of a good message, send it. */
static void send_message(struct input *in, uint32_t type, void *payload, uint32_t len)
{
	uint8_t changes = take(in, 1);
	struct hmem_link_header hdr = { .type = type, .len = len };

	/* Mostly none, or the message would hardly ever be good. */
	for (changes = changes < 0xc0 ? 0 : changes % 4; changes && len; changes--) {
		uint16_t at = take(in, 2) % len;

		((uint8_t *)payload)[at] ^= take(in, 1);
	}
	send_raw(device, &hdr, sizeof(hdr));
	send_raw(device, payload, len);
}

static void send_hello(struct input *in)
{
	struct hmem_link_hello hello = {
		.magic = HMEM_LINK_MAGIC,
		.version = HMEM_LINK_VERSION,
		.vm = "web",
		.device = "hmem0",
		.num_tiers = 2,
		.max_batches = 4,
		.map_bytes = MAP_BYTES,
		.trackers = HMEM_LINK_TRACKER_DIRTY | HMEM_LINK_TRACKER_SIM |
			HMEM_LINK_TRACKER_GPT,
		.track_flags = HMEM_LINK_TRACK_REST | HMEM_LINK_TRACK_ACCOUNT,
		.min_window_ns = HMEM_LINK_MIN_WINDOW_NS,
		.num_cpus = 1,
		.tiers = {
			{ .pxm = 0, .read_latency = 80, .size = TIER * 4096ull, .unit = 4096 },
			{ .pxm = 1, .read_latency = 300, .size = TIER * 4096ull, .unit = 4096 },
		},
	};
	struct hmem_link_header hdr = { HMEM_LINK_HELLO, sizeof(hello) };
	_Alignas(size_t) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &hdr, sizeof(hdr) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	uint8_t changes = take(in, 1);

	for (changes = changes < 0xc0 ? 0 : changes % 4; changes; changes--) {
		uint16_t at = take(in, 2) % sizeof(hello);

		((uint8_t *)&hello)[at] ^= take(in, 1);
	}
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &maps_fd, sizeof(int));
	if (device >= 0 && sendmsg(device, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		send_raw(device, &hello, sizeof(hello));
}

static void send_ranges(struct input *in)
{
	uint16_t hole = take(in, 2);
	struct hmem_link_range ranges[] = {
		{ .gfn = 0, .num = TIER, .tier = 0 },
		{ .gfn = TIER + hole % 64, .num = TIER / 2, .tier = hole >> 15 },
		{ .gfn = 2 * TIER, .num = 1 + hole % TIER, .tier = 1 },
	};

	send_message(in, HMEM_LINK_RANGES, ranges, sizeof(ranges));
}

static void send_state(struct input *in, uint32_t flags)
{
	struct hmem_link_state state = { .flags = flags, .features = UINT16_MAX };

	send_message(in, HMEM_LINK_STATE, &state, sizeof(state));
}

static void send_tick(struct input *in)
{
	const struct vm *vm = the_vm();
	struct hmem_link_tick tick = {
		.seq = (vm ? vm->last_seq : 0) + 1,
		.window_ns = 1000000000,
		.dirty = take(in, 1),
		.accessed = take(in, 1),
	};

	tick.vtime_ns = (vm ? vm->last_vtime : 0) + tick.window_ns;
	send_message(in, HMEM_LINK_TICK, &tick, sizeof(tick));
}

static void set_bits(struct input *in)
{
	uint8_t what = take(in, 1);
	uint64_t *map = maps + (what & 1) * (MAP_BYTES / sizeof(*map));

	for (uint32_t n = 1 + what / 2 % 16; n; n--) {
		uint16_t gfn = take(in, 2);
		uint64_t bits = what & 0x80 ? UINT64_MAX : UINT64_C(1) << gfn % 64;

		__atomic_or_fetch(&map[gfn / 64 % (MAP_BYTES / sizeof(*map))], bits,
				  __ATOMIC_RELAXED);
	}
}

/* Results for the last hints: of some of them, or of all. */
static void send_results(struct input *in)
{
	static uint64_t buf[HMEM_LINK_MAX_PAYLOAD / sizeof(uint64_t)];
	struct virtio_hmem_result_batch *b = (void *)buf;
	uint16_t what = take(in, 2);
	uint32_t num = what & 0x8000 ? last_hints.num : what % (last_hints.num + 1);

	memset(buf, 0, sizeof(buf));
	b->id = last_hints.id;
	b->num_results = num;
	b->flags = what >> 14 & 1;
	b->foreign_moves = take(in, 1);
	for (uint32_t i = 0; i < num; i++) {
		const struct virtio_hmem_hint *h = &last_hints.hints[i];
		struct virtio_hmem_result *r = &b->results[i];

		r->gfn = r->new_gfn = h->gfn;
		r->order = h->order;
		r->reason = take(in, 1) % VIRTIO_HMEM_R_MAX;
		r->status = virtio_hmem_status(r->reason);
		if (r->reason == VIRTIO_HMEM_R_MOVED)
			r->new_gfn = take(in, 2) & ~((UINT64_C(1) << h->order) - 1);
	}
	send_message(in, HMEM_LINK_RESULTS, b, sizeof(*b) + num * sizeof(b->results[0]));
}

static void send_reject(struct input *in)
{
	struct hmem_link_reject reject = {
		.id = last_hints.id,
		.code = 1 + take(in, 1) % 4,
		.hint = take(in, 1),
	};

	send_message(in, HMEM_LINK_REJECT, &reject, sizeof(reject));
}

static void send_sizes(struct input *in)
{
	struct hmem_link_sizes sizes = { 0 };

	for (int i = 0; i < 2; i++) {
		sizes.tiers[i].requested = (take(in, 2) % (TIER + 1)) * 4096;
		sizes.tiers[i].actual = (take(in, 2) % (TIER + 1)) * 4096;
		sizes.tiers[i].free = sizes.tiers[i].actual;
		sizes.tiers[i].why = take(in, 1) % VIRTIO_HMEM_WHY_MAX;
	}
	/* A guest can report any counts. */
	memset(&sizes.paging, take(in, 1), sizeof(sizes.paging));
	send_message(in, HMEM_LINK_SIZES, &sizes, sizeof(sizes));
}

static void send_pauses(struct input *in)
{
	struct hmem_link_pauses pauses;

	/* A guest can report any counts. */
	memset(&pauses, take(in, 1), sizeof(pauses));
	send_message(in, HMEM_LINK_PAUSES, &pauses, sizeof(pauses));
}

static void send_account(struct input *in)
{
	/* A guest can report any counts. */
	const uint64_t count = take(in, 1) * UINT64_C(0x0101010101010101);
	struct hmem_link_account account = {
		.entries = count, .skipped = ~count, .left_out = count, .collapsed = ~count,
	};

	for (int i = 0; i < 2; i++) {
		account.tiers[i].total = (take(in, 2) % (TIER + 1)) * 4096;
		account.tiers[i].free = account.tiers[i].total / (1 + take(in, 1));
		account.tiers[i].reserve = account.tiers[i].free / 2;
	}
	send_message(in, HMEM_LINK_ACCOUNT, &account, sizeof(account));
}

/* The bytes of @data change; mostly few, or hardly anything would ever fit. */
static void change(struct input *in, void *data, size_t len)
{
	for (uint8_t changes = take(in, 1) % 4; changes && len; changes--) {
		uint32_t at = take(in, 3) % len;

		((uint8_t *)data)[at] ^= take(in, 1);
	}
}

/* What was learned about the VM is saved, changed, and restored with right checksums. */
static void restore_learned(struct input *in)
{
	static uint8_t buf[HMEM_LEARNED_MAX_PART];
	const struct hmem_learned_owner owner = { .boot = 1 };
	struct vm *vm = (struct vm *)the_vm();
	struct hmem_learned_part *part = (void *)buf;
	struct hmem_learned_entry *entries = (void *)(part + 1);
	struct hmem_learned_head head;
	struct hmem_discard table;
	struct hmem_relearn r;
	size_t len;

	if (!vm || !vm_ready(vm) || vm->pass || !vm->placer.tracker)
		return;
	hmem_learned_head(&vm->placer, &owner, vm_vtime(vm), take(in, 1) & 1, &head);
	len = hmem_learned_part(&vm->placer.pages, 0, part);
	change(in, &head, sizeof(head));
	change(in, entries, len - sizeof(*part));
	hmem_learned_seal_head(&head);
	hmem_learned_seal_part(part, entries);
	if (hmem_relearn_begin(&r, &head, &vm->placer, &owner, vm_vtime(vm), NULL) < 0)
		return;
	if (hmem_relearn_length(&r, part, NULL) == (int64_t)(len - sizeof(*part)) &&
	    !hmem_relearn_part(&r, part, entries, NULL)) {
		heat_queries_stop(&vm->heat_queries);
		hmem_relearn_finish(&r, &vm->placer, vm_vtime(vm), NULL);
		heat_queries_restart(&vm->heat_queries, vm_vtime(vm));
	}
	hmem_relearn_end(&r, &table);
	hmem_pages_free(&table.pages);
}

static void send_bytes(struct input *in, int fd)
{
	size_t n = take(in, 1);

	n = n < in->len ? n : in->len;
	send_raw(fd, in->data, n);
	in->data += n;
	in->len -= n;
}

/* Another device, or the same one again. */
static void connect_device(void)
{
	hang_up(&device);
	from_len = 0;
	last_hints.num = 0;
	last_hints.id = 0;
	device = pair(device_accept);
}

/* --- the client --- */

static void request(struct input *in)
{
	static const char *const forms[] = {
		"{\"verb\":\"info\"}",
		"{\"verb\":\"list\"}",
		"{\"verb\":\"status\",\"stats\":true}",
		"{\"verb\":\"stats\",\"vm\":\"web\",\"reset\":true}",
		"{\"verb\":\"policy\",\"vm\":\"web\",\"set\":{\"name\":\"writes\",\"rate\":%u}}",
		"{\"verb\":\"policy\",\"vm\":\"web\",\"set\":{\"name\":\"hmmv\"}}",
		"{\"verb\":\"policy\",\"vm\":\"web\",\"set\":{\"name\":\"hmvisor\"}}",
		"{\"verb\":\"policy\",\"vm\":\"web\",\"set\":{\"name\":\"auto\"}}",
		"{\"verb\":\"policy\",\"vm\":\"web\",\"set\":{\"name\":\"off\"}}",
		"{\"verb\":\"migrate\",\"vm\":\"web\",\"to\":%u,\"ranges\":[[%u,%u]]}",
		("{\"verb\":\"migrate\",\"vm\":\"web\",\"to\":%u,\"wait\":true,"
		 "\"ranges\":[[%u,%u]]}"),
		"{\"verb\":\"migrate\",\"vm\":\"web\",\"to\":%u,\"all\":true}",
		"{\"verb\":\"jobs\",\"vm\":\"web\"}",
		"{\"verb\":\"cancel\",\"job\":%u}",
		"{\"verb\":\"resize\",\"vm\":\"web\",\"tier\":%u,\"bytes\":%u}",
		"{\"verb\":\"heat\",\"vm\":\"web\",\"bins\":%u,\"per_tier\":true}",
		"{\"verb\":\"heat\",\"vm\":\"web\",\"after\":%u}",
		"{\"verb\":\"explain\",\"vm\":\"web\",\"gfn\":%u}",
		"{\"verb\":\"pool\"}",
		"{\"verb\":\"trades\"}",
		"{\"verb\":\"reload\"}",
		"{\"verb\":\"pool\",\"set\":{\"web\":\"%u\"}}",
	};
	const char *form = forms[take(in, 1) % (sizeof(forms) / sizeof(forms[0]))];
	unsigned int n[3] = { take(in, 1), take(in, 2), take(in, 2) };
	char text[256];
	int len;

	len = snprintf(text, sizeof(text), form, n[0], n[1], n[2]);
	if (client < 0)
		client = pair(accept_client);
	send_raw(client, text, len);
	send_raw(client, "\n", 1);
}

/* --- all --- */

static void second(void)
{
	struct vm *vm, *next;

	for (vm = TAILQ_FIRST(&d.vms); vm; vm = next) {
		next = TAILQ_NEXT(vm, link);
		device_second(vm);
		vm->traded.wanted = true;
	}
	pooling_second(&d);
	trading_second(&d);
}

static void step(struct input *in)
{
	uint8_t what;

	switch (take(in, 1) % 16) {
	case 0:
	case 1:
		send_tick(in);
		break;
	case 2:
	case 3:
		set_bits(in);
		return;
	case 4:
		send_results(in);
		break;
	case 5:
		send_pauses(in);
		break;
	case 6:
		send_reject(in);
		break;
	case 7:
		send_state(in, take(in, 1));
		break;
	case 8:
		send_ranges(in);
		break;
	case 9:
		send_sizes(in);
		break;
	case 10:
		send_hello(in);
		break;
	case 11:
		send_bytes(in, device);
		break;
	case 12:
		request(in);
		break;
	case 13:
		if (client < 0)
			client = pair(accept_client);
		send_bytes(in, client);
		break;
	case 14:
		second();
		break;
	case 15:
		what = take(in, 1);
		if (what & 4)
			send_account(in);
		else if (what & 2)
			restore_learned(in);
		else if (what & 1)
			hang_up(&client);
		else
			connect_device();
		break;
	}
	run();
}

static void begin(void)
{
	struct input none = { NULL, 0 };

	memset(maps, 0, HMEM_LINK_MAPS * MAP_BYTES);
	connect_device();
	send_hello(&none);
	send_ranges(&none);
	send_state(&none, HMEM_LINK_DRIVER_OK | HMEM_LINK_VM_RUNNING);
	run();
}

/* Nothing of this input may be left for the next one. */
static void end(void)
{
	int turns = 0;

	hang_up(&device);
	hang_up(&client);
	while (d.loop.num_conns || !work_queue_is_empty(&d.discards)) {
		must(turns++ < MAX_TURNS, "hmemd does not let go of a connection");
		turn();
	}
	policy_store_free(&d.policies);
	policy_store_init(&d.policies, d.config.max_vms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input in = { data, len };

	begin();
	while (in.len)
		step(&in);
	end();
	return 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct hmem_err err;

	(void)argc, (void)argv;
	/* As main() does. */
	hmemd_init(&d);
	/* No file, so the defaults. */
	d.settings.file = "/nonexistent/hmemd.conf";
	d.vm_socket = "vm.sock";
	d.control_socket = "control.sock";
	/* This process is not to be tracked. */
	d.host_trackers.paths = (struct host_paths) {
		.proc = "/nonexistent", .mm = "/nonexistent",
	};
	log_set_level(LOG_ERR);
	signal(SIGPIPE, SIG_IGN);
	must(!settings_load(&d, &err), "settings_load");
	policy_store_init(&d.policies, d.config.max_vms);
	must(!closer_start(&d.closer, &err), "closer_start");
	must(!loop_init(&d.loop, &err), "loop_init");
	marker.complete = marked;
	must(!loop_add(&d.loop, &marker), "loop_add");
	maps_fd = memfd_create("maps", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	must(maps_fd >= 0 && !ftruncate(maps_fd, HMEM_LINK_MAPS * MAP_BYTES) &&
	     !fcntl(maps_fd, F_ADD_SEALS, F_SEAL_SHRINK), "memfd");
	maps = mmap(NULL, HMEM_LINK_MAPS * MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		    maps_fd, 0);
	must(maps != MAP_FAILED, "mmap");
	return 0;
}
