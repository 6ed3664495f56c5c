/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A plugin whose access log is a file, so that a test can be the guest's
 * accesses: log=PATH, which holds the accessed bits and then the dirty bits
 * of as many frames as fit.
 */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <qemu-plugin.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static uint64_t *accessed_bits;
static uint64_t *dirty_bits;
static uint64_t num_words;

static void collect(uint64_t gfn, uint64_t num, uint64_t *accessed,
                    uint64_t *dirty)
{
    uint64_t i;

    for (i = 0; i < num / 64 && gfn / 64 + i < num_words; i++) {
        accessed[i] |= __atomic_load_n(&accessed_bits[gfn / 64 + i],
                                       __ATOMIC_ACQUIRE);
        dirty[i] |= __atomic_load_n(&dirty_bits[gfn / 64 + i],
                                    __ATOMIC_ACQUIRE);
    }
}

static void rearm(uint64_t gfn, uint64_t num, const uint64_t *mask)
{
    uint64_t i;

    for (i = 0; i < num / 64 && gfn / 64 + i < num_words; i++) {
        __atomic_fetch_and(&dirty_bits[gfn / 64 + i], ~mask[i],
                           __ATOMIC_ACQ_REL);
        __atomic_fetch_and(&accessed_bits[gfn / 64 + i], ~mask[i],
                           __ATOMIC_ACQ_REL);
    }
}

static const struct qemu_plugin_access_log access_log = {
    .collect = collect,
    .rearm = rearm,
};

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id,
                                           const qemu_info_t *info, int argc,
                                           char **argv)
{
    struct stat st;
    int fd;

    if (argc != 1 || strncmp(argv[0], "log=", 4)) {
        fprintf(stderr, "virtio-hmem-log: log=PATH is all there is\n");
        return -1;
    }
    fd = open(argv[0] + 4, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        perror(argv[0]);
        return -1;
    }
    accessed_bits = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED,
                         fd, 0);
    close(fd);
    if (accessed_bits == MAP_FAILED) {
        perror(argv[0]);
        return -1;
    }
    num_words = st.st_size / 2 / sizeof(uint64_t);
    dirty_bits = accessed_bits + num_words;
    qemu_plugin_set_access_log(&access_log);
    return 0;
}
