/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: windows of guest time, and the maps that are shared with hmemd.
 *
 * With LOCKSTEP, the timer's callback returns only when hmemd has answered.
 * With -icount, the callback runs on the vCPUs' thread, so the vCPUs execute
 * nothing meanwhile: hmemd's decision takes no guest time, however long it
 * takes.
 *
 * A scan by the guest's driver does take guest time, and may never end.  A pass
 * over the dirty log runs in slices.  What follows the end of either happens in
 * the timer.
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/memfd.h"
#include "qapi/error.h"
#include "system/qtest.h"
#include "hw/virtio/virtio-hmem-compat.h"
#include "hw/virtio/virtio-hmem-track.h"
#include "trace.h"

static void hmem_guest_scan(HmemTrack *track, HmemScan scan)
{
    track->ops->scan(track->opaque, scan);
}

static void hmem_dirty_scan(HmemTrack *track, HmemScan scan)
{
    if (scan == HMEM_SCAN_NONE) {
        hmem_log_off(track->log);
    } else {
        hmem_log_pass(track->log, track->flags & HMEM_LINK_TRACK_LOCKSTEP);
    }
}

static void hmem_dirty_rest(HmemTrack *track)
{
    hmem_log_off(track->log);
}

static void hmem_dirty_done(void *opaque, uint64_t dirty)
{
    const HmemScanned found = { .dirty = dirty };

    hmem_track_scanned(opaque, &found);
}

/*
 * Confidential guests can have memory that only the guest can read
 * (guest_memfd).  For such memory, Linux has no dirty logging, and QEMU has no
 * mapping.
 */
static bool hmem_track_sees_memory(void)
{
    return !machine_require_guest_memfd(current_machine);
}

static bool hmem_track_offers_dirty(const HmemTrack *track)
{
    return track->offer_dirty && hmem_track_sees_memory();
}

static bool hmem_track_offers_gpt(const HmemTrack *track)
{
    return track->can_scan;
}

static bool hmem_track_offers_host(const HmemTrack *track)
{
    return track->offer_host && hmem_track_sees_memory();
}

static const HmemTracker hmem_tracker_dirty = {
    .id = HMEM_LINK_TRACKER_DIRTY,
    .shown = VIRTIO_HMEM_TRACKER_DIRTY,
    .available = hmem_track_offers_dirty,
    .needs_driver = true,
    .scan = hmem_dirty_scan,
    .rest = hmem_dirty_rest,
};

static const HmemTracker hmem_tracker_gpt = {
    .id = HMEM_LINK_TRACKER_GPT,
    .shown = VIRTIO_HMEM_TRACKER_GPT,
    .available = hmem_track_offers_gpt,
    .needs_driver = true,
    .guest = true,
    .scan = hmem_guest_scan,
};

/* hmemd finds the used pages itself. */
static const HmemTracker hmem_tracker_host = {
    .id = HMEM_LINK_TRACKER_HOST,
    .shown = VIRTIO_HMEM_TRACKER_HOST,
    .available = hmem_track_offers_host,
};

static const HmemTracker *const hmem_trackers[] = {
    &hmem_tracker_dirty,
    &hmem_tracker_gpt,
    &hmem_tracker_host,
    &hmem_tracker_sim,
};

uint32_t hmem_track_trackers(const HmemTrack *track)
{
    uint32_t ids = 0;
    int i;

    for (i = 0; i < ARRAY_SIZE(hmem_trackers); i++) {
        if (hmem_trackers[i]->available(track)) {
            ids |= hmem_trackers[i]->id;
        }
    }
    return ids;
}

static const HmemTracker *hmem_track_find_tracker(const HmemTrack *track,
                                                  uint32_t id)
{
    int i;

    for (i = 0; i < ARRAY_SIZE(hmem_trackers); i++) {
        if (hmem_trackers[i]->id == id &&
            hmem_trackers[i]->available(track)) {
            return hmem_trackers[i];
        }
    }
    return NULL;
}

