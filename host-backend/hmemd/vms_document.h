/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All VMs as JSON, for the page: see METRICS in hmemd(8). */
#ifndef HMEMD_VMS_DOCUMENT_H
#define HMEMD_VMS_DOCUMENT_H

#include "document.h"

extern const struct document_kind vms_document;

#endif /* HMEMD_VMS_DOCUMENT_H */
