/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table at the end of this file has all metrics.  Names have base units (seconds, bytes), and
 * counters end in _total, as Prometheus expects.
 */
#include <math.h>
#include <stdio.h>

#include "accounts.h"
#include "batches.h"
#include "capacity.h"
#include "doorman.h"
#include "explain.h"
#include "log.h"
#include "metrics.h"
#include "numbers.h"
#include "pauses.h"
#include "tracking.h"
#include "vm.h"
#include "vm_json.h"

#define PAGE		((double)(1u << VIRTIO_HMEM_GFN_SHIFT))

/* --- hmemd --- */

static double vms(const struct hmemd *d)
{
	return d->num_vms - doorman_strangers(d);
}

static double strangers(const struct hmemd *d)
{
	return doorman_strangers(d);
}

static double max_vms(const struct hmemd *d)
{
	return d->config.max_vms;
}

static double clients(const struct hmemd *d)
{
	return d->num_clients;
}

static double max_clients(const struct hmemd *d)
{
	(void)d;
	return HMEM_MAX_CLIENTS;
}

static double uptime(const struct hmemd *d)
{
	return (loop_now() - d->started) / 1000.0;
}

static double cpu(const struct hmemd *d)
{
	(void)d;
	return work_cpu_ns() / 1e9;
}

static double dropped(const struct hmemd *d)
{
	return d->dropped;
}

static double vms_turned_away(const struct hmemd *d)
{
	return d->turned_away.vms;
}

static double clients_turned_away(const struct hmemd *d)
{
	return d->turned_away.clients;
}

static double lines_lost(const struct hmemd *d)
{
	(void)d;
	return log_lost();
}

static double config_is_right(const struct hmemd *d)
{
	return !d->settings.failed;
}

static double scrapes(const struct hmemd *d)
{
	return d->http.requests;
}

static double slices(const struct hmemd *d)
{
	return http_slices(&d->http);
}

static double scrapes_turned_away(const struct hmemd *d)
{
	return d->http.turned_away;
}

static double tables(const struct hmemd *d)
{
	const struct vm *vm;
	double bytes = 0;

	TAILQ_FOREACH(vm, &d->vms, link)
		bytes += vm_ready(vm) ? hmem_pages_bytes(&vm->placer.pages) : 0;
	return bytes;
}

static double max_tables(const struct hmemd *d)
{
	return d->config.max_tables;
}

static double pool_bytes(const struct hmemd *d)
{
	return hmem_pool_sum(d->pooling.pool.config.capacity) * PAGE;
}

static double pool_reserve(const struct hmemd *d)
{
	return hmem_pool_sum(d->pooling.pool.config.reserve) * PAGE;
}

static double pool_acts(const struct hmemd *d)
{
	return d->config.pool != 0;
}

static double pool_decisions(const struct hmemd *d)
{
	return d->pooling.decisions;
}

static double pool_price(const struct hmemd *d)
{
	return hmem_pool_price(&d->pooling.pool) / 1e9 / PAGE;
}

static double node_capacity(const struct hmemd *d, unsigned int node)
{
	return d->config.capacity[node] ? (double)d->config.capacity[node] : NAN;
}

static double node_promised(const struct hmemd *d, unsigned int node)
{
	return d->config.capacity[node] ? (double)capacity_promised(d, node) : NAN;
}

/* --- the state of a VM --- */

static double connected(const struct vm *vm)
{
	return (loop_now() - vm->connected) / 1000.0;
}

static double driver(const struct vm *vm)
{
	return (vm->state.flags & (HMEM_LINK_DRIVER_OK | HMEM_LINK_BROKEN)) ==
		HMEM_LINK_DRIVER_OK;
}

static double broken(const struct vm *vm)
{
	return !!(vm->state.flags & HMEM_LINK_BROKEN);
}

static double running(const struct vm *vm)
{
	return !!(vm->state.flags & HMEM_LINK_VM_RUNNING);
}