/* Guest time can stand still for hmemd only if it counts instructions. */
uint32_t hmem_track_flags(void)
{
    return HMEM_LINK_TRACK_REST | HMEM_LINK_TRACK_ACCESSED |
        HMEM_LINK_TRACK_LONG | HMEM_LINK_TRACK_CLEARED |
        HMEM_LINK_TRACK_WITHIN | HMEM_LINK_TRACK_ACCOUNT |
        (hmem_busy_available() ? HMEM_LINK_TRACK_BUSY : 0) |
        (icount_enabled() || qtest_enabled() ? HMEM_LINK_TRACK_LOCKSTEP : 0);
}

/*
 * Set the end of a window that has begun, or whose length has changed.  Looks
 * within its scan can be shorter than a window may be.
 */
static void hmem_track_arm(HmemTrack *track)
{
    uint64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    uint64_t ns = MAX(track->window_ns, hmem_track_min_window(track));

    if (track->flags & HMEM_LINK_TRACK_LOCKSTEP && !track->set_in_tick) {
        /* Windows end at multiples of their length, whenever TRACK arrived. */
        track->due_ns = (now / ns + 1) * ns;
    } else {
        track->due_ns = track->tick_ns + ns;
    }
    timer_mod(track->timer, track->due_ns);
}

/* Run the timer's callback as soon as possible. */
static void hmem_track_kick(HmemTrack *track)
{
    timer_mod(track->timer, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL));
}

static void hmem_track_set_late(HmemTrack *track, bool late)
{
    if (track->late != late) {
        track->late = late;
        track->num_late += late;
        track->ops->late(track->opaque);
    }
}

/*
 * A scan with looks in it reads all page tables twice, at 75 ns per page, and
 * waits twice as long: this is the time for 256 GiB of base pages.
 */
#define HMEM_LOOKS_NS (30 * (uint64_t)NANOSECONDS_PER_SECOND)

/*
 * Begin a scan.  The timer runs when it has ended, or when the driver takes
 * long.
 */
static void hmem_track_scan(HmemTrack *track, HmemScan scan)
{
    track->state = scan == HMEM_SCAN_CLEAR ? HMEM_TRACK_CLEARING :
        HMEM_TRACK_COLLECTING;
    track->scan_begin_ns = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    timer_del(track->timer);
    if (track->tracker->guest) {
        timer_mod(track->timer, track->scan_begin_ns +
                  MAX(track->window_ns, track->flags & HMEM_LINK_TRACK_WITHIN ?
                      HMEM_LOOKS_NS : 0));
    }
    track->tracker->scan(track, scan);
}

/* Is the driver there without which no window ends? */
static bool hmem_track_has_driver(const HmemTrack *track)
{
    return track->tracker->guest ? track->scanner :
        track->driver || !track->tracker->needs_driver;
}

/* Is this a rest, and does the tracker find nothing in a rest? */
static bool hmem_track_resting(const HmemTrack *track)
{
    return track->tracker->rest && track->flags & HMEM_LINK_TRACK_REST;
}

/* Continue the current window, or begin the first one. */
static void hmem_track_continue(HmemTrack *track)
{
    switch (track->state) {
    case HMEM_TRACK_STALE:
        if (!hmem_track_resting(track)) {
            hmem_track_kick(track);
            break;
        }
        /* fall through */
    case HMEM_TRACK_WINDOW:
        hmem_track_arm(track);
        break;
    default:
        /* The scan that is under way continues by itself. */
        break;
    }
}

/* In a rest, stop the tracker; but first report what a window has found. */
static void hmem_track_rest(HmemTrack *track)
{
    if (!hmem_track_resting(track)) {
        return;
    }
    switch (track->state) {
    case HMEM_TRACK_COLLECTING:
    case HMEM_TRACK_COLLECTED:
        return;
    case HMEM_TRACK_NO_DRIVER:
        break;
    default:
        track->state = HMEM_TRACK_STALE;
        break;
    }
    track->tracker->rest(track);
}

