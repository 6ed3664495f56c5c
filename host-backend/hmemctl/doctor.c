/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <liburing.h>

#include "doctor.h"
#include "hmemctl.h"
#include "numbers.h"
#include "utf8.h"
#include "virtio_hmem.h"

static const char *const words[] = { "ok", "warn", "fail" };
static const int status_of[] = { EXIT_OK, EXIT_WARNED, EXIT_ERROR };
static json *checks;
static enum verdict worst;

void check(enum verdict v, const char *what, const char *fmt, ...)
{
	json *c = json_new_object();
	char text[512], clean[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_add(c, "check", json_new_text(what));
	json_add(c, "verdict", json_new_text(words[v]));
	/*
	 * The text can have words of QEMU's command line, which belongs to the VM's user: no byte
	 * may control the terminal.
	 */
	for (char *c = text; *c; c++)
		*c = iscntrl((unsigned char)*c) ? '?' : *c;
	hmem_utf8(text, clean, sizeof(clean));
	json_add(c, "text", json_new_text(clean));
	json_append(checks, c);
	if (v > worst)
		worst = v;
}

static void check_io_uring(void)
{
	struct io_uring ring;
	int ret = io_uring_queue_init(2, &ring, 0);

	if (ret < 0) {
		check(WARN, "io_uring", "not available (%s): hmemd uses epoll instead, and the "
		      "tracker damon delays all VMs; see /proc/sys/kernel/io_uring_disabled "
		      "and the seccomp filter",
		      strerror(-ret));
		return;
	}
	io_uring_queue_exit(&ring);
	check(OK, "io_uring", "available");
}

static void check_memfd(void)
{
	int fd = memfd_create("hmemctl", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, 4096) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		check(FAIL, "memfd", "cannot be sealed (%s): QEMU cannot share its "
		      "dirty map, use a kernel with memfd", strerror(errno));
	else
		check(OK, "memfd", "can be sealed");
	if (fd >= 0)
		close(fd);
}

static void check_kvm(void)
{
	if (!access("/dev/kvm", R_OK | W_OK))
		check(OK, "kvm", "/dev/kvm can be used");
	else
		check(WARN, "kvm", "/dev/kvm: %s; guests run emulated: load kvm, or "
		      "join its group", strerror(errno));
}

static void check_tiers(const char *what, json *tiers)
{
	for (size_t i = 0; i < json_object_array_length(tiers); i++) {
		json *tier = json_object_array_get_idx(tiers, i);
		char off[24], all[24];

		if (offline_bytes(tier))
			check(WARN, what, "%s of %s of tier %zu are offline in the guest: "
			      "put them online there, see lsmem and chmem",
			      hmem_format_size(offline_bytes(tier), off, sizeof(off)),
			      hmem_format_size(num_of(tier, "bytes"), all, sizeof(all)),
			      i);
	}
}

/*
 * Each driver of the version of this hmemd has these, whatever its kernel is; and no QEMU of that
 * version offers more than ALL_FEATURES.
 */
#define FEATURES	(UINT64_C(1) << VIRTIO_HMEM_F_RESTRICTED | \
			 UINT64_C(1) << VIRTIO_HMEM_F_ONLINE | \
			 UINT64_C(1) << VIRTIO_HMEM_F_PAUSE | \
			 UINT64_C(1) << VIRTIO_HMEM_F_ACCOUNT)
#define ALL_FEATURES	((UINT64_C(2) << VIRTIO_HMEM_F_ACCOUNT) - 1)

/* The device offers features, and the driver takes those that it knows. */
static void check_features(const char *what, uint64_t features)
{
	/* Those that any virtio device can have come later. */
	uint64_t ours = features & ((UINT64_C(1) << 24) - 1);

	if (ours & ~ALL_FEATURES)
		check(WARN, what, "its driver and QEMU are newer than hmemd, which does not know "
		      "all of their features (%#" PRIx64 "): update hmemd", ours & ~ALL_FEATURES);
	else if (~ours & FEATURES)
		check(WARN, what, "its driver or QEMU is older than hmemd, and lacks features "
		      "(%#" PRIx64 "): update virtio-hmem-dkms in the guest, whose version dkms "
		      "status tells, and qemu-system-hmem on the host", ~ours & FEATURES);
}

static void check_windows(const char *what, json *vm)
{
	if (known(vm, "scan_late") && flag_of(vm, "scan_late"))
		check(WARN, what, "a scan of its page tables takes longer than a window: give it "
		      "processor time, or set a longer window=, now %s ms",
		      text_of(vm, "asked_window_ms"));
	if (strcmp(text_of(vm, "policy"), "off") &&
	    num_of(vm, "asked_window_ms") < num_of(vm, "min_window_ms"))
		check(WARN, what, "its windows take %s ms and not %s ms, because it has much "
		      "memory, or because of QEMU's min-window: set window=%s",
		      text_of(vm, "min_window_ms"), text_of(vm, "asked_window_ms"),
		      text_of(vm, "min_window_ms"));
}