static double migrating(const struct vm *vm)
{
	return !!(vm->state.flags & HMEM_LINK_MIGRATING);
}

static double order_in_doubt(const struct vm *vm)
{
	return vm_order_doubt(vm) != NULL;
}

/* --- batches --- */

static double batches(const struct vm *vm)
{
	return vm->stats.batches;
}

static double batches_done(const struct vm *vm)
{
	return vm->stats.batches_done;
}

static double batches_lost(const struct vm *vm)
{
	return vm->stats.batches_lost;
}

static double batches_rejected(const struct vm *vm, unsigned int i)
{
	return vm->stats.rejects[i + 1];
}

static double under_way(const struct vm *vm)
{
	return vm->num_under_way;
}

static double max_under_way(const struct vm *vm)
{
	return vm->num_batches;
}

static double oldest(const struct vm *vm)
{
	return batches_oldest_ms(vm) / 1000.0;
}

static double late(const struct vm *vm)
{
	return batches_are_late(vm);
}

static double jobs(const struct vm *vm)
{
	return vm->num_jobs;
}

/* --- pages --- */

static double hints(const struct vm *vm)
{
	return vm->stats.hints;
}

static double pages(const struct vm *vm, unsigned int reason)
{
	return vm->stats.reasons[reason];
}

static double unanswered(const struct vm *vm)
{
	return vm->stats.unanswered;
}

static double promoted(const struct vm *vm)
{
	return vm->stats.promoted;
}

static double demoted(const struct vm *vm)
{
	return vm->stats.demoted;
}

static double ping_pong(const struct vm *vm)
{
	return vm->stats.ping_pong;
}

static double foreign(const struct vm *vm)
{
	return vm->foreign_moves - vm->foreign_base;
}

/* Bounds from 1 us to 1 s: no page moves in less, and few take longer. */
#define FIRST_PAUSE	10u
#define LAST_PAUSE	30u

static bool pauses(const struct vm *vm, struct metric_histogram *h)
{
	const struct hmem_link_pauses *p = &vm->pauses;

	_Static_assert(LAST_PAUSE - FIRST_PAUSE < METRIC_MAX_BUCKETS &&
		       LAST_PAUSE < HMEM_LINK_PAUSE_BUCKETS - 1, "each bound fits into both");
	if (!vm->have_pauses)
		return false;
	h->num = LAST_PAUSE - FIRST_PAUSE + 1;
	for (unsigned int i = 0; i < h->num; i++) {
		h->buckets[i].bound = hmem_pause_bound(FIRST_PAUSE + i) / 1e9;
		h->buckets[i].count = hmem_pauses_up_to(p, FIRST_PAUSE + i);
	}
	h->count = hmem_pauses_all(p);
	h->sum = p->sum_ns / 1e9;
	return true;
}

/* --- windows, and what tracking costs --- */

static double windows(const struct vm *vm)
{
	return vm->stats.ticks;
}

static double incomplete(const struct vm *vm)
{
	return vm->stats.incomplete;
}

static double plans(const struct vm *vm)
{
	return vm->stats.plans;
}

static double window_time(const struct vm *vm)
{
	return vm->stats.window_ns / 1e9;
}

static double busy_time(const struct vm *vm)
{
	return vm->track.flags & HMEM_LINK_TRACK_BUSY ? vm->stats.busy_ns / 1e9 : NAN;
}

static double scan_time(const struct vm *vm)
{
	return vm->stats.scan_ns / 1e9;
}

/* A count of the guest's driver, if it tells. */
static double counted(const struct vm *vm, uint64_t count)
{
	return vm->had_account ? (double)count : NAN;
}

static double scan_entries(const struct vm *vm)
{
	return counted(vm, vm->stats.scan_entries);
}

static double scan_skipped(const struct vm *vm)
{
	return counted(vm, vm->stats.scan_skipped);
}

static double scan_left_out(const struct vm *vm)
{
	return counted(vm, vm->stats.scan_left_out);
}