static void hmem_track_count_rearmed(HmemTrack *track, uint64_t num)
{
    track->num_rearmed += num;
    trace_virtio_hmem_rearm(track->seq, num);
}

static void hmem_track_rearm(HmemTrack *track)
{
    track->answer = HMEM_ANSWER_DONE;
    hmem_track_count_rearmed(
        track, track->tracker->rearm(track->memory, &track->maps));
}

/* Guest time that the scan which has ended took: at least 1 for a scan. */
static uint64_t hmem_track_scan_cost(const HmemTrack *track, uint64_t now)
{
    if (!track->tracker->guest) {
        return 0;
    }
    /* The guest can be wrong, but the scan took no longer than this. */
    return MIN(MAX(track->found.cost_ns, 1), now - track->scan_begin_ns);
}

/* The processors' time since the last call, in us. */
static uint32_t hmem_track_busy(HmemTrack *track)
{
    uint64_t was = track->busy_ns;

    if (!(track->flags & HMEM_LINK_TRACK_BUSY)) {
        return 0;
    }
    track->busy_ns = hmem_busy_ns();
    /* A processor that was unplugged takes its time along. */
    return track->busy_ns < was ? 0 :
        MIN((track->busy_ns - was) / SCALE_US, UINT32_MAX);
}

static void hmem_track_tick(HmemTrack *track, uint64_t now, uint64_t scan_ns)
{
    struct hmem_link_tick tick = {
        .seq = ++track->seq,
        .vtime_ns = now,
        .window_ns = now - track->tick_ns,
        .dirty = track->found.dirty,
        .accessed = track->found.accessed,
        .scan_ns = scan_ns,
        .flags = track->found.flags,
        .busy_us = hmem_track_busy(track),
    };
    const struct hmem_link_cleared cleared = { .bits = track->found.cleared };
    const bool tells = track->flags & HMEM_LINK_TRACK_CLEARED && scan_ns &&
        cleared.bits != UINT64_MAX;

    track->found = (HmemScanned) { };
    if (track->tracker->collect && !(track->flags & HMEM_LINK_TRACK_REST)) {
        track->tracker->collect(track->memory, &track->maps, &tick);
    }
    track->tick_ns = now;
    track->answer = HMEM_ANSWER_AWAITED;
    track->max_seq = MAX(track->max_seq, tick.seq);
    track->num_ticks++;
    track->num_dirty += tick.dirty;
    track->num_accessed += tick.accessed;
    trace_virtio_hmem_tick(tick.seq, tick.vtime_ns, tick.window_ns,
                           tick.dirty, tick.accessed);
    hmem_track_arm(track);
    track->ops->tick(track->opaque, &tick, tells ? &cleared : NULL);
    /* After this call, the driver or the device can be gone. */
    hmem_track_rest(track);
    if (track->flags & HMEM_LINK_TRACK_LOCKSTEP) {
        if (track->answer == HMEM_ANSWER_AWAITED) {
            track->answer = HMEM_ANSWER_AWAITED_IN_TIMER;
        }
        /* During this call, tracking can be stopped or changed. */
        track->in_tick = true;
        track->ops->wait(track->opaque);
        track->in_tick = false;
        if (track->answer == HMEM_ANSWER_AWAITED_IN_TIMER) {
            track->answer = HMEM_ANSWER_AWAITED;
        }
    }
}

/* A window ends without a scan by the driver, whose report has an account. */
static void hmem_track_ask(HmemTrack *track)
{
    if (track->flags & HMEM_LINK_TRACK_ACCOUNT) {
        track->ops->account(track->opaque);
    }
}

static void hmem_track_begin_window(HmemTrack *track, uint64_t now)
{
    track->state = HMEM_TRACK_WINDOW;
    track->tick_ns = now;
    hmem_track_busy(track);
    hmem_track_arm(track);
}

