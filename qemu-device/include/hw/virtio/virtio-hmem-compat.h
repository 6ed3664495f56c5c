/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Contains all differences between the QEMU versions that virtio-hmem supports
 * (10.0 and later).  The tests build 10.0 and 10.2.  The code for later
 * versions follows from reading their source.
 */
#ifndef HW_VIRTIO_HMEM_COMPAT_H
#define HW_VIRTIO_HMEM_COMPAT_H

#define HMEM_QEMU_AT_LEAST(major, minor)                                    \
    (QEMU_VERSION_MAJOR > (major) ||                                        \
     (QEMU_VERSION_MAJOR == (major) && QEMU_VERSION_MINOR >= (minor)))

/* 10.1: exec/ became system/, and the instruction counter got a header. */
#if HMEM_QEMU_AT_LEAST(10, 1)
#include "exec/icount.h"
#include "system/memory.h"
#include "system/address-spaces.h"
#else
#include "exec/memory.h"
#include "exec/address-spaces.h"
#include "system/cpu-timers.h"
#endif

/* 10.2: CharBackend, the front end of a chardev, was renamed. */
#if HMEM_QEMU_AT_LEAST(10, 2)
#define HmemChardev CharFrontend
#else
#define HmemChardev CharBackend
#endif

/* 10.2: saving and loading state takes an Error; the fuzzer does both. */
#if HMEM_QEMU_AT_LEAST(10, 2)
#define HMEM_SAVE_STATE(f, vmsd, opaque)                                    \
    vmstate_save_state(f, vmsd, opaque, NULL, NULL)
#define HMEM_LOAD_STATE(f, vmsd, opaque)                                    \
    vmstate_load_state(f, vmsd, opaque, (vmsd)->version_id, NULL)
#else
#define HMEM_SAVE_STATE(f, vmsd, opaque)                                    \
    vmstate_save_state(f, vmsd, opaque, NULL)
#define HMEM_LOAD_STATE(f, vmsd, opaque)                                    \
    vmstate_load_state(f, vmsd, opaque, (vmsd)->version_id)
#endif

/* 11.0: part of hw/ became hw/core/, more of exec/ became system/. */
#if HMEM_QEMU_AT_LEAST(11, 0)
#include "system/ramlist.h"
#include "hw/core/qdev-properties.h"
#include "hw/core/qdev-properties-system.h"
#include "hw/core/boards.h"
#else
#include "exec/ramlist.h"
#include "hw/qdev-properties.h"
#include "hw/qdev-properties-system.h"
#include "hw/boards.h"
#endif

/* 10.1: class_init takes constant data, set_status can fail. */
#if HMEM_QEMU_AT_LEAST(10, 1)
typedef const void HmemClassData;
typedef int HmemSetStatusRet;
#define HMEM_SET_STATUS_OK 0
typedef const InterfaceInfo HmemInterfaceInfo;
#else
typedef void HmemClassData;
typedef void HmemSetStatusRet;
#define HMEM_SET_STATUS_OK
typedef InterfaceInfo HmemInterfaceInfo;
#endif

/* 10.1: one kind of callback for all parts of memory, which can fail. */
#if HMEM_QEMU_AT_LEAST(10, 1)
typedef ReplayRamDiscardState HmemReplayPopulated;
typedef ReplayRamDiscardState HmemReplayDiscarded;
typedef int HmemReplayDiscardedRet;
#define HMEM_REPLAY_DISCARDED(replay, section, opaque)                      \
    do {                                                                    \
        int ret_ = (replay)(section, opaque);                               \
        if (ret_) {                                                         \
            return ret_;                                                    \
        }                                                                   \
    } while (0)
#define HMEM_REPLAY_DISCARDED_OK 0
#else
typedef ReplayRamPopulate HmemReplayPopulated;
typedef ReplayRamDiscard HmemReplayDiscarded;
typedef void HmemReplayDiscardedRet;
#define HMEM_REPLAY_DISCARDED(replay, section, opaque)                      \
    (replay)(section, opaque)
#define HMEM_REPLAY_DISCARDED_OK
#endif

#endif
