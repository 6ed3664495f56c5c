/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Includes the wire header and nothing before it, so that it has to be complete
 * in itself.  Prints the status of every possible reason, for the test to
 * compare with the table in the specification.
 */
#include "virtio_hmem.h"

#include <stddef.h>
#include <stdio.h>

#ifdef __cplusplus
#define CHECK_SIZE(type, bytes) static_assert(sizeof(type) == (bytes), #type)
#else
#define CHECK_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
#endif

VIRTIO_HMEM_ASSERT_LAYOUT(CHECK_SIZE);

int main(void)
{
	int reason;

	for (reason = 0; reason < 256; reason++)
		printf("%d\n", virtio_hmem_status((__u8)reason));
	return 0;
}