/* Forget earlier accesses, which belong to no window. */
static void hmem_track_clear(HmemTrack *track, uint64_t now)
{
    if (track->tracker->scan) {
        hmem_track_scan(track, HMEM_SCAN_CLEAR);
    } else {
        track->tracker->clear(track->memory);
        hmem_track_begin_window(track, now);
    }
}

/* End the current window, or rest, if it is time. */
static void hmem_track_end_window(HmemTrack *track, uint64_t now)
{
    if (track->answer == HMEM_ANSWER_TO_REARM) {
        hmem_track_rearm(track);
    }
    /*
     * hmemd is slow, so the window gets longer: hmem_track_answered()
     * continues.
     */
    if (track->answer != HMEM_ANSWER_DONE) {
        return;
    }
    if (now < track->due_ns) {
        timer_mod(track->timer, track->due_ns);
    } else if (track->tracker->scan &&
               !(track->flags & HMEM_LINK_TRACK_REST)) {
        hmem_track_scan(track, HMEM_SCAN_COLLECT);
    } else {
        hmem_track_ask(track);
        hmem_track_tick(track, now, 0);
    }
}

static void hmem_track_timer(void *opaque)
{
    HmemTrack *track = opaque;
    uint64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);

    switch (track->state) {
    case HMEM_TRACK_OFF:
    case HMEM_TRACK_NO_DRIVER:
        break;
    case HMEM_TRACK_STALE:
        if (hmem_track_resting(track)) {
            hmem_track_end_window(track, now);
        } else {
            hmem_track_clear(track, now);
        }
        break;
    case HMEM_TRACK_WINDOW:
        hmem_track_end_window(track, now);
        break;
    case HMEM_TRACK_CLEARING:
    case HMEM_TRACK_COLLECTING:
        /* For the dirty log: hmemd has answered while the pass goes on. */
        if (track->tracker->guest) {
            hmem_track_set_late(track, true);
        }
        break;
    case HMEM_TRACK_CLEARED:
        /* What the clearing scan found belongs to no window. */
        track->found = (HmemScanned) { };
        hmem_track_begin_window(track, now);
        break;
    case HMEM_TRACK_COLLECTED:
        track->state = HMEM_TRACK_WINDOW;
        if (!track->tracker->guest) {
            hmem_track_ask(track);
        }
        hmem_track_tick(track, now, hmem_track_scan_cost(track, now));
        break;
    }
}

void hmem_track_scanned(HmemTrack *track, const HmemScanned *found)
{
    track->num_scans += track->tracker->guest;
    track->found = *found;
    if (found->rearmed) {
        hmem_track_count_rearmed(track, found->rearmed);
    }
    if (track->state == HMEM_TRACK_CLEARING) {
        track->state = HMEM_TRACK_CLEARED;
    } else if (track->state == HMEM_TRACK_COLLECTING) {
        track->state = HMEM_TRACK_COLLECTED;
    }
    hmem_track_kick(track);
    hmem_track_set_late(track, false);
}

void hmem_track_memory_changed(HmemTrack *track)
{
    if (track->log) {
        hmem_log_memory_changed(track->log);
    }
}

/* Abandon the window or scan that is under way. */
static void hmem_track_clear_state(HmemTrack *track, HmemTrackState state)
{
    timer_del(track->timer);
    track->state = state;
    track->answer = HMEM_ANSWER_DONE;
    track->found = (HmemScanned) { };
    track->late = false;
}

/* Begin to track; there is no window, and the tracker has found nothing. */
static void hmem_track_begin(HmemTrack *track)
{
    track->tick_ns = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    hmem_track_busy(track);
    if (!hmem_track_has_driver(track)) {
        track->state = HMEM_TRACK_NO_DRIVER;
    } else if (track->tracker->clear || track->tracker->scan) {
        track->state = HMEM_TRACK_STALE;
    } else {
        track->state = HMEM_TRACK_WINDOW;
    }
    hmem_track_continue(track);
}

