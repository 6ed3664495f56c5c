/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hmem-sim: several machines on one host share the bandwidth of its tiers, and
 * its DRAM cache in memory mode.
 */

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <qemu-plugin.h>

#include "booking.h"
#include "options.h"
#include "share.h"

/*
 * A slot is much shorter than a turn, and much longer than the transfer of a
 * line.  There are slots for several turns of the greatest length.
 */
#define SLOT_PS 1000000

/* Look this often if a member that is waited for has crashed. */
#define PATIENCE_NS 200000000

typedef struct Member {
    pid_t pid;
    bool joined;
    bool left;
    uint64_t turn; /* the turn that is next, or under way */
    pthread_cond_t may_run;
} Member;

/* These parameters have to be the same for all members. */
typedef struct Common {
    uint64_t members;
    uint64_t turn_ns;
    uint64_t memory_mode;
    SimTierOptions tier[SIM_TIERS];
} Common;

/*
 * The file.  @lock protects the members; what follows them belongs to the
 * member whose turn it is.
 */
typedef struct Share {
    Common common;
    pthread_mutex_t lock;
    Member member[SIM_MAX_MEMBERS];
    SimSlot slot[SIM_TIERS][SIM_DIRECTIONS][SIM_BOOKED];
    uint64_t lines[]; /* memory_mode / SIM_LINE */
} Share;

static Share *share;
static Member *self;

static bool fail(const char *what)
{
    fprintf(stderr, "hmem-sim: share=%s: %s\n", sim_options.share, what);
    return false;
}

static Common own_parameters(void)
{
    Common common;

    memset(&common, 0, sizeof(common));
    common.members = sim_options.members;
    common.turn_ns = sim_options.turn_us * 1000;
    common.memory_mode = sim_options.memory_mode;
    memcpy(common.tier, sim_options.tier, sizeof(common.tier));
    return common;
}

static void init_file(void)
{
    pthread_mutexattr_t mutex;
    pthread_condattr_t cond;
    int i;

    share->common = own_parameters();
    pthread_mutexattr_init(&mutex);
    pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&mutex, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&share->lock, &mutex);
    pthread_condattr_init(&cond);
    pthread_condattr_setpshared(&cond, PTHREAD_PROCESS_SHARED);
    for (i = 0; i < SIM_MAX_MEMBERS; i++) {
        pthread_cond_init(&share->member[i].may_run, &cond);
    }
}

/* A member that crashed while it held the lock has changed one word at most. */
static void lock(void)
{
    if (pthread_mutex_lock(&share->lock) == EOWNERDEAD) {
        pthread_mutex_consistent(&share->lock);
    }
}

static void unlock(void)
{
    pthread_mutex_unlock(&share->lock);
}

/* The file is locked while it is opened, so that one member initializes it. */
static bool join(int fd)
{
    size_t size = sizeof(Share) +
        sim_options.memory_mode / SIM_LINE * sizeof(share->lines[0]);
    Common common = own_parameters();
    struct stat st;
    bool fresh;

    if (fstat(fd, &st) < 0) {
        return fail(strerror(errno));
    }
    fresh = !st.st_size;
    if (fresh && ftruncate(fd, size) < 0) {
        return fail(strerror(errno));
    }
    if (!fresh && st.st_size != size) {
        return fail("members need the same members=, turn_us=, memory_mode= "
                    "and tiers, and an empty file for each run");
    }
    share = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (share == MAP_FAILED) {
        return fail(strerror(errno));
    }
    if (fresh) {
        init_file();
    }
    if (memcmp(&share->common, &common, sizeof(common))) {
        return fail("members need the same members=, turn_us=, memory_mode= "
                    "and tiers, and an empty file for each run");
    }
    self = &share->member[sim_options.member];
    if (self->joined) {
        return fail("there is a member with this number already: each needs "
                    "its own member=, and each run an empty file");
    }
    lock();
    self->pid = getpid();
    self->joined = true;
    unlock();
    return true;
}

bool sim_share_init(void)
{
    bool ok;
    int fd;

    if (!sim_options.share) {
        return true;
    }
    fd = open(sim_options.share, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) < 0) {
        return fail(strerror(errno));
    }
    ok = join(fd);
    /* The mapping would keep the lock. */
    flock(fd, LOCK_UN);
    close(fd);
    return ok;
}

/* The place of a member in a turn: 0 runs first. */
static unsigned int place(const Member *m, uint64_t turn)
{
    unsigned int num = share->common.members;

    return (m - share->member + num - turn % num) % num;
}

/* Has the member its turn now? */
static bool is_next(const Member *m)
{
    const Member *other = share->member;

    for (; other < share->member + share->common.members; other++) {
        uint64_t turn = m->turn + (place(other, m->turn) < place(m, m->turn));

        if (other != m && !other->left &&
            (!other->joined || other->turn < turn)) {
            return false;
        }
    }
    return true;
}

static void wake_next(void)
{
    Member *m = share->member;

    for (; m < share->member + share->common.members; m++) {
        if (m->joined && !m->left && is_next(m)) {
            pthread_cond_signal(&m->may_run);
        }
    }
}

/*
 * Has the process ended?  A process whose parent has not waited for it yet
 * has ended, too, though kill() finds it.
 */
static bool has_ended(pid_t pid)
{
    char path[32], stat[256], *state;
    ssize_t len;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return kill(pid, 0) < 0 && errno == ESRCH;
    }
    len = read(fd, stat, sizeof(stat) - 1);
    close(fd);
    stat[MAX(len, 0)] = '\0';
    /* The state follows the name, which can contain anything. */
    state = strrchr(stat, ')');
    return state && (state[2] == 'Z' || state[2] == 'X');
}

static void bury_crashed(void)
{
    Member *m = share->member;

    for (; m < share->member + share->common.members; m++) {
        if (m->joined && !m->left && has_ended(m->pid)) {
            m->left = true;
        }
    }
    wake_next();
}

static void wait_for_turn(void)
{
    struct timespec end;

    while (!is_next(self)) {
        clock_gettime(CLOCK_REALTIME, &end);
        end.tv_nsec += PATIENCE_NS;
        end.tv_sec += end.tv_nsec / 1000000000;
        end.tv_nsec %= 1000000000;
        switch (pthread_cond_timedwait(&self->may_run, &share->lock, &end)) {
        case ETIMEDOUT:
            bury_crashed();
            break;
        case EOWNERDEAD:
            pthread_mutex_consistent(&share->lock);
            break;
        }
    }
}

/* Guest time has reached the end of a turn. */
static void end_turn(uint64_t now_ns)
{
    lock();
    self->turn = now_ns / share->common.turn_ns;
    wake_next();
    wait_for_turn();
    unlock();
}

void sim_share_start(void)
{
    if (share) {
        qemu_plugin_each_ns(share->common.turn_ns, end_turn);
        lock();
        wait_for_turn();
        unlock();
    }
}

void sim_share_leave(void)
{
    if (share) {
        lock();
        self->left = true;
        wake_next();
        unlock();
    }
}

uint64_t sim_share_transfer(SimTier tier, SimDirection direction,
                            uint64_t line_ps, uint64_t now_ps)
{
    return sim_book(share->slot[tier][direction], SLOT_PS, line_ps, now_ps);
}

uint64_t *sim_share_lines(void)
{
    return share->lines;
}
