/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem link: what a virtio-hmem device in QEMU and hmemd say to each other.
 *
 * A stream Unix socket on one host.  QEMU is the client and reconnects; hmemd
 * is the server.  Each message is a hmem_link_header and len bytes of payload,
 * in host byte order, except for hints and results, which are the wire structs
 * of virtio_hmem.h as they stand.  Fields named padding are sent as zero.
 *
 * Order: the device sends HELLO (with the maps' file descriptor as
 * SCM_RIGHTS), RANGES and STATE; the daemon answers WELCOME.  Before that
 * the daemon sends nothing.  Then:
 *
 *   device to daemon                  daemon to device
 *   STATE    whenever it changes      HINTS      a batch to move
 *   RANGES   whenever they change     TRACK      start, change, stop tracking
 *   RESULTS  of a batch               TICK_DONE  the maps have been read
 *   REJECT   a batch is not accepted
 *   TICK     a window has ended
 *
 * RANGES come before whatever relies on them (RESULTS, REJECT, TICK), and else no
 * more often than once in hmem_link_hello.min_window_ns of guest time.
 *
 * Either side drops the connection on a message that breaks these rules, and
 * says which one in its log.  A dropped or closed connection ends all batches
 * that were under way on it; their results are lost to the daemon.
 */
#ifndef HMEM_LINK_H
#define HMEM_LINK_H

#include <stdint.h>

#define HMEM_LINK_MAGIC		0x6d656d68u	/* "hmem" */
#define HMEM_LINK_VERSION	5u

/* A payload is never longer than this many bytes. */
#define HMEM_LINK_MAX_PAYLOAD	(64u * 1024)

#define HMEM_LINK_MAX_TIERS	8u
/* In the memfd, one after the other: dirty, accessed, rearm. */
#define HMEM_LINK_MAPS		3u
#define HMEM_LINK_MAX_RANGES	1024u
/* Hints in a HINTS message: 1 .. this. */
#define HMEM_LINK_MAX_HINTS	511u

/*
 * Ways to find out which pages were used.  DIRTY sees writes only, and each
 * window by itself.  Its dirty log is on only in windows that are no rest, and
 * while there is a driver: a log that is on costs the host every huge mapping of
 * the guest's memory, and a fault for each page that is written.  SIM, the simulator's accessed and dirty bits, sees reads
 * as well; a page's bits stay set, and are found in each window, until the
 * daemon has them cleared (rearm map), as the bits of a page table do.  GPT has
 * the guest's driver read and clear the accessed bits of the guest's page
 * tables, and with VIRTIO_HMEM_F_WRITTEN the dirty bits; without, written pages
 * are not found.  It finds nothing while there is no driver that has negotiated
 * VIRTIO_HMEM_F_ACCESS; hmem_link_state.features says so.  HOST has hmemd itself
 * ask the host's kernel, about the process that it is connected with and the
 * addresses that RANGES names: the device ends the windows and fills no map.
 *
 * For DIRTY and GPT, no window ends while there is no driver.
 */
#define HMEM_LINK_TRACKER_DIRTY	(1u << 0)	/* dirty logging */
#define HMEM_LINK_TRACKER_SIM	(1u << 1)
#define HMEM_LINK_TRACKER_GPT	(1u << 2)	/* guest page tables */
#define HMEM_LINK_TRACKER_HOST	(1u << 3)	/* hmemd, by the host's kernel */

/*
 * hmem_link_track.flags.  LOCKSTEP: when a window has ended, guest time stands
 * still until TICK_DONE has come, and windows end at multiples of window_ns of
 * guest virtual time; so that what device and daemon do depends on guest time
 * only.  QEMU does nothing else meanwhile.
 *
 * REST: windows end as ever, but nobody looks what was used in them.  What the
 * tracker has found stays found until the first window that is none; DIRTY,
 * whose log is off in a rest, finds nothing of what is written meanwhile.
 */
#define HMEM_LINK_TRACK_LOCKSTEP	(1u << 0)
#define HMEM_LINK_TRACK_REST		(1u << 1)

/* No window is shorter or longer, in ns; see hmem_link_hello.min_window_ns. */
#define HMEM_LINK_MIN_WINDOW_NS	UINT64_C(1000000)
#define HMEM_LINK_MAX_WINDOW_NS	UINT64_C(3600000000000)

enum hmem_link_type {
	/* device to daemon */
	HMEM_LINK_HELLO = 1,		/* struct hmem_link_hello */
	HMEM_LINK_RANGES = 2,		/* struct hmem_link_range[] */
	HMEM_LINK_STATE = 3,		/* struct hmem_link_state */
	HMEM_LINK_RESULTS = 4,		/* struct virtio_hmem_result_batch */
	HMEM_LINK_REJECT = 5,		/* struct hmem_link_reject */
	HMEM_LINK_TICK = 6,		/* struct hmem_link_tick */
	/* daemon to device */
	HMEM_LINK_WELCOME = 0x81,	/* struct hmem_link_welcome */
	HMEM_LINK_HINTS = 0x82,		/* struct virtio_hmem_hint_batch */
	HMEM_LINK_TRACK = 0x83,		/* struct hmem_link_track */
	HMEM_LINK_TICK_DONE = 0x84,	/* struct hmem_link_tick_done */
};

struct hmem_link_header {
	uint32_t type;		/* enum hmem_link_type */
	uint32_t len;		/* bytes of payload that follow */
};

/* As struct virtio_hmem_tier; the fields have its meaning and units. */
struct hmem_link_tier {
	uint32_t pxm;
	uint32_t kind;
	uint32_t read_latency;
	uint32_t write_latency;
	uint32_t read_bandwidth;
	uint32_t write_bandwidth;
	uint64_t size;
};

