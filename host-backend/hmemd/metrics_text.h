/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All metrics in the text format of Prometheus. */
#ifndef HMEMD_METRICS_TEXT_H
#define HMEMD_METRICS_TEXT_H

#include "document.h"

extern const struct document_kind metrics_text;

#endif /* HMEMD_METRICS_TEXT_H */