static double collapsed(const struct vm *vm)
{
	return counted(vm, vm->stats.collapsed);
}

static double scan_is_late(const struct vm *vm)
{
	return !!(vm->state.flags & HMEM_LINK_SCAN_LATE);
}

static double window(const struct vm *vm)
{
	return vm->track.window_ns ? vm->track.window_ns / 1e9 : NAN;
}

static double policy_window(const struct vm *vm)
{
	return vm_asked_window_ms(vm) / 1e3;
}

static double least_window(const struct vm *vm)
{
	return vm->hello.min_window_ns / 1e9;
}

static double accessed(const struct vm *vm)
{
	return vm->stats.accessed;
}

static double written(const struct vm *vm)
{
	return vm->stats.dirty;
}

static double rearmed(const struct vm *vm)
{
	return vm->stats.rearmed;
}

static double log_faults(const struct vm *vm)
{
	return vm->placer.sampler.faults - vm->stats.log_faults;
}

static double window_cpu(const struct vm *vm)
{
	return vm->stats.daemon_ns / 1e9;
}

static double table(const struct vm *vm)
{
	return hmem_pages_bytes(&vm->placer.pages);
}

/* --- tiers --- */

static double size(const struct vm *vm, unsigned int tier)
{
	return vm->hello.tiers[tier].unit ? (double)vm->sizes.tiers[tier].actual :
		vm->placer.pages.frames[tier] * PAGE;
}

static double requested(const struct vm *vm, unsigned int tier)
{
	return vm->hello.tiers[tier].unit ? (double)vm->sizes.tiers[tier].requested : NAN;
}

static double start_size(const struct vm *vm, unsigned int tier)
{
	return vm->hello.tiers[tier].size;
}

static double guest_free(const struct vm *vm, unsigned int tier)
{
	uint64_t bytes;

	return accounts_free(vm, tier, &bytes) ? (double)bytes : NAN;
}

static double kept_free(const struct vm *vm, unsigned int tier)
{
	return vm->have_account ? (double)vm->account.tiers[tier].reserve : NAN;
}

static double usable(const struct vm *vm, unsigned int tier)
{
	return vm->have_account ? (double)vm->account.tiers[tier].total : NAN;
}

/* Pages of the tier in the buckets of heat from @first to before @last. */
static double by_heat(const struct vm *vm, unsigned int tier, unsigned int first,
		      unsigned int last)
{
	uint64_t sum = 0;

	if (!vm->placer.pages.windows)
		return NAN;
	for (unsigned int b = first; b < last; b++)
		sum += vm->placer.pages.hist[tier][b];
	return sum * PAGE;
}

static double used(const struct vm *vm, unsigned int tier)
{
	return by_heat(vm, tier, 1, HMEM_BUCKETS);
}

static double hot(const struct vm *vm, unsigned int tier)
{
	return by_heat(vm, tier, VM_HOT_BUCKET, HMEM_BUCKETS);
}

static double accesses(const struct hmem_explanation *e, unsigned int tier)
{
	return e->known ? e->tiers[tier].accesses : NAN;
}

static double stall(const struct hmem_explanation *e, unsigned int tier)
{
	return e->known && tier ? e->tiers[tier].accesses * e->access_ns / 1e9 : NAN;
}

static double latency(const struct vm *vm, unsigned int tier)
{
	uint32_t ns = vm->hello.tiers[tier].read_latency;

	return ns ? ns / 1e9 : NAN;
}

/* --- the VM in the pool --- */

static double in_pool(const struct vm *vm)
{
	return vm->pooled.is_member;
}

/* A number of pages of a VM in the pool, in bytes. */
static double pool_pages(const struct vm *vm, uint64_t pages_of_member)
{
	return vm->pooled.is_member ? pages_of_member * PAGE : NAN;
}

static double share(const struct vm *vm)
{
	return pool_pages(vm, vm->pooled.member.share);
}

