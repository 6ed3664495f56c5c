/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio-hmem: heterogeneous memory device, the wire format.
 *
 * This is the only definition; device, driver and host daemon share it.  The terms
 * are those of "Heterogeneous Memory Device" in description.tex.  All fields are
 * little-endian and naturally aligned, and padding is explicit.
 *
 * A GFN (guest frame number) is a guest physical address divided by 4096,
 * whatever the page size of the guest.  A page of order n is 2^n frames, aligned
 * to their total size.
 */
#ifndef _LINUX_VIRTIO_HMEM_H
#define _LINUX_VIRTIO_HMEM_H

#include <linux/types.h>

/*
 * Provisional: the committee has not assigned an ID.  63 is the highest ID that
 * virtio-pci can express (PCI device ID 0x1040 + 63 = 0x107f).
 */
#define VIRTIO_ID_HMEM			63

/*
 * Feature bits
 */

/* The driver moves a page of order > 0 as a whole if the guest has it as one page. */
#define VIRTIO_HMEM_F_LARGE		0
/* The driver finds out which frames the guest's software accesses. */
#define VIRTIO_HMEM_F_ACCESS		1
/* Results can have VIRTIO_HMEM_R_RESTRICTED. */
#define VIRTIO_HMEM_F_RESTRICTED	2
/* Scans also find written frames.  Needs VIRTIO_HMEM_F_ACCESS. */
#define VIRTIO_HMEM_F_WRITTEN		3
/* Reports can say that a scan left something out.  Needs VIRTIO_HMEM_F_ACCESS. */
#define VIRTIO_HMEM_F_INCOMPLETE	4
/* The driver reports how much memory of each tier is online. */
#define VIRTIO_HMEM_F_ONLINE		5
/*
 * Requests tell how long a look at a frame lasts, so that the driver can make
 * shorter looks at large pages.  Needs VIRTIO_HMEM_F_ACCESS.
 */
#define VIRTIO_HMEM_F_LOOK		6
/* The driver gives up memory of a tier, and takes it back. */
#define VIRTIO_HMEM_F_RESIZE		7
/* Reports of sizes tell what the guest reads again.  Needs VIRTIO_HMEM_F_RESIZE. */
#define VIRTIO_HMEM_F_PAGING		8
/* Reports tell how much processor time a scan took.  Needs VIRTIO_HMEM_F_ACCESS. */
#define VIRTIO_HMEM_F_COST		9
/* Results tell for how long the guest's software could not use pages that moved. */
#define VIRTIO_HMEM_F_PAUSE		10
/* Results and reports of scans tell how much memory is free, and what scans left out. */
#define VIRTIO_HMEM_F_ACCOUNT		11

/*
 * Virtqueues
 */
#define VIRTIO_HMEM_VQ_HINT		0	/* device to driver */
#define VIRTIO_HMEM_VQ_RESULT		1	/* driver to device */
/*
 * These two exist with VIRTIO_HMEM_F_ACCESS or VIRTIO_HMEM_F_RESIZE, and are used
 * with VIRTIO_HMEM_F_ACCESS only.
 */
#define VIRTIO_HMEM_VQ_SCAN		2	/* device to driver */
#define VIRTIO_HMEM_VQ_ACCESS		3	/* driver to device */
/* With VIRTIO_HMEM_F_RESIZE only. */
#define VIRTIO_HMEM_VQ_RESIZE		4	/* driver to device, and back */
#define VIRTIO_HMEM_VQ_MAX		5

/*
 * Configuration layout
 */
#define VIRTIO_HMEM_GFN_SHIFT		12	/* log2 of the bytes in a frame */
#define VIRTIO_HMEM_MAX_ORDER		18	/* 1 GiB */
#define VIRTIO_HMEM_MAX_TIERS		8

/* virtio_hmem_tier.kind; for information only: the other fields have the figures. */
#define VIRTIO_HMEM_KIND_DRAM		0
#define VIRTIO_HMEM_KIND_NVM		1
#define VIRTIO_HMEM_KIND_CXL		2

