/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem link: the messages between a virtio-hmem device in QEMU and hmemd.
 *
 * The link is a stream Unix socket on one host.  QEMU is the client and reconnects;
 * hmemd is the server.  Each message is a hmem_link_header and len bytes of payload, in
 * host byte order, except that hints and results are the wire structs of virtio_hmem.h.
 * Fields named padding are sent as zero.
 *
 * Order: the device sends HELLO (with the maps' file descriptor as SCM_RIGHTS), RANGES
 * and STATE; the daemon answers WELCOME, and sends nothing before that.  Then:
 *
 *   device to daemon                  daemon to device
 *   STATE    when it has changed      HINTS      a batch of pages to move
 *   RANGES   when they have changed   TRACK      start, change or stop tracking
 *   RESULTS  of a batch               TICK_DONE  the maps have been read
 *   REJECT   a batch is not accepted  RESIZE     ask for another size of a tier
 *   SIZES    whenever they change
 *   TICK     a window has ended
 *   CLEARED  before TICK, if hmem_link_track.flags has CLEARED
 *   PAUSES   before RESULTS, and if they are known when the link is new
 *   ACCOUNT  whenever the driver gives one, if hmem_link_track.flags has ACCOUNT
 *
 * RANGES come before messages that depend on them (RESULTS, REJECT, TICK).  Otherwise
 * they come at most once in hmem_link_hello.min_window_ns of guest time.
 *
 * If a message breaks these rules, the receiver drops the connection and logs the
 * broken rule.  A dropped or closed connection ends all its unfinished batches; the
 * daemon does not get their results.
 */
#ifndef HMEM_LINK_H
#define HMEM_LINK_H

#include <stdint.h>

#define HMEM_LINK_MAGIC		0x6d656d68u	/* "hmem" */
#define HMEM_LINK_VERSION	9u

/* Largest payload, in bytes. */
#define HMEM_LINK_MAX_PAYLOAD	(64u * 1024)

#define HMEM_LINK_MAX_TIERS	8u
/* More virtual processors than any machine of QEMU can have. */
#define HMEM_LINK_MAX_CPUS	65536u
/* Maps in the memfd, one after the other: dirty, accessed, rearm, given. */
#define HMEM_LINK_MAPS		4u
#define HMEM_LINK_MAX_RANGES	1024u
/* Largest number of hints in a HINTS message; the smallest is 1. */
#define HMEM_LINK_MAX_HINTS	511u

/*
 * Trackers, the ways to find used pages:
 *
 * DIRTY finds the pages written in each window.  Its dirty log is on only in windows
 * that are not rests, and while there is a driver, because the log costs the host every
 * huge mapping of the guest's memory, and a fault for each written page.
 *
 * SIM, the simulator's accessed and dirty bits, finds reads as well.  A page's bits stay
 * set, and are found in each window, until the daemon has them cleared by the rearm map,
 * like the bits of a page table.
 *
 * GPT: the guest's driver reads and clears the accessed bits of the guest's page tables,
 * and with VIRTIO_HMEM_F_WRITTEN the dirty bits; without the feature, it finds no
 * written pages.  GPT finds nothing while no driver has negotiated
 * VIRTIO_HMEM_F_ACCESS, see hmem_link_state.features.
 *
 * HOST: hmemd itself asks the host's kernel about the process at the other end of the
 * connection, and the addresses in RANGES.  The device ends windows and fills no map.
 *
 * For DIRTY and GPT, no window ends while there is no driver.
 */
#define HMEM_LINK_TRACKER_DIRTY	(1u << 0)	/* dirty logging */
#define HMEM_LINK_TRACKER_SIM	(1u << 1)
#define HMEM_LINK_TRACKER_GPT	(1u << 2)	/* guest page tables */
#define HMEM_LINK_TRACKER_HOST	(1u << 3)	/* hmemd, by the host's kernel */

/*
 * hmem_link_track.flags.  LOCKSTEP: when a window has ended, guest time stands still
 * until TICK_DONE comes, and windows end at multiples of window_ns of guest virtual
 * time, unless window_ns was set between a tick and its TICK_DONE: then it is counted
 * from that tick.  So the actions of device and daemon depend on guest time only.
 * QEMU does nothing else meanwhile.
 *
 * REST: windows end as usual, but nothing looks for pages used in them.  The tracker
 * keeps what it has found until the first window that is not a rest.  DIRTY, whose log
 * is off in a rest, misses pages written meanwhile.
 *
 * ACCESSED: the daemon need not know which pages were written.  SIM and GPT then find no
 * written pages, and leave dirty bits alone: a page that is written again costs the guest
 * one page walk less, and GPT need not interrupt processors because of dirty bits.
 *
 * BUSY: TICK tells for how long the virtual processors ran.  Not offered where guest time
 * counts instructions, because the time of a processor's thread is then no guest time.
 *
 * CLEARED: before the TICK of a scan by GPT, the message CLEARED comes if the driver has
 * negotiated VIRTIO_HMEM_F_COST.
 *
 * LONG: a look of GPT at a huge page lasts for the whole window, like a look at a base page.
 * Without this flag, it lasts a 512th of the window.
 *
 * WITHIN: looks of GPT at all pages lie within the scan at the end of the window.  They last for
 * @window_ns, and for a 512th of @window_ns at huge pages.  All bits are cleared before them, and
 * no frames are rearmed.  @window_ns can be less than hmem_link_hello.min_window_ns; the window
 * is not.  Not with LONG.  Only if the driver has negotiated VIRTIO_HMEM_F_LOOK, and
 * not with VIRTIO_HMEM_F_WRITTEN unless TRACK_ACCESSED is set.
 *
 * ACCOUNT: the message ACCOUNT passes on each account of the driver, if that has negotiated
 * VIRTIO_HMEM_F_ACCOUNT.  After each window that ends without a scan by GPT, whatever the tracker
 * is, the device asks the driver for an account, which comes as soon as the driver answers.
 *
 * REST, LONG and WITHIN apply to single windows.  A change of another flag begins the tracking
 * anew.
 */
#define HMEM_LINK_TRACK_LOCKSTEP	(1u << 0)
#define HMEM_LINK_TRACK_REST		(1u << 1)
#define HMEM_LINK_TRACK_ACCESSED	(1u << 2)
#define HMEM_LINK_TRACK_BUSY		(1u << 3)
#define HMEM_LINK_TRACK_LONG		(1u << 4)
#define HMEM_LINK_TRACK_CLEARED		(1u << 5)
#define HMEM_LINK_TRACK_WITHIN		(1u << 6)
#define HMEM_LINK_TRACK_ACCOUNT		(1u << 7)
#define HMEM_LINK_TRACK_BY_WINDOW	(HMEM_LINK_TRACK_REST | HMEM_LINK_TRACK_LONG | \
					 HMEM_LINK_TRACK_WITHIN)