void hmem_track_set_driver(HmemTrack *track, bool there, bool scans)
{
    bool had;

    scans &= there;
    if (track->driver == there && track->scanner == scans) {
        return;
    }
    had = track->tracker && hmem_track_has_driver(track);
    track->driver = there;
    track->scanner = scans;
    if (!track->tracker || had == hmem_track_has_driver(track)) {
        return;
    }
    if (had) {
        /* The next driver begins with a new window. */
        hmem_track_clear_state(track, HMEM_TRACK_NO_DRIVER);
        if (track->tracker->rest) {
            track->tracker->rest(track);
        }
    } else {
        hmem_track_begin(track);
    }
}

bool hmem_track_answered(HmemTrack *track, uint64_t seq)
{
    if (seq == 0 || seq > track->max_seq) {
        return false;
    }
    /* Otherwise this is a late answer, from before tracking was stopped. */
    if (track->answer == HMEM_ANSWER_DONE || seq != track->seq) {
        return true;
    }
    if (!track->tracker->rearm) {
        track->answer = HMEM_ANSWER_DONE;
        if (!timer_pending(track->timer)) {
            hmem_track_kick(track);
        }
    } else if (track->answer == HMEM_ANSWER_AWAITED_IN_TIMER) {
        hmem_track_rearm(track);
    } else {
        track->answer = HMEM_ANSWER_TO_REARM;
        hmem_track_kick(track);
    }
    return true;
}

uint64_t hmem_track_window_so_far(const HmemTrack *track)
{
    return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) - track->tick_ns;
}

bool hmem_track_waiting(const HmemTrack *track)
{
    return track->answer != HMEM_ANSWER_DONE;
}

void hmem_track_new_connection(HmemTrack *track)
{
    track->max_seq = 0;
}

/*
 * A shorter window could end before a pass over all memory has ended in which
 * every page was written.
 */
uint64_t hmem_track_pass_ns(void)
{
    return MAX(HMEM_LINK_MIN_WINDOW_NS,
               MIN(HMEM_LINK_MAX_WINDOW_NS,
                   HMEM_DIRTY_PAGES_NS(hmem_memory_max_frames())));
}

uint64_t hmem_track_min_window(const HmemTrack *track)
{
    return MAX(hmem_track_pass_ns(),
               track->min_window_ms * (uint64_t)SCALE_MS);
}

static char *hmem_track_check(const HmemTrack *track,
                              const struct hmem_link_track *request)
{
    const uint64_t min = request->flags & HMEM_LINK_TRACK_WITHIN ?
        HMEM_LINK_MIN_WINDOW_NS : hmem_track_min_window(track);

    if (request->window_ns == 0) {
        return request->tracker || request->flags ?
            g_strdup("no window, but a tracker or flags") : NULL;
    }
    if (request->window_ns < min ||
        request->window_ns > HMEM_LINK_MAX_WINDOW_NS) {
        return g_strdup_printf("a window of %" PRIu64 " ns, which is not within"
                               " %" PRIu64 " .. %" PRIu64, request->window_ns,
                               min, HMEM_LINK_MAX_WINDOW_NS);
    }
    if (!hmem_track_find_tracker(track, request->tracker)) {
        return g_strdup_printf("tracker 0x%x, which is not one of 0x%x",
                               request->tracker, hmem_track_trackers(track));
    }
    if (request->flags & ~hmem_track_flags()) {
        return g_strdup_printf("flags 0x%x, of which this VM has 0x%x",
                               request->flags, hmem_track_flags());
    }
    if (request->flags & HMEM_LINK_TRACK_LONG &&
        request->flags & HMEM_LINK_TRACK_WITHIN) {
        return g_strdup("looks both within scans and from scan to scan");
    }
    return NULL;
}

static void hmem_track_halt(HmemTrack *track)
{
    const HmemTracker *tracker = track->tracker;

    if (!tracker) {
        return;
    }
    trace_virtio_hmem_track(0, 0, 0);
    if (tracker->guest) {
        hmem_track_set_late(track, false);
    }
    hmem_track_clear_state(track, HMEM_TRACK_OFF);
    if (tracker->scan) {
        tracker->scan(track, HMEM_SCAN_NONE);
    }
    track->tracker = NULL;
}