struct virtio_hmem_tier {
	/* ACPI proximity domain of the tier's NUMA node. */
	__le32 pxm;
	/* VIRTIO_HMEM_KIND_* */
	__u8 kind;
	__u8 padding[3];
	/* Unloaded latency, ns; 0: not known. */
	__le32 read_latency;
	__le32 write_latency;
	/* Bandwidth, MiB/s; 0: not known. */
	__le32 read_bandwidth;
	__le32 write_bandwidth;
	/* Bytes of guest memory in this tier when the guest started; constant. */
	__le64 size;
	/*
	 * VIRTIO_HMEM_F_ONLINE: bytes of this tier that are online in the guest.
	 * The driver writes the field, with 8 bytes at once.  Without the
	 * feature: zero.
	 */
	__le64 online;
	/*
	 * VIRTIO_HMEM_F_RESIZE: bytes that the device requests this tier to have, a
	 * multiple of the unit, at most size.  The device changes the field at any
	 * time.  Without the feature: zero.
	 */
	__le64 requested;
	/*
	 * VIRTIO_HMEM_F_RESIZE: log2 of the frames in a unit.  Memory of this tier is
	 * given up and taken back in whole units.  Constant.
	 */
	__u8 unit_order;
	__u8 padding2[7];
	/* Zero; room for fields of later feature bits. */
	__le64 reserved;
};

struct virtio_hmem_config {
	/* 2 .. VIRTIO_HMEM_MAX_TIERS; tiers[0] is the fastest.  Constant. */
	__le16 num_tiers;
	__u8 padding[6];
	struct virtio_hmem_tier tiers[VIRTIO_HMEM_MAX_TIERS];
};

/*
 * Hint virtqueue.  The driver posts device-writable buffers that hold at
 * least VIRTIO_HMEM_MIN_HINTS hints; the device fills each with one batch.
 */
#define VIRTIO_HMEM_MIN_HINTS		256

/* A request to move a page to a tier. */
struct virtio_hmem_hint {
	__le64 gfn;
	__u8 order;
	__u8 tier;
	__u8 padding[6];
};

struct virtio_hmem_hint_batch {
	/* Identifies the batch in its results; unique among unfinished batches. */
	__le64 id;
	/* 1 .. the number of hints that fit into the buffer */
	__le32 num_hints;
	/* Zero. */
	__le32 flags;
	struct virtio_hmem_hint hints[];
};

/*
 * Result virtqueue.  The driver answers every batch with one or more
 * device-readable result batches that together cover each hinted frame once.
 */

/* virtio_hmem_result.status */
#define VIRTIO_HMEM_S_OK		0	/* the page is in the requested tier */
#define VIRTIO_HMEM_S_NACK		1	/* will not move: do not ask again soon */
#define VIRTIO_HMEM_S_BUSY		2	/* did not move now: try later */
#define VIRTIO_HMEM_S_ERROR		3	/* the hint breaks the rules */

/* virtio_hmem_result.reason.  The status follows from it. */
#define VIRTIO_HMEM_R_MOVED		0	/* OK: moved to new_gfn */
#define VIRTIO_HMEM_R_ALREADY		1	/* OK: was in the tier before */
#define VIRTIO_HMEM_R_FREE		2	/* NACK: the frames hold no page */
#define VIRTIO_HMEM_R_KERNEL		3	/* NACK: memory of the guest's kernel */
#define VIRTIO_HMEM_R_HUGETLB		4	/* NACK: reserved huge page */
#define VIRTIO_HMEM_R_KSM		5	/* NACK: merged, or marked for merging */
#define VIRTIO_HMEM_R_INACCESSIBLE	6	/* NACK: secret, also from the kernel */
#define VIRTIO_HMEM_R_UNSUPPORTED	7	/* NACK: its owner, e.g. fs, cannot move it */
#define VIRTIO_HMEM_R_LARGE		8	/* NACK: part of a page that cannot be split */
#define VIRTIO_HMEM_R_POISON		9	/* NACK: hardware memory error */
#define VIRTIO_HMEM_R_PINNED		10	/* BUSY: in use by a device or system call */
#define VIRTIO_HMEM_R_WRITEBACK		11	/* BUSY: being written to storage */
#define VIRTIO_HMEM_R_LOCKED		12	/* BUSY: the page or its owner is locked */
#define VIRTIO_HMEM_R_UNMAPPED		13	/* BUSY: no owner found, or just lost it */
#define VIRTIO_HMEM_R_OFF_LRU		14	/* BUSY: in transit inside the guest */
#define VIRTIO_HMEM_R_NO_MEMORY		15	/* BUSY: no free page in the tier */
#define VIRTIO_HMEM_R_STOPPED		16	/* BUSY: the driver is stopping */
#define VIRTIO_HMEM_R_BAD_GFN		17	/* ERROR: no online memory there */
#define VIRTIO_HMEM_R_BAD_TIER		18	/* ERROR: no such tier in the guest */
#define VIRTIO_HMEM_R_BAD_ORDER		19	/* ERROR: too large, or gfn not aligned */
/* Only with VIRTIO_HMEM_F_RESTRICTED; else VIRTIO_HMEM_R_UNSUPPORTED. */
#define VIRTIO_HMEM_R_RESTRICTED	20	/* NACK: its owner may not use the tier */
#define VIRTIO_HMEM_R_MAX		21

