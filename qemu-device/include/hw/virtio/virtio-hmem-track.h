/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: tracks which pages the guest uses, window by window.
 *
 * A tracker finds used pages.  This part has the windows, and the maps that are
 * shared with hmemd.  All functions run under the BQL and keep it.  But
 * switching the dirty log off can reset or unplug the device, see
 * virtio-hmem-dirty.c.
 */
#ifndef HW_VIRTIO_HMEM_TRACK_H
#define HW_VIRTIO_HMEM_TRACK_H

#include "qemu/timer.h"
#include "hw/virtio/virtio-hmem-dirty.h"
#include "hw/virtio/virtio-hmem-maps.h"
#include "hw/virtio/virtio-hmem-memory.h"

/* The purpose of a scan. */
typedef enum HmemScan {
    HMEM_SCAN_NONE,
    /* Rearm all frames, so that the first window can begin. */
    HMEM_SCAN_CLEAR,
    /*
     * A window has ended: OR the frames that were accessed into the map, take
     * the rearm map, and rearm its frames.
     */
    HMEM_SCAN_COLLECT,
} HmemScan;

/* The result of a scan. */
typedef struct HmemScanned {
    /* Frames: found accessed, found written, rearmed. */
    uint64_t accessed;
    uint64_t dirty;
    uint64_t rearmed;
    /* Processor time of the guest that the scan took; UINT64_MAX: not known. */
    uint64_t cost_ns;
    /* Accessed bits that the scan has cleared; UINT64_MAX: not known. */
    uint64_t cleared;
    /* HMEM_LINK_TICK_* */
    uint32_t flags;
} HmemScanned;

typedef struct HmemTrack HmemTrack;

/*
 * A way to find used pages.  A tracker has no state of its own.  There are
 * three kinds:
 * - A tracker that answers at once has @clear, @collect and @rearm.  They are
 *   called in a timer of QEMU_CLOCK_VIRTUAL only.
 * - A tracker that takes time has @scan.  It is called once per window only,
 *   because scans are the cost of tracking.
 * - A tracker with neither fills no map: hmemd finds the used pages.
 */
typedef struct HmemTracker {
    /* One HMEM_LINK_TRACKER_* */
    uint32_t id;
    /* As the monitor shows it. */
    VirtioHmemTracker shown;
    /* Windows end only while there is a driver. */
    bool needs_driver;
    /* The guest's driver scans, so the driver must be able to. */
    bool guest;
    /* Is it possible in this VM, and has the user not forbidden it? */
    bool (*available)(const HmemTrack *track);

    /* Forget earlier accesses: the first window begins. */
    void (*clear)(const HmemMemory *memory);
    /* OR the used frames into @maps, and count them in @tick. */
    void (*collect)(const HmemMemory *memory, const HmemMaps *maps,
                    struct hmem_link_tick *tick);
    /*
     * Take the rearm map and clear the bits of its frames.  Returns how many.
     */
    uint64_t (*rearm)(const HmemMemory *memory, const HmemMaps *maps);

    /*
     * Begin a scan.  hmem_track_scanned() ends the scan.  HMEM_SCAN_NONE: the
     * result of the last scan is not wanted any more.
     */
    void (*scan)(HmemTrack *track, HmemScan scan);
    /*
     * Find nothing until the next scan with HMEM_SCAN_CLEAR.  NULL: tracking
     * costs nothing between scans, so it goes on.
     */
    void (*rest)(HmemTrack *track);
} HmemTracker;

extern const HmemTracker hmem_tracker_sim;

/* Can the time of virtual processors be measured, in units of guest time? */
bool hmem_busy_available(void);
/*
 * The time, in ns, for which all virtual processors together have run.
 * The caller holds the BQL.
 */
uint64_t hmem_busy_ns(void);

/* The state of tracking.  HmemAnswer tells what the last tick waits for. */
typedef enum HmemTrackState {
    /* Nothing is tracked. */
    HMEM_TRACK_OFF,
    /* The tracker needs a driver, and the first window waits for one. */
    HMEM_TRACK_NO_DRIVER,
    /*
     * What the tracker has found belongs to no window.  The timer clears it
     * before the next window, unless that is a rest.  Rests end in the timer,
     * as windows do.
     */
    HMEM_TRACK_STALE,
    /* A scan clears what the tracker has found. */
    HMEM_TRACK_CLEARING,
    /* The scan has ended.  The first window begins in the timer. */
    HMEM_TRACK_CLEARED,
    /* A window is under way.  It ends in the timer. */
    HMEM_TRACK_WINDOW,
    /*
     * The window has ended.  A scan collects the frames that were used in it.
     */
    HMEM_TRACK_COLLECTING,
    /* The scan has ended.  The timer sends the tick. */
    HMEM_TRACK_COLLECTED,
} HmemTrackState;

/* What must happen before the next window may end. */
typedef enum HmemAnswer {
    /* Nothing: hmemd has answered the last tick. */
    HMEM_ANSWER_DONE,
    /* hmemd must answer the last tick. */
    HMEM_ANSWER_AWAITED,
    /* The same, and the timer's callback waits for the answer. */
    HMEM_ANSWER_AWAITED_IN_TIMER,
    /* hmemd has answered, and the timer must take the rearm map. */
    HMEM_ANSWER_TO_REARM,
} HmemAnswer;