static void check_vm(json *vm)
{
	const char *name = text_of(vm, "name"), *driver = text_of(vm, "driver");
	const char *activity = text_of(vm, "activity");
	/* The activity of some VMs is the policy's text, which must not appear twice. */
	bool names_policy = !strncmp(activity, "policy ", 7);
	char what[128];

	snprintf(what, sizeof(what), "vm %s", name);
	if (!strcmp(driver, "broken"))
		check(FAIL, what, "its driver broke the rules: see QEMU's log, then "
		      "reset the guest");
	else if (strcmp(driver, "ok"))
		check(WARN, what, "no driver at work: load virtio_hmem in the guest");
	else if (flag_of(vm, "late"))
		check(WARN, what, "%s, %s batches are under way: see the guest's log, and "
		      "hmemctl jobs", text_of(vm, "activity"), text_of(vm, "batches"));
	else
		check(OK, what, "driver at work, %s%s%s%s",
		      names_policy ? "" : "policy ",
		      names_policy ? "" : text_of(vm, "policy"),
		      names_policy ? "" : ", ", activity);
	if (known(vm, "order_doubt"))
		check(WARN, what, "%s", text_of(vm, "order_doubt"));
	check_tiers(what, field(vm, "tiers"));
	if (!strcmp(driver, "ok"))
		check_features(what, num_of(vm, "features"));
	check_windows(what, vm);
	check_qemu(what, num_of(vm, "pid"), text_of(vm, "tracker"), field(vm, "tiers"));
	check_pieces(what, num_of(vm, "ranges"));
	if (num_of(vm, "foreign_moves_lately"))
		check(WARN, what, "the guest moved %s pages by itself in the last two "
		      "minutes: switch off its own placement, sysctl "
		      "kernel.numa_balancing=0 and echo 0 > "
		      "/sys/kernel/mm/numa/demotion_enabled; this warning is gone two "
		      "minutes after the last such move",
		      text_of(vm, "foreign_moves_lately"));
	if (known(vm, "last_error"))
		check(WARN, what, "last error: %s; hmemctl stats --reset forgets it",
		      text_of(vm, "last_error"));
}

/* An older hmemd knows no nodes. */
static void check_nodes(void)
{
	const char *why;
	json *o = try_ask(new_request("pool", NULL), &why), *nodes;

	if (!o)
		return;
	nodes = field(field(o, "pool"), "nodes");
	for (size_t i = 0; nodes && i < json_object_array_length(nodes); i++) {
		json *node = json_object_array_get_idx(nodes, i);
		uint64_t has = num_of(node, "capacity_bytes");
		uint64_t promised = num_of(node, "promised_bytes");
		char what[32], want[24], all[24];

		snprintf(what, sizeof(what), "node %s", text_of(node, "node"));
		hmem_format_size(promised, want, sizeof(want));
		hmem_format_size(has, all, sizeof(all));
		if (promised > has)
			check(WARN, what, "VMs have %s of it, but hmemd.conf says that it has %s: "
			      "make tiers smaller with hmemctl resize, or correct capacity",
			      want, all);
		else
			check(OK, what, "%s of %s are promised to VMs", want, all);
	}
	json_object_put(o);
}

static void check_hmemd(void)
{
	const char *why;
	json *info, *h, *status, *vms;

	info = try_ask(new_request("info", NULL), &why);
	if (!info) {
		check(FAIL, "hmemd", "%s", why);
		return;
	}
	h = field(info, "hmemd");
	check(OK, "hmemd", "version %s, process %s", text_of(h, "version"),
	      text_of(h, "pid"));
	if (num_of(h, "dropped"))
		check(WARN, "link", "%s connections were dropped because of a fault, the "
		      "last one of %s", text_of(h, "dropped"), text_of(h, "last_fault"));
	if (num_of(h, "turned_away") || num_of(h, "clients_turned_away"))
		check(WARN, "connections", "%s of VMs and %s of control clients were turned "
		      "away, the last one: %s", text_of(h, "turned_away"),
		      text_of(h, "clients_turned_away"), text_of(h, "last_turned_away"));
	if (num_of(h, "not_introduced"))
		check(WARN, "connections", "%s of %s connections have not introduced themselves "
		      "as VMs",
		      text_of(h, "not_introduced"), text_of(h, "vms"));
	if (num_of(h, "log_lines_lost"))
		check(WARN, "log", "%s lines of hmemd's log are lost, because nobody read "
		      "them",
		      text_of(h, "log_lines_lost"));
	status = try_ask(new_request("status", NULL), &why);
	if (!status) {
		check(FAIL, "vms", "%s", why);
		json_object_put(info);
		return;
	}
	if (known(h, "vm_socket"))
		check_vm_socket(text_of(h, "vm_socket"));
	vms = field(status, "vms");
	if (!json_object_array_length(vms))
		check(WARN, "vms", "none is connected: start QEMU with -chardev "
		      "socket,id=hmem,path=%s,reconnect-ms=1000 -device "
		      "virtio-hmem,chardev=hmem,...", text_of(h, "vm_socket"));
	for (size_t i = 0; i < json_object_array_length(vms); i++)
		check_vm(json_object_array_get_idx(vms, i));
	check_nodes();
	json_object_put(status);
	json_object_put(info);
}

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	if (key == ARGP_KEY_ARG)
		argp_error(state, "'%s': doctor takes no arguments", arg);
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	.parser = parse_opt,
	.doc = "Check hmemd and its VMs for problems, and say how to solve them.",
	.children = global_argp,
};

int cmd_doctor(int argc, char **argv)
{
	struct table t = {
		.columns = 3,
		.column = { { "CHECK", false }, { "IS", false }, { "WHY", false } },
	};

	parse_args(&argp, argc, argv, 0, NULL);
	checks = json_new_array();
	check_io_uring();
	check_memfd();
	check_kvm();
	check_host();
	check_slots();
	check_hmemd();
	if (!json_is_complete())
		die(EXIT_ERROR, "no memory for the checks");
	if (globals.json) {
		json *o = json_new_object();

		json_add(o, "checks", checks);
		print_json(o);
		return status_of[worst];
	}
	for (size_t i = 0; i < json_object_array_length(checks); i++) {
		json *c = json_object_array_get_idx(checks, i);

		table_row(&t, (const char *[]) {
			text_of(c, "check"), text_of(c, "verdict"), text_of(c, "text"),
		});
	}
	table_print(&t);
	json_object_put(checks);
	return status_of[worst];
}