/* Bounds of a window in ns; see also hmem_link_hello.min_window_ns. */
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
	HMEM_LINK_SIZES = 7,		/* struct hmem_link_sizes */
	HMEM_LINK_PAUSES = 8,		/* struct hmem_link_pauses */
	HMEM_LINK_CLEARED = 9,		/* struct hmem_link_cleared */
	HMEM_LINK_ACCOUNT = 10,		/* struct hmem_link_account */
	/* daemon to device */
	HMEM_LINK_WELCOME = 0x81,	/* struct hmem_link_welcome */
	HMEM_LINK_HINTS = 0x82,		/* struct virtio_hmem_hint_batch */
	HMEM_LINK_TRACK = 0x83,		/* struct hmem_link_track */
	HMEM_LINK_TICK_DONE = 0x84,	/* struct hmem_link_tick_done */
	HMEM_LINK_RESIZE = 0x85,	/* struct hmem_link_resize */
};

struct hmem_link_header {
	uint32_t type;		/* enum hmem_link_type */
	uint32_t len;		/* bytes of payload that follow */
};

/* Like struct virtio_hmem_tier; the fields have the same meaning and units. */
struct hmem_link_tier {
	uint32_t pxm;
	uint32_t kind;
	uint32_t read_latency;
	uint32_t write_latency;
	uint32_t read_bandwidth;
	uint32_t write_bandwidth;
	uint64_t size;
	/*
	 * RESIZE may request min .. size bytes of the tier, in multiples of unit.  A
	 * unit of 0 means that the tier cannot be resized.
	 */
	uint64_t min;
	uint64_t unit;
};

