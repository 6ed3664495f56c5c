/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-hmem: code that its tests share.  A test plays both hmemd and the
 * guest's driver, with the device between them.
 *
 * No test relies on the duration of anything.  To see that a message was
 * handled, a test waits for an event that must follow.  Deadlines only end a
 * hung test.
 */
#ifndef TESTS_VIRTIO_HMEM_COMMON_H
#define TESTS_VIRTIO_HMEM_COMMON_H

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include "qemu/atomic.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "qemu/host-utils.h"
#include "qemu/units.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "libqtest.h"
#include "libqos/libqos-pc.h"
#include "libqos/pci-pc.h"
#include "libqos/virtio-hmem.h"
#include "hw/pci/pci_regs.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_hmem.h"
#include "standard-headers/linux/virtio_pci.h"
#include "standard-headers/linux/virtio_ring.h"
#include "hw/virtio/hmem_link.h"

#define DEADLINE_MS (300 * 1000)
#define DEADLINE_US (DEADLINE_MS * 1000ll)
#define MS 1000000ull

/* Tier 0 is 128 MiB, with the firmware's hole below 1 MiB; tier 1 follows. */
#define HOLE 0xc0
#define FAST 0x200
#define SLOW 0x8000
#define END 0x10000

#define NODES                                                               \
    " -m 256M -smp 3 -nodefaults"                                           \
    " -object memory-backend-memfd,id=m0,size=128M"                         \
    " -object memory-backend-memfd,id=m1,size=128M"
#define NUMA                                                                \
    " -numa node,nodeid=0,memdev=m0,cpus=0-2"                               \
    " -numa node,nodeid=1,memdev=m1,initiator=0"
#define LB(target, type, what)                                              \
    " -numa hmat-lb,initiator=0,target=" #target ",hierarchy=memory,"       \
    "data-type=" type "," what
#define HMAT                                                                \
    LB(0, "access-latency", "latency=80")                                   \
    LB(1, "read-latency", "latency=300")                                    \
    LB(1, "write-latency", "latency=500")                                   \
    LB(0, "access-bandwidth", "bandwidth=20G")                              \
    LB(1, "read-bandwidth", "bandwidth=6G")                                 \
    LB(1, "write-bandwidth", "bandwidth=2G")
#define MACHINE "-machine pc,hmat=on" NODES NUMA HMAT
#define UUID "12345678-9abc-def0-1234-56789abcdef0"
#define DEVICE_PATH "/machine/peripheral/hmem0"
#define SLOT 4

/*
 * hmemd
 */

typedef struct Daemon {
    char *dir;
    char *path;
    int listener;
    int fd;
    struct hmem_link_hello hello;
    struct hmem_link_state state;
    struct hmem_link_range ranges[16];
    uint32_t num_ranges;
    /* The maps: dirty, accessed, rearm, given. */
    uint64_t *map;
} Daemon;

Daemon *daemon_new(void);

void daemon_close(Daemon *d);

void daemon_free(Daemon *d);

void wait_readable(int fd);

/* Read @len bytes.  Returns false at the end of the stream. */
bool daemon_read(Daemon *d, void *buf, size_t len, int *fd);

/* Receive the next message, which must be of this type; the caller frees it. */
void *daemon_recv(Daemon *d, uint32_t type, uint32_t *len, int *fd);

void daemon_recv_to(Daemon *d, uint32_t type, void *to, uint32_t size);

void daemon_recv_state(Daemon *d, uint32_t flags);

void daemon_send_raw(Daemon *d, const void *buf, size_t len);

void daemon_welcome(Daemon *d);

/* Accept a new connection, and receive the device's first messages. */
void daemon_accept(Daemon *d);

/* Wait until the device disconnects, maybe after other messages. */
void daemon_expect_drop(Daemon *d);

struct virtio_hmem_hint hint(uint64_t gfn, uint8_t order, uint8_t tier);

void daemon_hints(Daemon *d, uint64_t id,
                  const struct virtio_hmem_hint *hints, uint32_t num);

void daemon_hint(Daemon *d, uint64_t id, uint64_t gfn, uint8_t order,
                 uint8_t tier);

void daemon_recv_reject(Daemon *d, uint64_t id, uint32_t code,
                        uint32_t index);

/* Wait until all messages were handled: send a hint that the device rejects. */
void daemon_barrier(Daemon *d);