/* Carry out hmemd's last request. */
static void hmem_track_apply_request(HmemTrack *track)
{
    const struct hmem_link_track *request = &track->request;
    const HmemTracker *tracker =
        hmem_track_find_tracker(track, request->tracker);

    if (track->tracker != tracker ||
        (track->flags ^ request->flags) & ~HMEM_LINK_TRACK_BY_WINDOW) {
        hmem_track_halt(track);
    }
    /* Switching the log off can have unplugged the device. */
    if (!tracker || !track->timer) {
        return;
    }
    track->window_ns = request->window_ns;
    track->flags = request->flags;
    track->maps.want_written = !(track->flags & HMEM_LINK_TRACK_ACCESSED);
    trace_virtio_hmem_track(request->window_ns, request->tracker,
                            request->flags);
    if (!track->tracker) {
        track->tracker = tracker;
        track->seq = 0;
        hmem_track_begin(track);
    } else {
        hmem_track_rest(track);
        hmem_track_continue(track);
    }
}

char *hmem_track_start(HmemTrack *track, const struct hmem_link_track *request)
{
    char *wrong = hmem_track_check(track, request);

    if (wrong) {
        return wrong;
    }
    track->request = *request;
    track->set_in_tick = track->in_tick;
    if (!track->held) {
        hmem_track_apply_request(track);
    }
    return NULL;
}

void hmem_track_stop(HmemTrack *track)
{
    track->request = (struct hmem_link_track) { };
    hmem_track_halt(track);
}

void hmem_track_hold(HmemTrack *track, bool hold)
{
    if (track->held == hold) {
        return;
    }
    track->held = hold;
    if (hold) {
        hmem_track_halt(track);
    } else {
        hmem_track_apply_request(track);
    }
}

bool hmem_track_realize(HmemTrack *track, const HmemMemory *memory,
                        bool can_scan, const HmemTrackOps *ops, void *opaque,
                        Error **errp)
{
    uint64_t bytes = DIV_ROUND_UP(hmem_memory_end(memory), 8);
    HmemMaps *maps = &track->maps;

    if (track->min_window_ms > HMEM_LINK_MAX_WINDOW_NS / SCALE_MS) {
        error_setg(errp, "'min-window' is %u ms, but can be %" PRIu64
                   " ms at most", track->min_window_ms,
                   HMEM_LINK_MAX_WINDOW_NS / SCALE_MS);
        return false;
    }
    track->memory = memory;
    track->can_scan = can_scan;
    track->ops = ops;
    track->opaque = opaque;
    maps->bytes = ROUND_UP(bytes, qemu_real_host_page_size());
    /* A map takes memory only when it is used. */
    maps->dirty = qemu_memfd_alloc("virtio-hmem-maps",
                                   HMEM_LINK_MAPS * maps->bytes,
                                   F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL,
                                   &maps->fd, errp);
    if (!maps->dirty) {
        return false;
    }
    maps->accessed = maps->dirty + maps->bytes / sizeof(uint64_t);
    maps->rearm = maps->accessed + maps->bytes / sizeof(uint64_t);
    maps->given = maps->rearm + maps->bytes / sizeof(uint64_t);
    track->timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, hmem_track_timer, track);
    track->log = hmem_log_new(memory, maps, hmem_dirty_done, track);
    return true;
}

void hmem_track_unrealize(HmemTrack *track)
{
    hmem_track_stop(track);
    hmem_log_free(track->log);
    timer_free(track->timer);
    qemu_memfd_free(track->maps.dirty, HMEM_LINK_MAPS * track->maps.bytes,
                    track->maps.fd);
    track->log = NULL;
    track->timer = NULL;
    track->maps = (HmemMaps) { .fd = -1 };
}
