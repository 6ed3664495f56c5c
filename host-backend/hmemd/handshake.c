/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "batches.h"
#include "handshake.h"
#include "log.h"
#include "restoring.h"
#include "tracking.h"

static void clean_name(char *to, size_t size, const char *from)
{
	size_t i;

	for (i = 0; from[i] && i < size - 1; i++)
		to[i] = from[i] > ' ' && from[i] < 0x7f ? from[i] : '_';
	to[i] = '\0';
}

static struct vm *named(struct hmemd *d, const char *name)
{
	struct vm *vm;

	TAILQ_FOREACH(vm, &d->vms, link) {
		if (!strcmp(vm->name, name))
			return vm;
	}
	return NULL;
}

/*
 * Does another VM have this name?  If a VM was started again at once, messages of the old QEMU can
 * still wait to be read.  Its connection has ended all the same, so it gives up the name.
 */
static bool is_taken(struct hmemd *d, const char *name)
{
	struct vm *old = named(d, name);

	if (old && conn_has_ended(&old->conn))
		conn_drop(&old->conn, false, "closed by the peer, which is back");
	return named(d, name);
}

/* Name the VM "web"; the next VM with that name becomes "web-2". */
static void set_name(struct vm *vm)
{
	char base[64], name[sizeof(vm->name)];

	clean_name(base, sizeof(base), vm->hello.vm);
	if (!base[0])
		strcpy(base, "vm");
	strcpy(name, base);
	for (unsigned int i = 2; is_taken(vm->d, name); i++)
		snprintf(name, sizeof(name), "%s-%u", base, i);
	strcpy(vm->name, name);
	clean_name(vm->hello.device, sizeof(vm->hello.device), vm->hello.device);
}

/*
 * Map the maps that the device sent.  If the device could shrink them, hmemd would get a
 * SIGBUS: so they must be sealed, and must not be in another file system than tmpfs.
 */
static int map_maps(struct vm *vm, struct hmem_err *err)
{
	uint64_t bytes = HMEM_LINK_MAPS * vm->hello.map_bytes;
	int fd = vm->conn.passed_fd, seals;
	struct statfs fs;
	struct stat st;
	void *map;

	if (fd < 0)
		return hmem_fail(err, EPROTO, "HELLO: no file descriptor came along");
	/* Check the seals first: only memory files have them, so no other is touched. */
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    fstatfs(fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC)
		return hmem_fail(err, EPROTO, "HELLO: the maps are not a memfd of "
				 "small pages");
	if (!(seals & F_SEAL_SHRINK))
		return hmem_fail(err, EPROTO, "HELLO: the maps are not sealed "
				 "with F_SEAL_SHRINK");
	if ((uint64_t)st.st_size < bytes)
		return hmem_fail(err, EPROTO, "HELLO: the maps are %" PRIu64
				 " bytes long, not the %" PRIu64 " declared",
				 (uint64_t)st.st_size, bytes);
	map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return hmem_fail(err, errno, "HELLO: cannot map the maps: %s",
				 strerror(errno));
	vm->map = map;
	hmem_tracker_dirty_init(&vm->trackers[HMEM_TRACK_DIRTY], vm->map,
				vm->hello.map_bytes);
	hmem_tracker_sim_init(&vm->trackers[HMEM_TRACK_SIM], vm->map,
			      vm->hello.map_bytes);
	hmem_tracker_gpt_init(&vm->trackers[HMEM_TRACK_GPT], vm->map,
			      vm->hello.map_bytes);
	close(fd);
	vm->conn.passed_fd = -1;
	return 0;
}

int handshake_hello(struct vm *vm, const struct hmem_link_hello *hello,
		    struct hmem_err *err)
{
	struct hmem_policy policy;
	int ret;

	if (vm->have_hello)
		return hmem_fail(err, EPROTO, "HELLO: a second one");
	ret = hmem_link_check_hello(hello, err);
	if (ret < 0)
		return ret;
	vm->hello = *hello;
	vm->hello.trackers &= HMEM_KNOWN_TRACKERS;
	vm->hello.track_flags &= HMEM_KNOWN_TRACK_FLAGS;
	for (uint32_t i = 0; i < hello->num_tiers; i++) {
		vm->sizes.tiers[i].requested = hello->tiers[i].size;
		vm->sizes.tiers[i].actual = hello->tiers[i].size;
	}
	ret = map_maps(vm, err);
	if (ret < 0)
		return ret;
	if (batches_init(vm, hello->max_batches) < 0)
		return hmem_fail(err, ENOMEM, "no memory for its batches");
	set_name(vm);
	settings_init_vm(vm, &policy);
	hmem_placer_init(&vm->placer, &policy, hello->tiers, hello->num_tiers,
			 hello->min_window_ns, hello->num_cpus);
	vm->placer.given = hmem_given_of(vm->map, hello->map_bytes);
	pooling_init_vm(vm);
	settings_apply(vm);
	vm->have_hello = true;
	return 0;
}

void handshake_finish(struct vm *vm)
{
	struct hmem_link_welcome welcome = {
		.magic = HMEM_LINK_MAGIC,
		.version = HMEM_LINK_VERSION,
	};

	vm_tell(vm, LOG_INFO, "connected", NULL, "connected, device '%s', process %d, "
		"%" PRIu64 " MiB in %" PRIu32 " tiers", vm->hello.device, (int)vm->conn.pid,
		vm_frames(vm) >> 8, vm->hello.num_tiers);
	if (vm_order_doubt(vm))
		log_msg(LOG_WARN, "vm '%s': %s", vm->name, vm_order_doubt(vm));
	vm_send(vm, HMEM_LINK_WELCOME, &welcome, sizeof(welcome));
	tracking_update(vm);
	restoring_begin(vm);
	batches_feed(vm);
}