/* The names of the reasons, by number, as people see them. */
#define VIRTIO_HMEM_REASON_NAMES					\
	"moved", "already", "free", "kernel", "hugetlb", "ksm",		\
	"inaccessible", "unsupported", "large", "poison", "pinned",	\
	"writeback", "locked", "unmapped", "off-lru", "no-memory",	\
	"stopped", "bad-gfn", "bad-tier", "bad-order", "restricted"

struct virtio_hmem_result {
	/* The frame that the hint named. */
	__le64 gfn;
	/* The frame now; equal to gfn unless reason is VIRTIO_HMEM_R_MOVED. */
	__le64 new_gfn;
	/* At most the order of the hint: a page that was split has many results. */
	__u8 order;
	__u8 status;
	__u8 reason;
	__u8 padding[5];
};

/* virtio_hmem_result_batch.flags */
#define VIRTIO_HMEM_RESULT_LAST		(1u << 0)	/* finishes the batch */
/* With VIRTIO_HMEM_F_PAUSE: a virtio_hmem_pauses follows the results. */
#define VIRTIO_HMEM_RESULT_PAUSES	(1u << 1)
/* With VIRTIO_HMEM_F_ACCOUNT: a virtio_hmem_account follows the results and the pauses. */
#define VIRTIO_HMEM_RESULT_ACCOUNT	(1u << 2)

struct virtio_hmem_result_batch {
	/* The id of the hint batch. */
	__le64 id;
	__le32 num_results;
	__le32 flags;
	/*
	 * Pages that the guest's own placement (NUMA balancing, demotion) has moved
	 * between nodes since the driver started; 0 if the guest cannot tell.
	 */
	__le64 foreign_moves;
	struct virtio_hmem_result results[];
};

#define VIRTIO_HMEM_PAUSE_BUCKETS	32

/*
 * Access pauses since some time before the driver set DRIVER_OK.  The access pause of a
 * frame is the time for which the guest's software cannot use the frame because the driver
 * moves it, or tries to.
 */
struct virtio_hmem_pauses {
	/* The sum of the pauses of all frames, ns. */
	__le64 sum_ns;
	/*
	 * pauses[n] counts frames with a pause of at most 2^n ns that is longer than
	 * 2^(n-1) ns if n > 0.  The last element also counts all longer pauses.
	 */
	__le64 pauses[VIRTIO_HMEM_PAUSE_BUCKETS];
};

/* The memory of a tier, in bytes. */
struct virtio_hmem_account_tier {
	/* What the guest's software can use, whether it does so now or not. */
	__le64 total;
	/* What is free. */
	__le64 free;
	/*
	 * The part of it that the guest keeps for itself: when no more is free, software that
	 * needs memory gets memory of another tier, or waits until the guest has made room.
	 */
	__le64 reserve;
};

/*
 * How much memory the guest has when the driver makes the account; and counts since some time
 * before the driver set DRIVER_OK.
 */
struct virtio_hmem_account {
	/* All zero from num_tiers on. */
	struct virtio_hmem_account_tier tiers[VIRTIO_HMEM_MAX_TIERS];
	/* Page table entries that scans have read. */
	__le64 entries;
	/* Entries that scans did not read, because nobody had used their table. */
	__le64 skipped;
	/* Address spaces that scans left out, because they stayed locked. */
	__le64 left_out;
	/* Large pages that the guest has put together from small ones. */
	__le64 collapsed;
};

/*
 * Scan virtqueue.  A frame counts as accessed from the first access by the
 * guest's software after the frame was rearmed, until the frame is rearmed again.
 * The device requests one scan at a time, in one or more device-writable buffers
 * that the driver posts; each has room for at least VIRTIO_HMEM_MIN_SCAN_FRAMES
 * entries.
 */
#define VIRTIO_HMEM_MIN_SCAN_FRAMES	256

/* A selection of 64 frames. */
struct virtio_hmem_frames {
	/* The first of the 64 frames, a multiple of 64. */
	__le64 gfn;
	/* Bit i stands for gfn + i. */
	__le64 mask;
};

/* virtio_hmem_scan.flags; all except LAST are the same in all parts of a request */
#define VIRTIO_HMEM_SCAN_LAST		(1u << 0)	/* no more parts follow */
#define VIRTIO_HMEM_SCAN_REPORT		(1u << 1)	/* report accessed frames */
#define VIRTIO_HMEM_SCAN_REARM_ALL	(1u << 2)	/* rearm all frames */
/*
 * With VIRTIO_HMEM_F_WRITTEN: also report frames written since a request with this flag
 * rearmed them.  Requests without it leave dirty bits alone.
 */