void daemon_track_with(Daemon *d, uint64_t window_ns, uint32_t tracker,
                       uint32_t flags);

void daemon_track_flags(Daemon *d, uint64_t window_ns, uint32_t flags);

void daemon_track(Daemon *d, uint64_t window_ns);

void daemon_tick_done(Daemon *d, uint64_t seq);

/* Receive a tick.  The caller must check the pages in it. */
struct hmem_link_tick daemon_next_tick(Daemon *d, uint64_t seq,
                                       uint64_t window_ns);

void daemon_recv_tick(Daemon *d, uint64_t seq, uint64_t window_ns,
                      uint64_t dirty);

uint64_t *accessed_map(Daemon *d);

uint64_t *rearm_map(Daemon *d);

bool map_test(const uint64_t *map, uint64_t gfn);

void map_set(uint64_t *map, uint64_t gfn);

/* Check that exactly these pages are in one of the maps, and take them out. */
void daemon_take(Daemon *d, uint64_t *map, const uint64_t *gfns, int num);

void daemon_take_all(Daemon *d);

void daemon_take_map(Daemon *d, const uint64_t *gfns, int num);

/*
 * Machine
 */

typedef struct Test {
    QOSState *qs;
    QTestState *qts;
    Daemon *d;
    QVirtioPCIDevice *pci;
    QVirtioHMEM hmem;
    /* Length of the look in the last request; see recv_scan(). */
    uint64_t look_ns;
    /* The daemon does not want to know which frames are written. */
    bool accessed;
} Test;

QVirtioPCIDevice *find_device(QOSState *qs, int slot);

/*
 * A machine with the device, which is connected and has WELCOME; no driver yet.
 */
void setup_machine(Test *t, const char *extra);

void find_hmem(Test *t);

void setup(Test *t);

void start_driver(Test *t);

/* Use the driver's state of the source of a migration on its target. */
void move_driver(Test *from, Test *to);

void setup_driver(Test *t);

void teardown(Test *t);

/* A counter, by its path such as "ticks" or "rejected.busy". */
uint64_t get_stat(QTestState *qts, const char *path);

/* Is hmemd connected? */
void assert_connected(QTestState *qts, bool connected);

/* The state of the driver. */
void assert_driver(QTestState *qts, const char *state);

void assert_tracker(QTestState *qts, const char *tracker);

/* Does QEMU log writes for the device? */
void assert_log(Test *t, bool on);

uint64_t get_outstanding(QTestState *qts);

/*
 * Driver
 */

/* Wait for the device to use the buffer @index; returns its id. */
uint64_t recv_hints(Test *t, uint64_t addr, uint32_t index,
                    const struct virtio_hmem_hint *hints, uint32_t num);

/* Send one hint through the device; returns the id that the guest sees. */
uint64_t pass_hint(Test *t, uint64_t cookie, uint64_t gfn,
                   uint8_t order, uint8_t tier);

typedef struct Results {
    struct virtio_hmem_result_batch b;
    struct virtio_hmem_result r[4];
} Results;

void set_result(Results *m, int i, uint64_t gfn, uint64_t new_gfn,
                uint8_t order, uint8_t reason);

void set_batch(Results *m, uint64_t id, uint32_t num, bool last);

uint32_t results_len(const Results *m);

void send_results(Test *t, const Results *m);

/* Check that hmemd gets the guest's results, with its own id of the batch. */
void daemon_recv_results(Daemon *d, const Results *sent,
                         uint64_t cookie, bool last);

/*
 * Check that the device is broken by the guest's fault, and works after a
 * reset.
 */
void expect_broken(Test *t);

/* Registers of a transport. */

#define COMMON(field) offsetof(struct virtio_pci_common_cfg, field)

uint64_t register_addr(Test *t, uint64_t offset);

void write_common16(Test *t, uint64_t offset, uint16_t value);

void write_common64(Test *t, uint64_t offset, uint64_t value);

#define CONFIG(field) offsetof(struct virtio_hmem_config, field)

#define ONLINE(tier) CONFIG(tiers[tier].online)

void write_config(Test *t, uint64_t offset, uint32_t value);

/*
 * Write online as a driver does, the lower half first; wait until hmemd is
 * told.
 */
void set_online(Test *t, int tier, uint64_t bytes);

/* Send wrong results, and do not wait for the device. */
void bad_send(Test *t, const Results *m);

