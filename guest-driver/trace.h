/* SPDX-License-Identifier: GPL-2.0-or-later */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM virtio_hmem

#if !defined(HMEM_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define HMEM_TRACE_H

#include <linux/tracepoint.h>

/* All results of a batch have been sent. */
TRACE_EVENT(hmem_batch,
	TP_PROTO(u64 id, unsigned int hints, u64 moved),
	TP_ARGS(id, hints, moved),
	TP_STRUCT__entry(
		__field(u64, id)
		__field(unsigned int, hints)
		__field(u64, moved)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->hints = hints;
		__entry->moved = moved;
	),
	TP_printk("id=%llu hints=%u pages_moved=%llu",
		  __entry->id, __entry->hints, __entry->moved)
);

/* @nr pages, a large folio or a base page, were unmapped for @ns; @moved of them moved. */
TRACE_EVENT(hmem_pause,
	TP_PROTO(unsigned int kind, unsigned long pfn, unsigned int nr,
		 unsigned int moved, u64 ns),
	TP_ARGS(kind, pfn, nr, moved, ns),
	TP_STRUCT__entry(
		__field(unsigned int, kind)
		__field(unsigned long, pfn)
		__field(unsigned int, nr)
		__field(unsigned int, moved)
		__field(u64, ns)
	),
	TP_fast_assign(
		__entry->kind = kind;
		__entry->pfn = pfn;
		__entry->nr = nr;
		__entry->moved = moved;
		__entry->ns = ns;
	),
	TP_printk("kind=%s pfn=0x%lx pages=%u moved=%u ns=%llu",
		  __print_symbolic(__entry->kind,
				   { 0, "anon" }, { 1, "large" }, { 2, "file" }),
		  __entry->pfn, __entry->nr, __entry->moved, __entry->ns)
);

/* A scan has walked all address spaces and sent its report. */
TRACE_EVENT(hmem_scan,
	TP_PROTO(u64 id, unsigned int flags, unsigned int mms, u64 entries, u64 idle,
		 u64 accessed, u64 written, u64 cleared, u64 cleaned, u64 ns),
	TP_ARGS(id, flags, mms, entries, idle, accessed, written, cleared,
		cleaned, ns),
	TP_STRUCT__entry(
		__field(u64, id)
		__field(unsigned int, flags)
		__field(unsigned int, mms)
		__field(u64, entries)
		__field(u64, idle)
		__field(u64, accessed)
		__field(u64, written)
		__field(u64, cleared)
		__field(u64, cleaned)
		__field(u64, ns)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->flags = flags;
		__entry->mms = mms;
		__entry->entries = entries;
		__entry->idle = idle;
		__entry->accessed = accessed;
		__entry->written = written;
		__entry->cleared = cleared;
		__entry->cleaned = cleaned;
		__entry->ns = ns;
	),
	TP_printk("id=%llu flags=%s mms=%u entries=%llu idle=%llu accessed=%llu written=%llu cleared=%llu cleaned=%llu ns=%llu",
		  __entry->id,
		  __print_flags(__entry->flags, "|", { 1, "last" },
				{ 2, "report" }, { 4, "rearm-all" },
				{ 8, "written" }, { 16, "look" }),
		  __entry->mms, __entry->entries, __entry->idle,
		  __entry->accessed, __entry->written, __entry->cleared,
		  __entry->cleaned, __entry->ns)
);

/* A look at a group of huge pages has ended. */
TRACE_EVENT(hmem_look,
	TP_PROTO(unsigned int entries, unsigned int used, u64 requested_ns, u64 ns),
	TP_ARGS(entries, used, requested_ns, ns),
	TP_STRUCT__entry(
		__field(unsigned int, entries)
		__field(unsigned int, used)
		__field(u64, requested_ns)
		__field(u64, ns)
	),
	TP_fast_assign(
		__entry->entries = entries;
		__entry->used = used;
		__entry->requested_ns = requested_ns;
		__entry->ns = ns;
	),
	TP_printk("entries=%u used=%u requested_ns=%llu ns=%llu",
		  __entry->entries, __entry->used, __entry->requested_ns,
		  __entry->ns)
);

#endif /* HMEM_TRACE_H */

#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