static double guarantee(const struct vm *vm)
{
	return pool_pages(vm, vm->pooled.member.guarantee);
}

static double ideal(const struct vm *vm)
{
	return pool_pages(vm, vm->pooled.member.ideal);
}

static double pool_asks(const struct vm *vm)
{
	return pool_pages(vm, hmem_pool_sum(vm->pooled.member.requested));
}

static double weight(const struct vm *vm)
{
	return vm->pooled.member.weight;
}

static double credit(const struct vm *vm)
{
	return vm->pooled.is_member ? vm->pooled.member.credit * PAGE : NAN;
}

static double pool_state(const struct vm *vm, unsigned int why)
{
	return vm->pooled.is_member ? vm->pooled.member.why == why : NAN;
}

/* --- trades, and what the guest reads again for lack of memory --- */

static double trades(const struct hmemd *d)
{
	return d->trading.ledger.last;
}

static double trade_state(const struct vm *vm, unsigned int why)
{
	return vm->traded.why == why;
}

/* A count of the guest's driver, if the driver reports what the guest reads again. */
static double paging(const struct vm *vm, double count)
{
	return vm->state.features >> VIRTIO_HMEM_F_PAGING & 1 ? count : NAN;
}

static double swapped_in(const struct vm *vm)
{
	return paging(vm, vm->sizes.paging.swapped_in);
}

static double refaulted(const struct vm *vm)
{
	return paging(vm, vm->sizes.paging.refaulted);
}

static double paging_wait(const struct vm *vm)
{
	return paging(vm, vm->sizes.paging.wait_ns / 1e9);
}

/* --- labels --- */

static void hmemd_info(struct metric_label labels[METRIC_MAX_LABELS])
{
	labels[0] = (struct metric_label) { "version", HMEMD_VERSION };
}

static void vm_info(const struct vm *vm, struct metric_label labels[METRIC_MAX_LABELS])
{
	const char *tracker = tracking_name(vm);

	labels[0].name = "uuid";
	if (vm_has_uuid(vm))
		hmem_format_uuid(vm->hello.uuid, labels[0].value);
	labels[1].name = "device";
	snprintf(labels[1].value, sizeof(labels[1].value), "%s", vm->hello.device);
	labels[2].name = "policy";
	snprintf(labels[2].value, sizeof(labels[2].value), "%s",
		 hmem_policy_name(vm->placer.policy.kind));
	labels[3].name = "tracker";
	snprintf(labels[3].value, sizeof(labels[3].value), "%s", tracker ? tracker : "");
}

/* --- the table --- */

static const char *tier_name(unsigned int i)
{
	static const char *const names[] = { "0", "1", "2", "3", "4", "5", "6", "7" };

	_Static_assert(sizeof(names) / sizeof(names[0]) == HMEM_LINK_MAX_TIERS,
		       "each tier has a name");
	return names[i];
}

/* The text is overwritten by the next call. */
static const char *node_name(unsigned int i)
{
	static char name[8];

	snprintf(name, sizeof(name), "%u", i);
	return name;
}

static const char *reject_name(unsigned int i)
{
	return hmem_reject_name(i + 1);
}

static const char *pool_state_name(unsigned int i)
{
	return hmem_pool_why_word(i);
}

static const char *trade_state_name(unsigned int i)
{
	return trading_why_word(i);
}

const struct metric_by metric_by_tier = { "tier", tier_name, 0 };
static const struct metric_by by_reason = { "reason", hmem_reason_name, VIRTIO_HMEM_R_MAX };
static const struct metric_by by_reject = { "reason", reject_name, HMEM_LINK_REJECT_INVALID };
static const struct metric_by by_node = { "node", node_name, HMEM_CONFIG_NODES };
static const struct metric_by by_pool_state = { "state", pool_state_name, HMEM_POOL_WHYS };
static const struct metric_by by_trade_state = { "state", trade_state_name, TRADING_WHYS };