/* A fault of a guest; sent when the message of @id has arrived. */
struct BadGuest {
    const char *name;
    void (*act)(Test *t, uint64_t id);
    /*
     * A feature bit that the driver has not negotiated; 0: all are negotiated.
     */
    int refuse;
};

void touch(Test *t, uint64_t gfn);

void daemon_next_ranges(Daemon *d);

/* Ranges may wait for the clock, but come before the rejection of a hint. */
void daemon_recv_ranges(Daemon *d, uint32_t num);

/* Bytes before the entries of a request with VIRTIO_HMEM_F_LOOK. */
#define SCAN_HEAD                                                           \
    (sizeof(struct virtio_hmem_scan) + sizeof(struct virtio_hmem_look))

#define SCAN_BUFFER(num)                                                    \
    (SCAN_HEAD + (num) * sizeof(struct virtio_hmem_frames))

/* Bytes before the entries of a report with VIRTIO_HMEM_F_COST. */
#define REPORT_HEAD                                                         \
    (sizeof(struct virtio_hmem_access) + sizeof(struct virtio_hmem_cost))

#define REPORT_BUFFER(num)                                                  \
    (REPORT_HEAD + (num) * sizeof(struct virtio_hmem_frames))

#define HINT_BUFFER(num)                                                    \
    (sizeof(struct virtio_hmem_hint_batch) +                                \
     (num) * sizeof(struct virtio_hmem_hint))

/* A report with VIRTIO_HMEM_F_COST. */
typedef struct Report {
    struct virtio_hmem_access header;
    struct virtio_hmem_cost cost;
    struct virtio_hmem_frames frames[8];
} Report;

typedef struct ScanBuffer {
    uint64_t addr;
    uint32_t index;
} ScanBuffer;

struct virtio_hmem_frames frames_of(uint64_t gfn, uint64_t mask);

ScanBuffer post_scan(Test *t, uint32_t len);

/*
 * Wait until the device uses the buffer.  Returns the request's id, and sets
 * t->look_ns to the length of the look, if the request has one.
 */
uint64_t recv_scan(Test *t, ScanBuffer buffer, uint32_t flags,
                   const struct virtio_hmem_frames *frames,
                   uint32_t num);

/* The flags of a request that rearms all frames. */
uint32_t clear_flags(const Test *t);

/* The flags of a request that asks for a report. */
uint32_t collect_flags(const Test *t);

void set_report(Report *r, uint64_t id, uint32_t num, bool last);

/* Post the report in the form that the driver has negotiated. */
void post_report(Test *t, const Report *r);

/* An account with different numbers, which are true for the test's machine. */
struct virtio_hmem_account some_account(void);

/*
 * Post the report, in its form with VIRTIO_HMEM_F_COST, with so many bytes of
 * the account behind it.
 */
void post_account(Test *t, const Report *r,
                  const struct virtio_hmem_account *account, uint32_t len);

/* The same, with all of the account; wait until the device has read it. */
void send_account(Test *t, const Report *r,
                  const struct virtio_hmem_account *account);

/* Check that hmemd is told this account. */
void daemon_recv_account(Daemon *d, const struct virtio_hmem_account *sent);

/* The same, and wait until the device has read the report. */
void send_report(Test *t, const Report *r);

/* Send an empty report that ends the scan. */
void finish_scan(Test *t, uint64_t id);

void daemon_track_gpt(Daemon *d, uint32_t flags);

/* Receive the scan before the first window; returns its id. */
uint64_t clear_scan(Test *t);

/*
 * End a window, and receive the scan that reports accessed frames and rearms
 * these.  Returns the scan's id.
 */
uint64_t rearm_scan(Test *t, const struct virtio_hmem_frames *rearm,
                    uint32_t num);

uint64_t collect_scan(Test *t);

/* Answer a tick, and wait until the answer has arrived. */
void gpt_tick_done(Test *t, uint64_t seq);

void setup_gpt(Test *t, uint32_t flags);

void recv_gpt_tick(Test *t, uint64_t seq, uint64_t window_ns,
                   uint64_t accessed);

void bad_report_with(Test *t, uint64_t id, uint32_t num, uint32_t flags);

/* A test in the table of main(). */
typedef struct HmemTest {
    const char *name;
    void (*func)(void);
} HmemTest;

/* Add the tests as virtio-hmem/NAME. */
void add_tests(const HmemTest *tests, int num);

#endif