typedef struct HmemTrackOps {
    /*
     * A window has ended, and its used frames are in the maps: tell hmemd.
     * @cleared is NULL if it is not known, or if hmemd does not want it.
     */
    void (*tick)(void *opaque, const struct hmem_link_tick *tick,
                 const struct hmem_link_cleared *cleared);
    /*
     * For LOCKSTEP: handle hmemd's messages until hmem_track_waiting() is
     * false.  May return earlier if there is no connection.
     */
    void (*wait)(void *opaque);
    /* Ask the driver for an account, if it can give one. */
    void (*account)(void *opaque);
    /* Have the guest's driver scan: see HmemTracker.scan. */
    void (*scan)(void *opaque, HmemScan scan);
    /* HmemTrack.late has changed. */
    void (*late)(void *opaque);
} HmemTrackOps;

struct HmemTrack {
    /* The user's properties. */
    bool offer_dirty;
    bool offer_host;
    uint32_t min_window_ms;

    const HmemMemory *memory;
    const HmemTrackOps *ops;
    void *opaque;
    HmemMaps maps;
    HmemLog *log;

    /* hmemd's last request; a window of 0 ns: nothing is to be tracked. */
    struct hmem_link_track request;
    /* The request is not carried out while this is true. */
    bool held;

    HmemTrackState state;
    HmemAnswer answer;
    /* NULL: nothing is tracked. */
    const HmemTracker *tracker;
    uint32_t flags;
    uint64_t window_ns;
    /* Number and time of the last tick, counted from the start of tracking. */
    uint64_t seq;
    uint64_t tick_ns;
    /* hmem_busy_ns() at that time. */
    uint64_t busy_ns;
    /* Time at which the next tick is due. */
    uint64_t due_ns;
    /*
     * In lockstep: a tick is under way, so guest time stands still; and
     * whether hmemd has set the length of windows in a tick.
     */
    bool in_tick;
    bool set_in_tick;
    /* The highest seq that hmemd may answer. */
    uint64_t max_seq;
    QEMUTimer *timer;

    /* The device can ask a driver for scans. */
    bool can_scan;
    /* There is a driver. */
    bool driver;
    /* There is a driver that does scans. */
    bool scanner;
    /* A scan has taken longer than a window. */
    bool late;
    /* What the last scan found, for the tick that follows. */
    HmemScanned found;
    uint64_t scan_begin_ns;

    /* Counted since the device was created. */
    uint64_t num_scans;
    uint64_t num_late;
    uint64_t num_ticks;
    uint64_t num_dirty;
    uint64_t num_accessed;
    uint64_t num_rearmed;
};

/*
 * @memory has its ranges and must outlive @track.  @can_scan: the device can
 * ask a driver for scans.
 */
bool hmem_track_realize(HmemTrack *track, const HmemMemory *memory,
                        bool can_scan, const HmemTrackOps *ops, void *opaque,
                        Error **errp);
void hmem_track_unrealize(HmemTrack *track);

/*
 * The time, in ns, that a pass over all memory may take in which every page was
 * written, as a window that HMEM_LINK allows.
 */
uint64_t hmem_track_pass_ns(void);
/*
 * The shortest window that hmemd can request, in ns: that time, or the user's
 * bound if it is greater.
 */
uint64_t hmem_track_min_window(const HmemTrack *track);

/* The HMEM_LINK_TRACKER_* and HMEM_LINK_TRACK_* that hmemd can request now. */
uint32_t hmem_track_trackers(const HmemTrack *track);
uint32_t hmem_track_flags(void);

/*
 * Start tracking, or change what is tracked.  Returns NULL; or, if @request is
 * not possible, what is wrong with it, and changes nothing.
 */
char *hmem_track_start(HmemTrack *track, const struct hmem_link_track *request);
void hmem_track_stop(HmemTrack *track);

/*
 * With @hold, stop tracking for a while.  Without, start again with hmemd's
 * last request.  In between, hmem_track_start() only stores the request.
 */
void hmem_track_hold(HmemTrack *track, bool hold);

/*
 * hmemd has answered tick @seq: it has read the maps.  Returns false if there
 * was no such tick.
 */
bool hmem_track_answered(HmemTrack *track, uint64_t seq);

/* Guest time since the current window began, in ns. */
uint64_t hmem_track_window_so_far(const HmemTrack *track);

/* Does the last tick wait for an answer? */
bool hmem_track_waiting(const HmemTrack *track);

/*
 * A driver has come or gone (@there); @scans: it does scans.  When the driver
 * goes, its scan is abandoned and @late becomes false without a call of
 * @ops->late.
 */
void hmem_track_set_driver(HmemTrack *track, bool there, bool scans);

/* The scan has ended; the frames that it found are in the maps. */
void hmem_track_scanned(HmemTrack *track, const HmemScanned *found);

/* The ranges of @memory have changed.  Safe before hmem_track_realize(). */
void hmem_track_memory_changed(HmemTrack *track);

/* A new connection has begun: hmemd can answer no tick of an earlier one. */
void hmem_track_new_connection(HmemTrack *track);

#endif
