/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio-hmem: heterogeneous memory device, the wire format.
 *
 * This is the one definition that device, driver and host daemon share; the
 * words are those of "Heterogeneous Memory Device" in description.tex.  All
 * fields are little-endian and naturally aligned, and padding is explicit.
 *
 * A GFN (guest frame number) is a guest physical address divided by 4096,
 * whatever the page size of the guest.  A page of order n is 2^n frames,
 * aligned to its own size.
 */
#ifndef _LINUX_VIRTIO_HMEM_H
#define _LINUX_VIRTIO_HMEM_H

#include <linux/types.h>

/*
 * Provisional: the committee has not assigned an ID.  63 is the last one that
 * virtio-pci can express (PCI device ID 0x1040 + 63 = 0x107f).
 */
#define VIRTIO_ID_HMEM			63

/*
 * Feature bits
 */

/* The driver moves a page of order > 0 whole where the guest has it whole. */
#define VIRTIO_HMEM_F_LARGE		0
/* The driver finds out which frames the guest's software accesses. */
#define VIRTIO_HMEM_F_ACCESS		1
/* Results can have VIRTIO_HMEM_R_RESTRICTED. */
#define VIRTIO_HMEM_F_RESTRICTED	2
/* Scans find written frames, too.  Needs VIRTIO_HMEM_F_ACCESS. */
#define VIRTIO_HMEM_F_WRITTEN		3
/* Reports can say that a scan left something out.  Needs VIRTIO_HMEM_F_ACCESS. */
#define VIRTIO_HMEM_F_INCOMPLETE	4
/* The driver tells how much memory of each tier is online. */
#define VIRTIO_HMEM_F_ONLINE		5
/*
 * Requests say how long a look at a frame lasts, so that the driver can look at
 * large pages for less.  Needs VIRTIO_HMEM_F_ACCESS.
 */
#define VIRTIO_HMEM_F_LOOK		6

/*
 * Virtqueues
 */
#define VIRTIO_HMEM_VQ_HINT		0	/* device to driver */
#define VIRTIO_HMEM_VQ_RESULT		1	/* driver to device */
/* These two exist with VIRTIO_HMEM_F_ACCESS only. */
#define VIRTIO_HMEM_VQ_SCAN		2	/* device to driver */
#define VIRTIO_HMEM_VQ_ACCESS		3	/* driver to device */
#define VIRTIO_HMEM_VQ_MAX		4

/*
 * Configuration layout
 */
#define VIRTIO_HMEM_GFN_SHIFT		12	/* log2 of the bytes in a frame */
#define VIRTIO_HMEM_MAX_ORDER		18	/* 1 GiB */
#define VIRTIO_HMEM_MAX_TIERS		8

/* virtio_hmem_tier.kind; informative, the figures say what matters */
#define VIRTIO_HMEM_KIND_DRAM		0
#define VIRTIO_HMEM_KIND_NVM		1
#define VIRTIO_HMEM_KIND_CXL		2

