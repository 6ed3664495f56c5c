/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands and settings in README.md and docs/: hmemctl's commands run, settings pass
 * `hmemctl config check`, and units of systemd exist.  tests/docs/commands looks at the others.
 */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

static unsigned int commands, snippets, units;

static void path_of(const char *file, char path[512])
{
	const char *golden = getenv("GOLDEN");

	if (!golden)
		fail_msg("GOLDEN must say where tests/unit is: run make check");
	snprintf(path, 512, "%.*s/%s", (int)(strrchr(golden, '/') - golden), golden, file);
}

/* Remove the comment and blanks behind a command, and what makes it run for ever. */
static void trim(char *line)
{
	char *end = strstr(line, "  #"), *follow;

	if (end)
		*end = '\0';
	follow = strstr(line, " --follow");
	if (follow)
		*follow = '\0';
	for (end = line + strlen(line); end > line && strchr(" \n", end[-1]); end--)
		end[-1] = '\0';
}

/* Each .service and .socket in the line is one of hmemd's. */
static void check_units(const char *where, const char *line)
{
	char copy[256], path[512], file[300], *save;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		if (strncmp(w, "hmemd", 5))
			continue;
		snprintf(file, sizeof(file), "../../host-backend/systemd/%s%s%s", w,
			 strchr(w, '.') ? "" : ".service",
			 strstr(w, ".socket") ? "" : ".in");
		path_of(file, path);
		if (access(path, F_OK) < 0)
			fail_msg("%s: no unit %s", where, w);
		units++;
	}
}

/* hmemctl knows the command and its options; what it asks for need not be possible. */
static void run(struct fixture *f, const char *where, const char *line)
{
	struct peer *peers[] = { &f->web, NULL };

	/* top shows the machines until somebody ends it. */
	if (!strncmp(line, "top", 3))
		line = "top --count 1";
	/* The device of this test ends no window, so that nobody may wait for one. */
	if (!strncmp(line, "heatmap", 7))
		ctl(f, 0, "policy web set name=off");
	ctl_run(&f->ctl, &f->d, peers, line);
	/* Here the machine is smaller than that of the documents. */
	if (f->ctl.status >= 2 && strncmp(line, "doctor", 6) && !strstr(f->ctl.err, "vm 'web'"))
		fail_msg("%s: hmemctl %s: status %d:\n%s%s", where, line, f->ctl.status,
			 f->ctl.out, f->ctl.err);
	if (strstr(f->ctl.err, "hmemctl --help") || strstr(f->ctl.err, "Usage:"))
		fail_msg("%s: hmemctl %s:\n%s", where, line, f->ctl.err);
	commands++;
}

static void check_settings(struct fixture *f, const char *where, const char *text)
{
	char line[128];
	FILE *file = fopen(f->d.config, "w");

	fputs(text, file);
	fclose(file);
	snprintf(line, sizeof(line), "config check %s", f->d.config);
	ctl_run(&f->ctl, &f->d, NULL, line);
	if (f->ctl.status)
		fail_msg("%s: %s\nin\n%s", where, f->ctl.err, text);
	snippets++;
	assert_return_code(truncate(f->d.config, 0), errno);
}

static void command(struct fixture *f, const char *where, char *line)
{
	trim(line);
	if (!strncmp(line, "hmemctl ", 8)) {
		run(f, where, line + 8);
		return;
	}
	if (strstr(line, "systemctl") || strstr(line, "systemd-analyze"))
		check_units(where, line);
}

static void check_file(struct fixture *f, const char *path)
{
	char line[512], settings[2048] = "", where[600];
	FILE *file = fopen(path, "r");
	unsigned int num = 0;
	bool code_may_follow = true;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		char *text = line + strspn(line, " ");
		bool blank = !strcmp(text, "\n");
		bool code = !blank && text - line >= 4 && code_may_follow;

		snprintf(where, sizeof(where), "%s:%u", path, ++num);
		/* Indented lines behind text continue a list. */
		code_may_follow = blank || code;
		if (*settings && !blank && !code) {
			check_settings(f, where, settings);
			*settings = '\0';
		}
		if (!code)
			continue;
		if (*text == '[' || *settings) {
			if (strlen(settings) + strlen(text) < sizeof(settings))
				strcat(settings, text);
		} else {
			command(f, where, text);
		}
	}
	fclose(file);
	if (*settings)
		check_settings(f, path, settings);
}

static void commands_of_documents(void **state)
{
	static const char *const files[] = {
		"README.md", "docs/operating.md", "docs/security.md", "docs/extending.md",
		"docs/libvirt.md",
	};
	struct fixture *f = fixture_new(NULL);
	char path[512];

	(void)state;
	f->web.trackers = HMEM_LINK_TRACKER_SIM;
	peer_handshake(&f->web, f->d.vm_socket, "web");
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char file[64];

		snprintf(file, sizeof(file), "../../%s", files[i]);
		path_of(file, path);
		check_file(f, path);
	}
	print_message("# %u commands, %u groups of settings, %u units\n", commands, snippets,
		      units);
	assert_in_range(commands, 30, 1000);
	assert_in_range(snippets, 2, 1000);
	assert_in_range(units, 3, 1000);
	fixture_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_of_documents),
	};

	return cmocka_run_group_tests_name("docs", tests, NULL, NULL);
}
