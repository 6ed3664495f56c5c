/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: which pages the guest uses, window by window.
 *
 * A tracker finds out; here are the windows, and the maps that are shared with
 * hmemd.  All functions run under the BQL, and none of them drops it.  But to
 * switch the dirty log off can have the device reset or unplugged, see
 * virtio-hmem-dirty.c.
 */
#ifndef HW_VIRTIO_HMEM_TRACK_H
#define HW_VIRTIO_HMEM_TRACK_H

#include "qemu/timer.h"
#include "hw/virtio/virtio-hmem-dirty.h"
#include "hw/virtio/virtio-hmem-maps.h"
#include "hw/virtio/virtio-hmem-memory.h"

/* What a scan is for. */
typedef enum HmemScan {
    HMEM_SCAN_NONE,
    /* Rearm all frames, for the first window to begin. */
    HMEM_SCAN_CLEAR,
    /*
     * A window has ended: OR the frames that were accessed into the map, and
     * rearm those of the rearm map, which is taken.
     */
    HMEM_SCAN_COLLECT,
} HmemScan;

/* What a scan has come to. */
typedef struct HmemScanned {
    /* Frames: found accessed, found written, rearmed. */
    uint64_t accessed;
    uint64_t dirty;
    uint64_t rearmed;
    /* HMEM_LINK_TICK_* */
    uint32_t flags;
} HmemScanned;

typedef struct HmemTrack HmemTrack;

/*
 * A way to find out.  It has no state of its own.  One that answers at once has
 * @clear, @collect and @rearm, which are called in a timer of
 * QEMU_CLOCK_VIRTUAL only.  One that takes time has @scan, once in a window,
 * since it is what tracking costs.  One that has neither fills no map.
 */
typedef struct HmemTracker {
    /* One HMEM_LINK_TRACKER_* */
    uint32_t id;
    const char *name;
    /* No window ends without a driver. */
    bool needs_driver;
    /* It is the driver that scans, and it has to be able to. */
    bool guest;
    /* NULL: wherever its device is, or its guest's driver can be */
    bool (*available)(void);

    /* From now on, at the begin of the first window. */
    void (*clear)(const HmemMemory *memory);
    /* OR what was found into @maps, and count it in @tick. */
    void (*collect)(const HmemMemory *memory, const HmemMaps *maps,
                    struct hmem_link_tick *tick);
    /* Take the rearm map and clear its frames' bits; how many. */
    uint64_t (*rearm)(const HmemMemory *memory, const HmemMaps *maps);

    /*
     * Begin a scan; hmem_track_scanned() ends it.  NONE: nobody waits for the
     * one that was begun last any more.
     */
    void (*scan)(HmemTrack *track, HmemScan scan);
    /*
     * Stop to find anything, until a scan to CLEAR.  NULL: what is found costs
     * nothing between scans, and is kept.
     */
    void (*rest)(HmemTrack *track);
} HmemTracker;

extern const HmemTracker hmem_tracker_sim;

/* Where tracking is.  What the last tick is waiting for, HmemAnswer says. */
typedef enum HmemTrackState {
    /* Nothing is tracked. */
    HMEM_TRACK_OFF,
    /* No window begins before a driver comes that the tracker needs. */
    HMEM_TRACK_NO_DRIVER,
    /*
     * What the tracker has is of no window: before the next window that is no
     * rest it is cleared, in the timer.  Rests end in the timer as windows do.
     */
    HMEM_TRACK_STALE,
    /* A scan clears what the tracker has. */
    HMEM_TRACK_CLEARING,
    /* It has ended; the first window begins in the timer. */
    HMEM_TRACK_CLEARED,
    /* A window is under way, which ends in the timer. */
    HMEM_TRACK_WINDOW,
    /* It has ended, and a scan collects what was used in it. */
    HMEM_TRACK_COLLECTING,
    /* That has ended, too; the tick follows in the timer. */
    HMEM_TRACK_COLLECTED,
} HmemTrackState;

/* What is to happen before the next window may end. */
typedef enum HmemAnswer {
    /* Nothing: the last tick is done with. */
    HMEM_ANSWER_DONE,
    /* hmemd answers it. */
    HMEM_ANSWER_AWAITED,
    /* The same, and the timer waits for that. */
    HMEM_ANSWER_AWAITED_IN_TIMER,
    /* What the answer has rearmed is taken, in the timer. */
    HMEM_ANSWER_TO_REARM,
} HmemAnswer;