struct virtio_hmem_tier {
	/* ACPI proximity domain of the NUMA node that this tier is. */
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
	/* Zero; room for what later feature bits add to a tier. */
	__le64 reserved[3];
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

/* Move this page to that tier. */
struct virtio_hmem_hint {
	__le64 gfn;
	__u8 order;
	__u8 tier;
	__u8 padding[6];
};

struct virtio_hmem_hint_batch {
	/* Names the batch in its results; unique among unfinished batches. */
	__le64 id;
	/* 1 .. what fits the buffer */
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
#define VIRTIO_HMEM_S_OK		0	/* the page is in the tier asked for */
#define VIRTIO_HMEM_S_NACK		1	/* will not move: do not ask again soon */
#define VIRTIO_HMEM_S_BUSY		2	/* did not move now: try later */
#define VIRTIO_HMEM_S_ERROR		3	/* the hint breaks the rules */

/* virtio_hmem_result.reason: why it is so.  The status follows from it. */
#define VIRTIO_HMEM_R_MOVED		0	/* OK: moved to new_gfn */
#define VIRTIO_HMEM_R_ALREADY		1	/* OK: was there before */
#define VIRTIO_HMEM_R_FREE		2	/* NACK: holds no page, nothing to move */
#define VIRTIO_HMEM_R_KERNEL		3	/* NACK: the guest kernel's own memory */
#define VIRTIO_HMEM_R_HUGETLB		4	/* NACK: reserved huge page */
#define VIRTIO_HMEM_R_KSM		5	/* NACK: merged, or to be, with equal pages */
#define VIRTIO_HMEM_R_INACCESSIBLE	6	/* NACK: secret from the kernel itself */
#define VIRTIO_HMEM_R_UNSUPPORTED	7	/* NACK: its file system cannot move it */
#define VIRTIO_HMEM_R_LARGE		8	/* NACK: part of a large page, cannot split */
#define VIRTIO_HMEM_R_POISON		9	/* NACK: hardware memory error */
#define VIRTIO_HMEM_R_PINNED		10	/* BUSY: in use by a device or system call */
#define VIRTIO_HMEM_R_WRITEBACK		11	/* BUSY: on its way to storage */
#define VIRTIO_HMEM_R_LOCKED		12	/* BUSY: locked, or its owner is */
#define VIRTIO_HMEM_R_UNMAPPED		13	/* BUSY: no owner found, or just gone */
#define VIRTIO_HMEM_R_OFF_LRU		14	/* BUSY: in transit inside the guest */
#define VIRTIO_HMEM_R_NO_MEMORY		15	/* BUSY: no free page in the tier */
#define VIRTIO_HMEM_R_STOPPED		16	/* BUSY: the driver is stopping */
#define VIRTIO_HMEM_R_BAD_GFN		17	/* ERROR: no online memory there */
#define VIRTIO_HMEM_R_BAD_TIER		18	/* ERROR: no such tier in the guest */
#define VIRTIO_HMEM_R_BAD_ORDER		19	/* ERROR: too large, or gfn not aligned */
/* Only with VIRTIO_HMEM_F_RESTRICTED; else VIRTIO_HMEM_R_UNSUPPORTED. */
#define VIRTIO_HMEM_R_RESTRICTED	20	/* NACK: its owner may not use the tier */
#define VIRTIO_HMEM_R_MAX		21

/* What people see of them, by number. */
#define VIRTIO_HMEM_REASON_NAMES					\
	"moved", "already", "free", "kernel", "hugetlb", "ksm",		\
	"inaccessible", "unsupported", "large", "poison", "pinned",	\
	"writeback", "locked", "unmapped", "off-lru", "no-memory",	\
	"stopped", "bad-gfn", "bad-tier", "bad-order", "restricted"

struct virtio_hmem_result {
	/* Where the page was when hinted. */
	__le64 gfn;
	/* Where it is now; gfn, unless reason is VIRTIO_HMEM_R_MOVED. */
	__le64 new_gfn;
	/* At most the order hinted: a page that was split has many results. */
	__u8 order;
	__u8 status;
	__u8 reason;
	__u8 padding[5];
};

/* virtio_hmem_result_batch.flags */
#define VIRTIO_HMEM_RESULT_LAST		(1u << 0)	/* finishes the batch */

struct virtio_hmem_result_batch {
	/* As in the hint batch. */
	__le64 id;
	__le32 num_results;
	__le32 flags;
	/*
	 * Pages that the guest's own placement (NUMA balancing, demotion) moved
	 * between nodes since the driver started; 0 if it cannot tell.
	 */
	__le64 foreign_moves;
	struct virtio_hmem_result results[];
};

/*
 * Scan virtqueue.  A frame counts as accessed from the first access that the
 * guest's software makes to it after it was rearmed, until it is rearmed again.
 * The device asks for one scan at a time, in one or more device-writable
 * buffers that the driver posts; each has room for at least
 * VIRTIO_HMEM_MIN_SCAN_FRAMES entries.
 */
#define VIRTIO_HMEM_MIN_SCAN_FRAMES	256

/* Some of 64 frames. */
struct virtio_hmem_frames {
	/* The first of them, a multiple of 64. */
	__le64 gfn;
	/* Bit i stands for gfn + i. */
	__le64 mask;
};

/* virtio_hmem_scan.flags; all but LAST are alike in all parts */
#define VIRTIO_HMEM_SCAN_LAST		(1u << 0)	/* no more parts follow */
#define VIRTIO_HMEM_SCAN_REPORT		(1u << 1)	/* tell which were accessed */
#define VIRTIO_HMEM_SCAN_REARM_ALL	(1u << 2)	/* and rearm all frames */
/*
 * With VIRTIO_HMEM_F_WRITTEN: tell as well which were written since they were
 * rearmed.
 */
#define VIRTIO_HMEM_SCAN_WRITTEN	(1u << 3)

/* A part of a request. */
struct virtio_hmem_scan {
	/* Names the request in the reports; not that of the one before. */
	__le64 id;
	/* 0 .. what fits the buffer */
	__le32 num_frames;
	__le32 flags;
	/* What to rearm.  With VIRTIO_HMEM_F_LOOK a virtio_hmem_look comes before. */
	struct virtio_hmem_frames frames[];
};

/*
 * With VIRTIO_HMEM_F_LOOK: stands between the header of each part and its entries.
 * Only that of the first part counts.
 */
struct virtio_hmem_look {
	/*
	 * Guest time in ns that a look at a frame lasts: how long ago the scan
	 * before this one ended.  A look at 2^k frames that have one accessed bit
	 * lasts 1/2^k of that.  0: all looks last from scan to scan.
	 */
	__le64 ns;
	/* Zero. */
	__le64 reserved;
};

/*
 * Access virtqueue.  The driver answers each request, once it is done, with
 * one or more device-readable reports: the frames found accessed, before they
 * were rearmed; then, if asked, those found written.  Entries of all reports of
 * either kind come in the order of their gfn.
 */

/* virtio_hmem_access.flags */
#define VIRTIO_HMEM_ACCESS_LAST		(1u << 0)	/* finishes the scan */
/* Entries name written frames.  Only if asked for; not before other reports. */
#define VIRTIO_HMEM_ACCESS_WRITTEN	(1u << 1)
/*
 * With VIRTIO_HMEM_F_INCOMPLETE, beside LAST: parts of the guest's memory were
 * not looked at.  What no report names may have been used all the same.
 */
#define VIRTIO_HMEM_ACCESS_INCOMPLETE	(1u << 2)

struct virtio_hmem_access {
	/* As in the request. */
	__le64 id;
	/* 0 only with VIRTIO_HMEM_ACCESS_LAST */
	__le32 num_frames;
	__le32 flags;
	struct virtio_hmem_frames frames[];
};

/* A result's status, given its reason. */
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

/* For each side's build-time check that its compiler agrees. */
#define VIRTIO_HMEM_ASSERT_LAYOUT(assert_size)				\
	assert_size(struct virtio_hmem_tier, 64);			\
	assert_size(struct virtio_hmem_config, 520);			\
	assert_size(struct virtio_hmem_hint, 16);			\
	assert_size(struct virtio_hmem_hint_batch, 16);			\
	assert_size(struct virtio_hmem_result, 24);			\
	assert_size(struct virtio_hmem_result_batch, 24);			\
	assert_size(struct virtio_hmem_frames, 16);			\
	assert_size(struct virtio_hmem_scan, 16);			\
	assert_size(struct virtio_hmem_look, 16);			\
	assert_size(struct virtio_hmem_access, 16)

#endif /* _LINUX_VIRTIO_HMEM_H */