#define VIRTIO_HMEM_SCAN_WRITTEN	(1u << 3)
/* Look at the frames for @ns of struct virtio_hmem_look, within the scan. */
#define VIRTIO_HMEM_SCAN_LOOK		(1u << 4)
/* With VIRTIO_HMEM_F_ACCOUNT, beside LAST only: scan nothing, give an account only. */
#define VIRTIO_HMEM_SCAN_ACCOUNT	(1u << 5)

/* A part of a request. */
struct virtio_hmem_scan {
	/* Identifies the request in its reports; differs from the last request's. */
	__le64 id;
	/* 0 .. the number of entries that fit into the buffer */
	__le32 num_frames;
	__le32 flags;
	/* Frames to rearm.  With VIRTIO_HMEM_F_LOOK, a virtio_hmem_look comes before. */
	struct virtio_hmem_frames frames[];
};

/*
 * With VIRTIO_HMEM_F_LOOK, this is between the header of each part and its
 * entries.  Only that of the first part has a meaning.
 */
struct virtio_hmem_look {
	/*
	 * Length of a look at a frame: guest time in ns since the last scan ended, or as long as
	 * the device wants (VIRTIO_HMEM_SCAN_LOOK).
	 * A look at 2^k frames with one accessed bit lasts 1/2^k of that.  0: all
	 * looks last from scan to scan.
	 */
	__le64 ns;
	/* Zero. */
	__le64 reserved;
};

/*
 * Access virtqueue.  When a scan has ended, the driver answers the request with one
 * or more device-readable reports: first the frames found accessed (before they were
 * rearmed), then, if requested, those found written.  In the reports of each kind,
 * entries are sorted by gfn.
 */

/* virtio_hmem_access.flags */
#define VIRTIO_HMEM_ACCESS_LAST		(1u << 0)	/* finishes the scan */
/* Entries name written frames.  Only if requested; after all other reports. */
#define VIRTIO_HMEM_ACCESS_WRITTEN	(1u << 1)
/*
 * With VIRTIO_HMEM_F_INCOMPLETE, beside LAST: the scan left out some of the guest's
 * memory.  Frames that no report names may have been used all the same.
 */
#define VIRTIO_HMEM_ACCESS_INCOMPLETE	(1u << 2)
/* With VIRTIO_HMEM_F_ACCOUNT, beside LAST: a virtio_hmem_account follows the entries. */
#define VIRTIO_HMEM_ACCESS_ACCOUNT	(1u << 3)

struct virtio_hmem_access {
	/* The id of the request. */
	__le64 id;
	/* 0 only with VIRTIO_HMEM_ACCESS_LAST */
	__le32 num_frames;
	__le32 flags;
	/* Frames.  With VIRTIO_HMEM_F_COST, a virtio_hmem_cost comes before. */
	struct virtio_hmem_frames frames[];
};

/*
 * With VIRTIO_HMEM_F_COST, this is between the header of each report and its
 * entries.  Only that of the report with VIRTIO_HMEM_ACCESS_LAST has a meaning.
 */
struct virtio_hmem_cost {
	/*
	 * Processor time in ns that the scan took.  The time in which the driver waited
	 * for a processor, or for the end of a look, does not count.
	 */
	__le64 ns;
	/*
	 * Accessed bits of page table entries that the scan has cleared, also in looks: the
	 * guest's processors walk the page tables once more for each that they set again.
	 */
	__le64 cleared;
};

/*
 * Resize virtqueue.  The driver sends one message in each buffer: a device-readable
 * virtio_hmem_resize with its runs, then a device-writable virtio_hmem_resized.
 */
#define VIRTIO_HMEM_MAX_RUNS		255	/* a message fits 4096 bytes */
/* Frames in all runs of a message together; or one unit, if that is larger. */
#define VIRTIO_HMEM_MAX_RESIZE_FRAMES	16384

/* virtio_hmem_resize.op */
/* Reports why and free; has no runs, but with VIRTIO_HMEM_F_PAGING a virtio_hmem_paging. */
#define VIRTIO_HMEM_RESIZE_REPORT	0
#define VIRTIO_HMEM_RESIZE_GIVE		1	/* the driver gives up the runs */
#define VIRTIO_HMEM_RESIZE_TAKE		2	/* the driver takes back the runs */