struct hmem_link_hello {
	uint32_t magic;
	uint32_t version;
	char vm[64];		/* QEMU's -name, or "qemu-PID"; NUL-terminated */
	char device[64];	/* the device's id, or its QOM path's last part */
	uint8_t uuid[16];	/* QEMU's -uuid; all zero: none */
	uint32_t num_tiers;	/* 2 .. HMEM_LINK_MAX_TIERS */
	uint32_t max_batches;	/* largest number of unfinished batches */
	/*
	 * Bytes in a map, a multiple of 8.  The memfd holds HMEM_LINK_MAPS maps: dirty,
	 * accessed, rearm and given.  Accessed and rearm have a meaning only for trackers
	 * with accessed bits.  Each map is an array of uint64_t: bit g % 64 of word g / 64
	 * stands for GFN g.  Bits for GFNs outside of all ranges mean nothing.
	 *
	 * Dirty and accessed map: the device ORs bits in, and the daemon takes a word by
	 * exchanging it for zero, both atomically.
	 *
	 * Rearm map: the daemon sets bits before TICK_DONE.  On TICK_DONE, the device
	 * clears the accessed and dirty bits of those frames in its tracker, and the
	 * map.  GPT clears the bits at the end of the next window, after it has read
	 * them, so that one scan does both.
	 *
	 * Given map: the frames that the guest has given up and not taken back.  The device
	 * sets and clears bits, and the daemon only reads them.  They change together with
	 * hmem_link_size.actual, before SIZES is sent.
	 */
	uint64_t map_bytes;
	uint32_t trackers;	/* HMEM_LINK_TRACKER_* that TRACK may name; 0: none */
	uint32_t track_flags;	/* HMEM_LINK_TRACK_* that TRACK may have */
	/*
	 * The shortest window that TRACK may request, 1 ms .. 1 h: it grows with the
	 * memory that may have to be passed over in each window.
	 */
	uint64_t min_window_ns;
	/* Virtual processors that the VM has now, 1 .. HMEM_LINK_MAX_CPUS. */
	uint32_t num_cpus;
	uint32_t padding;
	struct hmem_link_tier tiers[HMEM_LINK_MAX_TIERS];
};

/* Size of a page in bytes. */
#define HMEM_LINK_PAGE_SIZE	4096u

/*
 * Guest RAM that belongs to a tier now: memory that is plugged in is added, memory that
 * goes is removed.  Sorted by gfn, not overlapping.
 */
struct hmem_link_range {
	uint64_t gfn;
	uint64_t num;		/* frames, at least 1 */
	uint32_t tier;
	uint32_t padding;
	/*
	 * The address of the range in the sending process, a multiple of
	 * HMEM_LINK_PAGE_SIZE; 0: it has none, and HOST cannot track the range.
	 */
	uint64_t hva;
};

/* hmem_link_state.flags */
#define HMEM_LINK_DRIVER_OK	(1u << 0)	/* the guest's driver is at work */
#define HMEM_LINK_VM_RUNNING	(1u << 1)
/* Live migration, outgoing or (postcopy) incoming: HINTS are rejected, tracking stops. */
#define HMEM_LINK_MIGRATING	(1u << 2)
#define HMEM_LINK_BROKEN	(1u << 3)	/* the guest broke the rules; reset it */
/* A scan (GPT) takes the driver longer than a window. */
#define HMEM_LINK_SCAN_LATE	(1u << 4)

/*
 * When DRIVER_OK is lost (reset, unload, reboot, unplug), all unfinished batches end, and
 * no RESULTS follow for them.
 */