struct hmem_link_hello {
	uint32_t magic;
	uint32_t version;
	char vm[64];		/* QEMU's -name, or "qemu-PID"; NUL-terminated */
	char device[64];	/* the device's id, or its QOM path's last part */
	uint8_t uuid[16];	/* QEMU's -uuid; all zero: none */
	uint32_t num_tiers;	/* 2 .. HMEM_LINK_MAX_TIERS */
	uint32_t max_batches;	/* batches the daemon may have under way */
	/*
	 * Bytes in a map, a multiple of 8.  The memfd holds HMEM_LINK_MAPS of
	 * them: the dirty map, the accessed map and the rearm map; the last two
	 * mean something to trackers with accessed bits only.
	 * Each is an array of uint64_t: bit g % 64 of word g / 64 stands for
	 * GFN g.  Bits for GFNs that no range names mean nothing.
	 *
	 * Of dirty and accessed map the device ORs bits in, atomically, and the
	 * daemon takes a word by exchanging it for zero, atomically.  In the
	 * rearm map the daemon sets bits before TICK_DONE; on TICK_DONE the
	 * device clears the accessed and dirty bits of those frames in its
	 * tracker, and the map.  GPT clears them at the end of the next window,
	 * after it has read them: one scan does both.
	 */
	uint64_t map_bytes;
	uint32_t trackers;	/* HMEM_LINK_TRACKER_*: those TRACK may name */
	uint32_t track_flags;	/* HMEM_LINK_TRACK_*: those TRACK may have */
	/*
	 * The shortest window that TRACK may ask for, 1 ms .. 1 h: it grows with
	 * the memory that could have to be gone through in each.
	 */
	uint64_t min_window_ns;
	struct hmem_link_tier tiers[HMEM_LINK_MAX_TIERS];
};

/* Pages are of this many bytes. */
#define HMEM_LINK_PAGE_SIZE	4096u

/*
 * Guest RAM that belongs to a tier, now: memory that is plugged in later is added,
 * memory that goes is taken away.  Sorted by gfn, not overlapping.
 */
struct hmem_link_range {
	uint64_t gfn;
	uint64_t num;		/* frames, at least 1 */
	uint32_t tier;
	uint32_t padding;
	/*
	 * Where all of it is mapped in the address space of the process that
	 * sends this, a multiple of HMEM_LINK_PAGE_SIZE; 0: not to be had, and
	 * HOST is of no use for it.
	 */
	uint64_t hva;
};

/* hmem_link_state.flags */
#define HMEM_LINK_DRIVER_OK	(1u << 0)	/* the guest's driver is at work */
#define HMEM_LINK_VM_RUNNING	(1u << 1)
/* Live migration, out or (postcopy) in: HINTS are rejected, nothing is tracked. */
#define HMEM_LINK_MIGRATING	(1u << 2)
#define HMEM_LINK_BROKEN	(1u << 3)	/* the guest broke the rules; reset it */
/* The driver has not finished a scan (GPT) for longer than a window. */
#define HMEM_LINK_SCAN_LATE	(1u << 4)

/*
 * Losing DRIVER_OK (reset, unload, reboot, unplug) ends all batches that are
 * under way; no RESULTS follow for them.
 */
struct hmem_link_state {
	uint32_t flags;
	uint32_t padding;
	uint64_t features;	/* negotiated; 0 without a driver */
	uint64_t vtime_ns;	/* guest virtual time */
	/*
	 * With VIRTIO_HMEM_F_ONLINE in features: bytes of each tier that are
	 * online in the guest, as its driver says; else 0.
	 */
	uint64_t online[HMEM_LINK_MAX_TIERS];
};

enum hmem_link_reject_code {
	HMEM_LINK_REJECT_NO_DRIVER = 1,
	HMEM_LINK_REJECT_MIGRATING = 2,
	HMEM_LINK_REJECT_BUSY = 3,	/* more than max_batches under way */
	HMEM_LINK_REJECT_INVALID = 4,	/* a hint names no guest memory or tier */
};

struct hmem_link_reject {
	uint64_t id;		/* of the hint batch */
	uint32_t code;		/* enum hmem_link_reject_code */
	uint32_t hint;		/* REJECT_INVALID: index of the first bad hint */
};

/*
 * Every window_ns of guest virtual time the device collects what its tracker
 * has found, ORs it into the maps and sends TICK.  The window after that ends
 * only when TICK_DONE has come: a slow daemon gets longer windows, never a
 * queue of them.  Another window with the same tracker and flags, or a rest or
 * none, is a change of the one under way; anything else starts anew.
 */
struct hmem_link_track {
	uint64_t window_ns;	/* 0: stop; else hello.min_window_ns .. 1 h */
	uint32_t tracker;	/* one HMEM_LINK_TRACKER_*; 0 to stop */
	uint32_t flags;		/* HMEM_LINK_TRACK_*; 0 to stop */
};

/* hmem_link_tick.flags: what the maps do not name may have been used, too. */
#define HMEM_LINK_TICK_INCOMPLETE	(1u << 0)

struct hmem_link_tick {
	uint64_t seq;		/* 1, 2, ... since tracking was started */
	uint64_t vtime_ns;	/* guest virtual time of this tick */
	uint64_t window_ns;	/* guest virtual time since the tick before */
	uint64_t dirty;		/* pages found written */
	uint64_t accessed;	/* pages found accessed; 0 if not tracked */
	uint64_t scan_ns;	/* of the window: the guest's scan; 0: none */
	uint32_t flags;		/* HMEM_LINK_TICK_* */
	uint32_t padding;
};

struct hmem_link_tick_done {
	uint64_t seq;
};

struct hmem_link_welcome {
	uint32_t magic;
	uint32_t version;
};

#endif /* HMEM_LINK_H */