const struct metric metrics[] = {
	{ "hmem_daemon_info", "The version of hmemd.", .info = hmemd_info },
	{ "hmem_daemon_uptime_seconds", "Time since hmemd was started.", .all = uptime },
	{ "hmem_daemon_cpu_seconds_total", "Processor time that hmemd has used.", true,
	  .all = cpu },
	{ "hmem_daemon_vms", "VMs that are connected.", .all = vms },
	{ "hmem_daemon_vms_limit", "The largest number of connected VMs.", .all = max_vms },
	{ "hmem_daemon_strangers",
	  "Connections that have not introduced themselves as a VM yet.", .all = strangers },
	{ "hmem_daemon_vms_dropped_total",
	  "VMs that were disconnected because they broke the rules of the link.", true,
	  .all = dropped },
	{ "hmem_daemon_vms_turned_away_total", "VMs that could not connect.", true,
	  .all = vms_turned_away },
	{ "hmem_daemon_clients", "Clients of the control socket.", .all = clients },
	{ "hmem_daemon_clients_limit", "The largest number of clients.", .all = max_clients },
	{ "hmem_daemon_clients_turned_away_total", "Clients that could not connect.", true,
	  .all = clients_turned_away },
	{ "hmem_daemon_log_lines_lost_total", "Lines of the log that nobody read.", true,
	  .all = lines_lost },
	{ "hmem_daemon_config_ok",
	  "1: the configuration was read without an error; 0: an earlier one is in force.",
	  .all = config_is_right },
	{ "hmem_daemon_tables_bytes", "Memory of all page tables when all pages were used.",
	  .all = tables },
	{ "hmem_daemon_tables_limit_bytes", "The most memory that page tables may have.",
	  .all = max_tables },
	{ "hmem_daemon_http_requests_total", "Requests at the metrics sockets.", true,
	  .all = scrapes },
	{ "hmem_daemon_http_slices_total",
	  "Turns of hmemd's loop in which answers were made, one for each VM.", true,
	  .all = slices },
	{ "hmem_daemon_http_turned_away_total",
	  "Clients of the metrics sockets that had to go because there were too many.", true,
	  .all = scrapes_turned_away },

	{ "hmem_vm_info", "The VM, its policy and its tracker.", .vm_info = vm_info },
	{ "hmem_vm_connected_seconds", "Time since the VM has connected.", .vm = connected },
	{ "hmem_vm_driver_up", "1: the guest's driver is at work.", .vm = driver },
	{ "hmem_vm_broken", "1: the guest's driver broke the rules, until the guest is reset.",
	  .vm = broken },
	{ "hmem_vm_running", "1: the guest runs.", .vm = running },
	{ "hmem_vm_migrating", "1: a live migration is under way.", .vm = migrating },
	{ "hmem_vm_tier_order_doubtful", "1: QEMU could not tell for sure which tier is faster.",
	  .vm = order_in_doubt },
	{ "hmem_vm_table_bytes", "Memory of the VM's page table when all pages were used.",
	  .vm = table },
	{ "hmem_vm_cpu_seconds_total", "hmemd's processor time for the VM's windows.", true,
	  .vm = window_cpu },

	{ "hmem_tier_size_bytes", "Memory of the tier that the guest has.", .vm_by = size,
	  .by = &metric_by_tier },
	{ "hmem_tier_requested_bytes",
	  "Memory of the tier that the guest is to have, if its size can change.",
	  .vm_by = requested, .by = &metric_by_tier },
	{ "hmem_tier_start_bytes", "Memory of the tier when the VM was started.",
	  .vm_by = start_size, .by = &metric_by_tier },
	{ "hmem_tier_free_bytes", "Memory of the tier that is free in the guest, if known.",
	  .vm_by = guest_free, .by = &metric_by_tier },
	{ "hmem_tier_reserve_bytes",
	  "The part of the free memory that the guest keeps for itself, if known.",
	  .vm_by = kept_free, .by = &metric_by_tier },
	{ "hmem_tier_usable_bytes",
	  "Memory of the tier that the guest's programs can use, free or not, if known.",
	  .vm_by = usable, .by = &metric_by_tier },
	{ "hmem_tier_used_bytes", "Memory of the tier that was found used lately.",
	  .vm_by = used, .by = &metric_by_tier },
	{ "hmem_tier_hot_bytes", "Memory of the tier with at least half of the full heat.",
	  .vm_by = hot, .by = &metric_by_tier },
	{ "hmem_tier_accesses_per_second",
	  "Estimated accesses to the tier's pages; known with the policy auto.",
	  .rates = accesses },
	{ "hmem_tier_stall_ratio",
	  "Estimated seconds per second that the guest waits longer for the tier's pages than "
	  "if they were in tier 0; known with the policy auto.",
	  .rates = stall },
	{ "hmem_tier_read_latency_seconds", "Latency of the tier, if QEMU knows it.",
	  .vm_by = latency, .by = &metric_by_tier },

	{ "hmem_hints_total", "Hints that were sent to the guest.", true, .vm = hints },
	{ "hmem_pages_total", "Answered pages of hints, by result.", true, .vm_by = pages,
	  .by = &by_reason },
	{ "hmem_unanswered_pages_total", "Pages of hints that the guest has never answered.",
	  true, .vm = unanswered },
	{ "hmem_promotions_total", "Pages that were moved to a faster tier.", true,
	  .vm = promoted },
	{ "hmem_demotions_total", "Pages that were moved to a slower tier.", true,
	  .vm = demoted },
	{ "hmem_ping_pong_pages_total",
	  "Moves of pages back to where they were before, within the policy's horizon.", true,
	  .vm = ping_pong },
	{ "hmem_foreign_moves_total",
	  "Pages that the guest moved on its own, for example by NUMA balancing.", true,
	  .vm = foreign },
	{ "hmem_pause_seconds",
	  "For how long the guest's programs could not use a page that moved, if known.",
	  .histogram = pauses },
	{ "hmem_jobs", "Jobs that move pages, by hand or to make room in a tier.", .vm = jobs },

	{ "hmem_batches_total", "Batches of hints that were sent.", true, .vm = batches },
	{ "hmem_batches_done_total", "Batches that the guest has answered.", true,
	  .vm = batches_done },
	{ "hmem_batches_lost_total", "Batches that ended with the driver or the connection.",
	  true, .vm = batches_lost },
	{ "hmem_batches_rejected_total", "Batches that the device rejected, by reason.", true,
	  .vm_by = batches_rejected, .by = &by_reject },
	{ "hmem_batches_under_way", "Batches that the guest has not answered yet.",
	  .vm = under_way },
	{ "hmem_batches_under_way_limit", "The largest number of such batches.",
	  .vm = max_under_way },
	{ "hmem_batches_oldest_age_seconds", "Age of the oldest batch under way; 0: none is.",
	  .vm = oldest },
	{ "hmem_batches_late", "1: a running guest has answered nothing for ten seconds.",
	  .vm = late },

	{ "hmem_windows_total", "Windows that have ended.", true, .vm = windows },
	{ "hmem_windows_incomplete_total", "Windows in which used pages may have been missed.",
	  true, .vm = incomplete },
	{ "hmem_windows_seconds_total", "Guest time of all windows.", true, .vm = window_time },
	{ "hmem_processors_seconds_total",
	  "Time that the guest's processors ran in the windows, if QEMU can tell.", true,
	  .vm = busy_time },
	{ "hmem_scans_seconds_total", "Processor time of the guest for the tracker's scans.", true,
	  .vm = scan_time },
	{ "hmem_scan_entries_total",
	  "Page table entries that the guest's scans have read, if known.", true,
	  .vm = scan_entries },
	{ "hmem_scan_skipped_entries_total",
	  "Page table entries that the scans did not read, because nobody had used their table; "
	  "if known.", true, .vm = scan_skipped },
	{ "hmem_scan_left_out_total",
	  "Address spaces that the scans left out, because they stayed locked; if known.", true,
	  .vm = scan_left_out },
	{ "hmem_huge_pages_collapsed_total",
	  "Huge pages that the guest has put together from base pages, if known.", true,
	  .vm = collapsed },
	{ "hmem_scan_late", "1: a scan takes the guest's driver longer than a window.",
	  .vm = scan_is_late },
	{ "hmem_window_seconds", "Length of the current window, if something is tracked.",
	  .vm = window },
	{ "hmem_window_policy_seconds", "Length of a window that the policy asks for.",
	  .vm = policy_window },
	{ "hmem_window_least_seconds", "The shortest window that the device allows.",
	  .vm = least_window },
	{ "hmem_plans_total", "Windows that led to moves.", true, .vm = plans },
	{ "hmem_accessed_pages_total", "Pages found accessed, in all windows.", true,
	  .vm = accessed },
	{ "hmem_written_pages_total", "Pages found written, in all windows.", true,
	  .vm = written },
	{ "hmem_rearmed_pages_total", "Accessed bits that were cleared.", true,
	  .vm = rearmed },
	{ "hmem_log_faults_total", "Faults that the dirty log has cost.", true,
	  .vm = log_faults },

	{ "hmem_node_capacity_bytes", "Memory of a node of the host, if configured.",
	  .all_by = node_capacity, .by = &by_node },
	{ "hmem_node_promised_bytes", "Memory of the node that VMs have or may take.",
	  .all_by = node_promised, .by = &by_node },
	{ "hmem_pool_bytes", "DRAM of all VMs in the pool.", .all = pool_bytes },
	{ "hmem_pool_reserve_bytes", "DRAM of these that is not lent.", .all = pool_reserve },
	{ "hmem_pool_active", "1: hmemd resizes VMs; 0: a pool is not configured.",
	  .all = pool_acts },
	{ "hmem_pool_decisions_total", "How often the pool has decided on the VMs' sizes.", true,
	  .all = pool_decisions },
	{ "hmem_pool_price_stall_ratio_per_byte",
	  "What one more byte of DRAM is worth: weighted seconds per second.",
	  .all = pool_price },
	{ "hmem_pool_member", "1: the VM is in the pool.", .vm = in_pool },
	{ "hmem_pool_state", "1: the reason for the VM's size in the pool.",
	  .vm_by = pool_state, .by = &by_pool_state },
	{ "hmem_pool_weight", "What the VM's time is worth, compared to other VMs.",
	  .vm = weight },
	{ "hmem_pool_share_bytes", "DRAM that is the VM's by guarantee and weight.",
	  .vm = share },
	{ "hmem_pool_guarantee_bytes", "DRAM that the VM always keeps.", .vm = guarantee },
	{ "hmem_pool_requested_bytes", "DRAM that the pool has the VM have now.",
	  .vm = pool_asks },
	{ "hmem_pool_ideal_bytes", "DRAM that the VM would have if moves cost nothing.",
	  .vm = ideal },
	{ "hmem_pool_credit_byte_seconds",
	  "DRAM that the VM has lent, less what it has borrowed, times the time.",
	  .vm = credit },

	{ "hmem_trades_total", "Trades of DRAM for NVM that were begun.", true, .all = trades },
	{ "hmem_trade_state", "1: what the VM's trader does, or why it does nothing.",
	  .vm_by = trade_state, .by = &by_trade_state },
	{ "hmem_swapped_in_pages_total", "Pages that the guest read from its swap, if known.",
	  true, .vm = swapped_in },
	{ "hmem_refaulted_pages_total",
	  "Pages of files that the guest read again for lack of memory, if known.", true,
	  .vm = refaulted },
	{ "hmem_paging_wait_seconds_total",
	  "Time for which processors of the guest only waited for storage, if known.", true,
	  .vm = paging_wait },
};

const size_t num_metrics = sizeof(metrics) / sizeof(metrics[0]);
