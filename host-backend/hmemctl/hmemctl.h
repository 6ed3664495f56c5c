/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The subcommands of hmemctl. */
#ifndef HMEMCTL_H
#define HMEMCTL_H

#include "client.h"
#include "options.h"
#include "output.h"
#include "table.h"

/* Each is in a file of its own. */
int cmd_list(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_stats(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_heatmap(int argc, char **argv);
int cmd_migrate(int argc, char **argv);
int cmd_jobs(int argc, char **argv);
int cmd_cancel(int argc, char **argv);
int cmd_resize(int argc, char **argv);
int cmd_pool(int argc, char **argv);
int cmd_trades(int argc, char **argv);
int cmd_config(int argc, char **argv);
int cmd_reload(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_events(int argc, char **argv);
int cmd_history(int argc, char **argv);
int cmd_policy(int argc, char **argv);
int cmd_doctor(int argc, char **argv);

#endif /* HMEMCTL_H */