struct hmem_link_state {
	uint32_t flags;
	/*
	 * A number that is new, at random, whenever a driver starts or the device's state is
	 * loaded: if it is the same in two connections, all pages are where they were, unless
	 * the daemon has moved them.  0: there is no driver, or the device does not tell.
	 */
	uint32_t boot;
	uint64_t features;	/* negotiated; 0 without a driver */
	uint64_t vtime_ns;	/* guest virtual time */
	/*
	 * With VIRTIO_HMEM_F_ONLINE in features: bytes of each tier that are online in
	 * the guest, as reported by its driver; otherwise 0.
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
 * After each window_ns of guest virtual time, the device collects what its tracker has
 * found, ORs it into the maps, and sends TICK.  The next window ends only after
 * TICK_DONE: a slow daemon gets longer windows, but never a queue of windows.
 *
 * A TRACK that changes only the length of the window, or whether it is a rest, changes
 * the current window.  Any other TRACK starts tracking again.
 */
struct hmem_link_track {
	uint64_t window_ns;	/* 0: stop; else hello.min_window_ns .. 1 h */
	uint32_t tracker;	/* one HMEM_LINK_TRACKER_*; 0 to stop */
	uint32_t flags;		/* HMEM_LINK_TRACK_*; 0 to stop */
};

/* hmem_link_tick.flags: pages that the maps do not name may have been used as well. */
#define HMEM_LINK_TICK_INCOMPLETE	(1u << 0)

struct hmem_link_tick {
	uint64_t seq;		/* 1, 2, ... since tracking was started */
	uint64_t vtime_ns;	/* guest virtual time of this tick */
	uint64_t window_ns;	/* guest virtual time since the last tick */
	uint64_t dirty;		/* pages found written */
	uint64_t accessed;	/* pages found accessed; 0 if not tracked */
	uint64_t scan_ns;	/* guest time that the scan took, at most the window; 0: no scan */
	uint32_t flags;		/* HMEM_LINK_TICK_* */
	/*
	 * BUSY: the time in us, summed over all virtual processors, for which they ran since
	 * the last tick; at most UINT32_MAX.  Otherwise 0.
	 */
	uint32_t busy_us;
};

/*
 * The bits that the window's scan has cleared, as the guest's driver says: as many page walks, at
 * most, will the scan cost.  A guest can report any number.
 */
struct hmem_link_cleared {
	uint64_t bits;
};

struct hmem_link_tick_done {
	uint64_t seq;
};

/*
 * Sizes of all tiers, in bytes, and paging.  The device sends SIZES after changes, at most once
 * in 10 ms of guest time, and in answer to each RESIZE.  Until the first SIZES of a connection, the
 * requested and the actual size of each tier are the size of its memory.
 */
struct hmem_link_size {
	uint64_t requested;	/* the size that the guest's driver is to reach */
	uint64_t actual;	/* memory that the guest has not given up */
	uint64_t free;		/* the part of actual that the driver says is unused; 0: unknown */
	uint32_t why;		/* VIRTIO_HMEM_WHY_*: why requested and actual differ */
	uint32_t padding;
};

/*
 * What the guest had to read because it had too little memory, by its driver's last report:
 * like struct virtio_hmem_paging, in host byte order.  All zero: without a report since the
 * driver or the device started, or without VIRTIO_HMEM_F_PAGING.  A guest can report any
 * numbers.
 */
struct hmem_link_paging {
	uint64_t swapped_in;	/* frames */
	uint64_t refaulted;	/* frames */
	uint64_t swapped;	/* frames in swap now */
	uint64_t read;		/* frames */
	uint64_t wait_ns;
};

struct hmem_link_sizes {
	struct hmem_link_size tiers[HMEM_LINK_MAX_TIERS];	/* zero from num_tiers on */
	struct hmem_link_paging paging;
};

#define HMEM_LINK_PAUSE_BUCKETS	32u

/*
 * For how long the guest's software could not use frames that moved, by its driver's last
 * report: like struct virtio_hmem_pauses, in host byte order.  The device sends PAUSES only with
 * VIRTIO_HMEM_F_PAUSE in hmem_link_state.features.  A guest can report any numbers.
 */
struct hmem_link_pauses {
	uint64_t sum_ns;
	uint64_t pauses[HMEM_LINK_PAUSE_BUCKETS];
};

/* Like struct virtio_hmem_account_tier; reserve <= free <= total. */
struct hmem_link_account_tier {
	uint64_t total;
	uint64_t free;
	uint64_t reserve;
};

/*
 * The memory of the guest, and the work of its driver: like struct virtio_hmem_account, in host
 * byte order.  After RESULTS of a batch, the pages that these say have moved are counted where they
 * are now.  A guest can report any counts.
 */
struct hmem_link_account {
	struct hmem_link_account_tier tiers[HMEM_LINK_MAX_TIERS];	/* zero from num_tiers on */
	uint64_t entries;
	uint64_t skipped;
	uint64_t left_out;
	uint64_t collapsed;
};

/* Requests a size of a tier.  The actual size follows in SIZES. */
struct hmem_link_resize {
	uint32_t tier;		/* below num_tiers, with a unit that is not 0 */
	uint32_t padding;
	uint64_t bytes;		/* hmem_link_tier.min .. size, a multiple of unit */
};

struct hmem_link_welcome {
	uint32_t magic;
	uint32_t version;
};

#endif /* HMEM_LINK_H */