/* virtio_hmem_resize.why: why the tier's size does not get nearer to requested */
#define VIRTIO_HMEM_WHY_NOTHING		0	/* the size does, or has reached it */
#define VIRTIO_HMEM_WHY_NODE_FULL	1	/* the tier has no free unit */
#define VIRTIO_HMEM_WHY_PRESSURE	2	/* the guest was short of memory */
#define VIRTIO_HMEM_WHY_REFUSED		3	/* the device refuses to release memory */
#define VIRTIO_HMEM_WHY_NO_NODE		4	/* the guest has no node for the tier */
#define VIRTIO_HMEM_WHY_UNIT		5	/* the unit is too large for the guest */
#define VIRTIO_HMEM_WHY_MAX		6

/* The names of these reasons for people, by number. */
#define VIRTIO_HMEM_WHY_NAMES						\
	"nothing", "node-full", "pressure", "refused", "no-node", "unit"

/* Consecutive frames: whole units of one tier. */
struct virtio_hmem_run {
	__le64 gfn;
	/* At least 1. */
	__le64 num;
};

struct virtio_hmem_resize {
	/* VIRTIO_HMEM_RESIZE_* */
	__u8 op;
	__u8 tier;
	/* VIRTIO_HMEM_WHY_* */
	__u8 why;
	__u8 padding;
	/* 1 .. VIRTIO_HMEM_MAX_RUNS; 0 with VIRTIO_HMEM_RESIZE_REPORT */
	__le32 num_runs;
	/* Bytes of the tier that are free in the guest, without those of the runs. */
	__le64 free;
	struct virtio_hmem_run runs[];
};

/*
 * Frames that the guest had to read because it had too little memory.  With
 * VIRTIO_HMEM_F_PAGING this follows the virtio_hmem_resize of a report.  All members
 * except swapped count from when the guest started.
 */
struct virtio_hmem_paging {
	/* Frames read from swap. */
	__le64 swapped_in;
	/* Frames of files that were read again soon after the guest had dropped them. */
	__le64 refaulted;
	/* Frames that are in swap now. */
	__le64 swapped;
	/* Frames read from storage, for any purpose. */
	__le64 read;
	/* Time for which processors had nothing to do but wait for storage, ns. */
	__le64 wait_ns;
};

/* virtio_hmem_resized.status */
#define VIRTIO_HMEM_RESIZED_OK		0
/* The tier would be smaller than requested. */
#define VIRTIO_HMEM_RESIZED_UNWANTED	1
/* The device cannot do this run now: try later. */
#define VIRTIO_HMEM_RESIZED_BUSY	2
/* The device cannot release this memory now or later. */
#define VIRTIO_HMEM_RESIZED_REFUSED	3

struct virtio_hmem_resized {
	/* VIRTIO_HMEM_RESIZED_*: the result of the first run that was not done */
	__le32 status;
	/* The number of runs that were done, from the first one on. */
	__le32 num_runs;
};

/* The status of a result with @reason. */
static inline __u8 virtio_hmem_status(__u8 reason)
{
	if (reason <= VIRTIO_HMEM_R_ALREADY)
		return VIRTIO_HMEM_S_OK;
	if (reason <= VIRTIO_HMEM_R_POISON || reason == VIRTIO_HMEM_R_RESTRICTED)
		return VIRTIO_HMEM_S_NACK;
	if (reason <= VIRTIO_HMEM_R_STOPPED)
		return VIRTIO_HMEM_S_BUSY;
	return VIRTIO_HMEM_S_ERROR;
}

/* For a build-time check of each side that its compiler has the same layout. */
#define VIRTIO_HMEM_ASSERT_LAYOUT(assert_size)				\
	assert_size(struct virtio_hmem_tier, 64);			\
	assert_size(struct virtio_hmem_config, 520);			\
	assert_size(struct virtio_hmem_hint, 16);			\
	assert_size(struct virtio_hmem_hint_batch, 16);			\
	assert_size(struct virtio_hmem_result, 24);			\
	assert_size(struct virtio_hmem_result_batch, 24);			\
	assert_size(struct virtio_hmem_pauses, 264);			\
	assert_size(struct virtio_hmem_account_tier, 24);		\
	assert_size(struct virtio_hmem_account, 224);			\
	assert_size(struct virtio_hmem_frames, 16);			\
	assert_size(struct virtio_hmem_scan, 16);			\
	assert_size(struct virtio_hmem_look, 16);			\
	assert_size(struct virtio_hmem_access, 16);			\
	assert_size(struct virtio_hmem_cost, 16);			\
	assert_size(struct virtio_hmem_run, 16);			\
	assert_size(struct virtio_hmem_resize, 16);			\
	assert_size(struct virtio_hmem_paging, 40);			\
	assert_size(struct virtio_hmem_resized, 8)

#endif /* _LINUX_VIRTIO_HMEM_H */