typedef struct HmemTrackOps {
    /* A window has ended, and its pages are in the maps: tell hmemd. */
    void (*tick)(void *opaque, const struct hmem_link_tick *tick);
    /*
     * LOCKSTEP: handle what hmemd says until hmem_track_waiting() is false.
     * May return earlier, if there is nobody left to wait for.
     */
    void (*wait)(void *opaque);
    /*
     * Begin a scan; hmem_track_scanned() ends it.  NONE: nobody waits for the
     * one that was begun last any more.
     */
    void (*scan)(void *opaque, HmemScan scan);
    /* @late has changed. */
    void (*late)(void *opaque);
} HmemTrackOps;

struct HmemTrack {
    const HmemMemory *memory;
    const HmemTrackOps *ops;
    void *opaque;
    HmemMaps maps;
    HmemLog *log;

    /* What hmemd asked for last; no window: nothing. */
    struct hmem_link_track ask;
    /* Until this is over, it is not done. */
    bool held;

    HmemTrackState state;
    HmemAnswer answer;
    /* NULL: not tracking */
    const HmemTracker *tracker;
    uint32_t flags;
    uint64_t window_ns;
    /* Of the last tick, since tracking was started. */
    uint64_t seq;
    uint64_t tick_ns;
    /* When the next one is due. */
    uint64_t due_ns;
    /* The highest seq that hmemd can answer to. */
    uint64_t max_seq;
    QEMUTimer *timer;

    /* The device can ask a driver for scans. */
    bool can_scan;
    /* There is a driver, and it does scans. */
    bool driver;
    bool scanner;
    /* A scan has been under way for longer than a window. */
    bool late;
    /* What the last one found, for the tick that follows. */
    HmemScanned found;
    uint64_t scan_begin_ns;

    /* Statistics, since the device was created. */
    uint64_t num_scans;
    uint64_t num_late;
    uint64_t num_ticks;
    uint64_t num_dirty;
    uint64_t num_accessed;
    uint64_t num_rearmed;
};

/*
 * @memory has its ranges, and outlives @track.  @can_scan: the driver can be
 * asked for scans, once there is one.
 */
bool hmem_track_realize(HmemTrack *track, const HmemMemory *memory,
                        bool can_scan, const HmemTrackOps *ops, void *opaque,
                        Error **errp);
void hmem_track_unrealize(HmemTrack *track);

/* The shortest window that can be asked for, in ns. */
uint64_t hmem_track_min_window(const HmemTrack *track);

/* HMEM_LINK_TRACKER_* and HMEM_LINK_TRACK_* that can be asked for now. */
uint32_t hmem_track_trackers(const HmemTrack *track);
uint32_t hmem_track_flags(void);

/*
 * Start to track, or change what is tracked.  NULL, or what @ask asks for that
 * cannot be; nothing has changed then.
 */
char *hmem_track_start(HmemTrack *track, const struct hmem_link_track *ask);
void hmem_track_stop(HmemTrack *track);

/*
 * From now on nothing is tracked, or what was asked for last is, and starts
 * anew.  Until it may be, hmem_track_start() only takes note.
 */
void hmem_track_hold(HmemTrack *track, bool hold);

/* The maps have been read.  False: there was no such tick. */
bool hmem_track_done(HmemTrack *track, uint64_t seq);

/* Guest time since the window that is under way began, in ns. */
uint64_t hmem_track_window_so_far(const HmemTrack *track);

/* A tick is not answered yet. */
bool hmem_track_waiting(const HmemTrack *track);

/*
 * A driver has come or gone, which does scans or does not.  With one that goes,
 * its scan is left undone, and @late ends; @ops->late is not called then.
 */
void hmem_track_set_driver(HmemTrack *track, bool there, bool scans);

/* The scan has ended; what it found is in the maps. */
void hmem_track_scanned(HmemTrack *track, const HmemScanned *found);

/* The ranges of @memory have changed.  Safe before hmem_track_realize(). */
void hmem_track_memory_changed(HmemTrack *track);

/* A connection begins: no tick of the one before can be answered on it. */
void hmem_track_forget(HmemTrack *track);

#endif
