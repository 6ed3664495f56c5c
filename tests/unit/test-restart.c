/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What hmemd has learned outlasts hmemd; and files that are of no use do no harm. */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "fixture.h"
#include "learned_dir.h"

#define FILE_NAME	"07000000-0000-0000-0000-000000000000-hmem0-00000005.learned"

struct restart {
	struct fixture *f;
	char dir[64], file[160], option[80], policy[80];
	const char *args[5];
};

static struct restart *start_with(const char *dir, const char *policy, const char *more)
{
	struct restart *r = calloc(1, sizeof(*r));

	snprintf(r->dir, sizeof(r->dir), "%s", dir);
	snprintf(r->file, sizeof(r->file), "%s/%s", dir, FILE_NAME);
	snprintf(r->option, sizeof(r->option), "--state-directory=%s", dir);
	snprintf(r->policy, sizeof(r->policy), "--policy=%s,track=sim", policy);
	r->args[0] = r->policy;
	r->args[1] = r->option;
	r->args[2] = more;
	r->f = fixture_new(r->args);
	return r;
}

static struct restart *start(const char *policy, const char *more)
{
	char dir[] = "/tmp/hmem-state-XXXXXX";

	assert_non_null(mkdtemp(dir));
	return start_with(dir, policy, more);
}

static void end(struct restart *r)
{
	fixture_end(r->f);
	unlink(r->file);
	assert_return_code(rmdir(r->dir), errno);
	free(r);
}

static void connect_web(struct restart *r, uint32_t boot)
{
	struct peer *web = &r->f->web;

	web->trackers = HMEM_LINK_TRACKER_SIM;
	web->uuid = 7;
	web->boot = boot;
	web->vtime_ns = 10000000000;
	peer_handshake(web, r->f->d.vm_socket, "web");
	r->f->seq = 0;
}

/*
 * Ends a window in which 100 frames of tier 1 and, with @all, all frames were used.  Returns the
 * number of hints that came before the answer.
 */
static unsigned int window(struct restart *r, bool all)
{
	struct peer *web = &r->f->web;
	uint64_t *accessed = web->map + PEER_WORDS;
	const struct virtio_hmem_hint_batch *batch;
	unsigned int hints = 0;
	struct peer_msg msg;

	for (unsigned int i = 0; i < PEER_FRAMES; i++) {
		if (all || (i >= PEER_TIER && i < PEER_TIER + 100))
			__atomic_fetch_or(&accessed[i / 64], UINT64_C(1) << (i % 64),
					  __ATOMIC_RELAXED);
	}
	peer_send_tick(web, ++r->f->seq);
	for (;;) {
		peer_read(web, &msg);
		if (msg.hdr.type == HMEM_LINK_TICK_DONE)
			return hints;
		batch = (const void *)msg.payload;
		if (msg.hdr.type == HMEM_LINK_HINTS)
			hints += batch->num_hints;
	}
}

/*
 * With hmmv's defaults, pages are hot enough to move after four windows, so all but the last of
 * them are made here.
 */
static void learn(struct restart *r)
{
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(window(r, false), 0);
}

static void expect_end(struct restart *r)
{
	assert_int_equal(process_wait(r->f->d.pid), 0);
	peer_close(&r->f->web);
}

/* Stops hmemd in order. */
static void stop(struct restart *r)
{
	kill(r->f->d.pid, SIGTERM);
	expect_end(r);
}

static void restart(struct restart *r)
{
	daemon_restart(&r->f->d, r->args);
}

static bool log_has(const struct restart *r, const char *text)
{
	char log[65536];
	FILE *f = fopen(r->f->d.log, "r");
	size_t len = fread(log, 1, sizeof(log) - 1, f);

	fclose(f);
	log[len] = '\0';
	return strstr(log, text);
}

static void assert_log(const struct restart *r, const char *text)
{
	if (!log_has(r, text))
		fail_msg("the log does not say '%s'", text);
}

/* The first window leads to hints if and only if hmemd knows of earlier windows. */
static void assert_knows(struct restart *r, bool knows)
{
	window(r, false);
	assert_int_equal(window(r, false) != 0, knows);
}

static void restart_keeps_what_was_learned(void **state)
{
	struct restart *r = start("hmmv", NULL);

	(void)state;
	connect_web(r, 5);
	learn(r);
	stop(r);
	assert_return_code(access(r->file, R_OK), errno);
	restart(r);
	connect_web(r, 5);
	assert_knows(r, true);
	assert_log(r, "goes on with what was learned before: 100 pages");
	/* The file is gone, since it would be out of date after a crash. */
	assert_int_not_equal(access(r->file, F_OK), 0);
	end(r);
}

/* Without a restart, the fourth window leads to hints, too. */
static void four_windows_are_enough(void **state)
{
	struct restart *r = start("hmmv", NULL);

	(void)state;
	connect_web(r, 5);
	learn(r);
	assert_knows(r, true);
	end(r);
}

/* hmemd was away for longer than pages are used alike: heat is out of date. */
static void old_heat_is_not_used(void **state)
{
	struct restart *r = start("hmmv", NULL);

	(void)state;
	connect_web(r, 5);
	learn(r);
	stop(r);
	restart(r);
	/* The last window ended at 3 s, and the horizon is 20 s. */
	r->f->web.vtime_ns = 24000000000;
	peer_handshake(&r->f->web, r->f->d.vm_socket, "web");
	r->f->seq = 0;
	assert_knows(r, false);
	assert_log(r, "older than the policy's horizon");
	end(r);
}

/* The state directory's name outlasts the configuration in which it stood. */
static void reload_keeps_the_directory(void **state)
{
	struct restart *r = start("hmmv", NULL);

	(void)state;
	ctl(r->f, 0, "reload");
	connect_web(r, 5);
	/* There is no file yet, which needs the directory's name. */
	learn(r);
	stop(r);
	assert_return_code(access(r->file, R_OK), errno);
	restart(r);
	end(r);
}

/*
 * A guest that was started anew, another VM, or one without UUID has nothing to restore.  Whoever
 * claims the UUID, but does not know the number of the boot, does no harm: the VM finds its file.
 */
static void another_boot_learns_anew(void **state)
{
	static const struct { uint32_t boot; uint8_t uuid; } others[] = {
		{ 6, 7 }, { 0, 7 }, { 5, 8 }, { 5, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct restart *r = start("hmmv", NULL);
		char other[160];

		snprintf(other, sizeof(other), "%s/%02x%.*s%08x.learned", r->dir, others[i].uuid,
			 (int)strlen(FILE_NAME) - 2 - 16, FILE_NAME + 2, others[i].boot);
		connect_web(r, 5);
		learn(r);
		stop(r);
		restart(r);
		r->f->web = (struct peer) {
			.fd = -1, .map_fd = -1, .trackers = HMEM_LINK_TRACKER_SIM,
			.uuid = others[i].uuid, .boot = others[i].boot,
			.vtime_ns = 10000000000,
		};
		peer_handshake(&r->f->web, r->f->d.vm_socket, "web");
		r->f->seq = 0;
		assert_knows(r, false);
		stop(r);
		unlink(other);
		restart(r);
		connect_web(r, 5);
		assert_knows(r, true);
		end(r);
	}
}

/* A VM that goes before its file is read finds the file when it comes back. */
static void the_file_stays_until_it_is_read(void **state)
{
	struct restart *r = start("hmmv", NULL);

	(void)state;
	connect_web(r, 5);
	learn(r);
	stop(r);
	for (unsigned int i = 0; i < 10; i++) {
		assert_return_code(truncate(r->f->d.log, 0), errno);
		restart(r);
		kill(r->f->d.pid, SIGSTOP);
		peer_connect(&r->f->web, r->f->d.vm_socket);
		peer_introduce(&r->f->web, "web");
		peer_close(&r->f->web);
		kill(r->f->d.pid, SIGCONT);
		while (!log_has(r, "disconnected"))
			usleep(1000);
		assert_false(log_has(r, "goes on with what was learned"));
		stop(r);
	}
	restart(r);
	connect_web(r, 5);
	assert_knows(r, true);
	end(r);
}

/* A second signal while hmemd stops: hmemd saves no more, and ends. */
static void a_second_signal_is_urgent(void **state)
{
	struct restart *r;

	(void)state;
	/* It does not wait until the kernel needs the memory of connections no more. */
	setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
	r = start("hmmv", NULL);
	connect_web(r, 5);
	learn(r);
	/* Two signals of one kind that wait are one. */
	kill(r->f->d.pid, SIGSTOP);
	kill(r->f->d.pid, SIGINT);
	kill(r->f->d.pid, SIGTERM);
	kill(r->f->d.pid, SIGCONT);
	expect_end(r);
	assert_log(r, "is not saved: a second signal asked hmemd to stop at once");
	assert_int_not_equal(access(r->file, F_OK), 0);
	unsetenv("ASAN_OPTIONS");
	restart(r);
	end(r);
}

/* Without a directory, everything is as if there were no such thing. */
static void no_directory_no_file(void **state)
{
	static const char *const args[] = { "--policy=hmmv,track=sim", NULL };
	struct restart r = { .f = fixture_new(args) };

	(void)state;
	connect_web(&r, 5);
	learn(&r);
	stop(&r);
	daemon_restart(&r.f->d, args);
	connect_web(&r, 5);
	assert_knows(&r, false);
	fixture_end(r.f);
}

static void cut(const char *path, off_t len)
{
	assert_return_code(truncate(path, len), errno);
}

static void flip(const char *path, off_t at)
{
	int fd = open(path, O_RDWR);
	unsigned char byte;

	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static off_t size_of(const char *path)
{
	struct stat st;

	assert_return_code(stat(path, &st), errno);
	return st.st_size;
}

/* Each file that is of no use is named in the log, with the reason, and hmemd works on. */
static void bad_files_are_ignored(void **state)
{
	static const char *const says[] = {
		"is damaged: it ends too early",	/* empty */
		"is damaged: it ends too early",	/* cut in the head */
		"is damaged: it ends too early",	/* cut in an entry */
		"is damaged: a part",			/* a byte of an entry */
		"is damaged: the head",			/* a byte of the rates */
		"is damaged: no learned state",		/* the magic number */
		"is of version",
		"was larger than the VM's state can be",
		"is a symbolic link",
		"is no regular file",			/* a directory */
		"is no regular file",			/* a pipe without a writer */
		"belongs to another user",
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
		struct restart *r = start("hmmv", NULL);
		char other[200];
		off_t size;

		snprintf(other, sizeof(other), "%s/other", r->dir);
		connect_web(r, 5);
		learn(r);
		stop(r);
		size = size_of(r->file);
		switch (i) {
		case 0:
			cut(r->file, 0);
			break;
		case 1:
			cut(r->file, 100);
			break;
		case 2:
			cut(r->file, size - 1);
			break;
		case 3:
			flip(r->file, size - 300);
			break;
		case 4:
			flip(r->file, 1000);
			break;
		case 5:
			flip(r->file, 0);
			break;
		case 6:
			flip(r->file, 8);
			break;
		case 7:
			cut(r->file, 1 << 30);
			break;
		case 8:
			assert_return_code(rename(r->file, other), errno);
			assert_return_code(symlink(other, r->file), errno);
			break;
		case 9:
			unlink(r->file);
			assert_return_code(mkdir(r->file, 0700), errno);
			break;
		case 10:
			unlink(r->file);
			assert_return_code(mkfifo(r->file, 0600), errno);
			break;
		default:
			if (chown(r->file, 1, 1) < 0) {
				end(r);
				continue;
			}
		}
		restart(r);
		connect_web(r, 5);
		assert_knows(r, false);
		assert_log(r, says[i]);
		assert_log(r, FILE_NAME);
		/* What the link names is not touched. */
		if (i == 8)
			assert_int_equal(size_of(other), size);
		unlink(other);
		if (i == 9)
			assert_return_code(rmdir(r->file), errno);
		end(r);
	}
}

/* A directory that cannot be used is named in the log, and hmemd works on without it. */
static void bad_directories_are_told(void **state)
{
	static const char *const says[] = {
		"others may write there: run chmod 700", "belongs to another user",
		"Not a directory", "cannot be made: No such file or directory",
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
		char dir[64] = "/tmp/hmem-state-XXXXXX";
		struct restart *r;
		int fd;

		if (i == 2) {
			fd = mkstemp(dir);
			assert_return_code(fd, errno);
			close(fd);
		} else if (i < 2) {
			assert_non_null(mkdtemp(dir));
		} else {
			strcpy(dir, "/tmp/hmem-no-such/directory");
		}
		if (!i)
			assert_return_code(chmod(dir, 0777), errno);
		if (i == 1 && chown(dir, 1, 1) < 0) {
			rmdir(dir);
			continue;
		}
		r = start_with(dir, "hmmv", NULL);
		assert_log(r, says[i]);
		connect_web(r, 5);
		window(r, false);
		fixture_end(r->f);
		free(r);
		assert_return_code(i < 2 ? rmdir(dir) : i == 2 ? unlink(dir) : 0, errno);
	}
}

/* hmemd makes a missing directory, for itself only. */
static void directory_is_made(void **state)
{
	char top[] = "/tmp/hmem-state-XXXXXX", dir[64];
	struct restart *r;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(top));
	snprintf(dir, sizeof(dir), "%s/new", top);
	r = start_with(dir, "hmmv", NULL);
	assert_return_code(stat(dir, &st), errno);
	assert_int_equal(st.st_mode & 0777, 0700);
	end(r);
	assert_return_code(rmdir(top), errno);
}

/* No room for the file: hmemd says so, leaves no part of the file, and stops in order. */
static void no_room_on_disk(void **state)
{
	const struct rlimit limit = { 40000, 40000 };
	struct restart *r = start("hmmv", NULL);

	(void)state;
	connect_web(r, 5);
	window(r, true);
	assert_return_code(prlimit(r->f->d.pid, RLIMIT_FSIZE, &limit, NULL), errno);
	stop(r);
	assert_log(r, "what was learned is not saved: File too large");
	restart(r);
	connect_web(r, 5);
	assert_knows(r, false);
	/* Nothing is left of the attempt: end() removes the directory. */
	end(r);
}

static void wait_for(const char *file)
{
	for (unsigned int i = 0; access(file, F_OK); i++) {
		assert_in_range(i, 0, 6000);
		usleep(10000);
	}
}

/* After a crash, there is the state that was saved last.  Only the policy auto can use it. */
static void crash_keeps_what_was_saved(void **state)
{
	(void)state;
	for (unsigned int by_rates = 0; by_rates < 2; by_rates++) {
		struct restart *r = start(by_rates ? "auto" : "hmmv", "--state-interval=1");

		connect_web(r, 5);
		window(r, false);
		wait_for(r->file);
		/* A copy of the file is the same as a crash at this moment. */
		daemon_kill(&r->f->d);
		peer_close(&r->f->web);
		restart(r);
		connect_web(r, 5);
		window(r, false);
		assert_log(r, by_rates ? "not at an orderly stop" :
			   "not from an orderly stop, and pages have moved since");
		assert_int_equal(log_has(r, "goes on with what was learned"), by_rates);
		end(r);
	}
}

/* Each VM has its turn, although the first is due again at once. */
static void all_vms_are_saved(void **state)
{
	struct restart *r = start("hmmv", "--state-interval=1");
	struct peer other = {
		.fd = -1, .map_fd = -1, .trackers = HMEM_LINK_TRACKER_SIM, .uuid = 8, .boot = 5,
		.vtime_ns = 10000000000,
	};
	char file[160];

	(void)state;
	connect_web(r, 5);
	peer_handshake(&other, r->f->d.vm_socket, "db");
	wait_for(r->file);
	snprintf(file, sizeof(file), "%s/08%s", r->dir, FILE_NAME + 2);
	wait_for(file);
	stop(r);
	peer_close(&other);
	unlink(file);
	restart(r);
	end(r);
}

/* A VM that goes while its state is being saved or restored disturbs nobody. */
static void goes_meanwhile(void **state)
{
	struct restart *r = start("hmmv", "--state-interval=1");

	(void)state;
	for (unsigned int i = 0; i < 20; i++) {
		connect_web(r, 5);
		window(r, true);
		stop(r);
		restart(r);
		connect_web(r, 5);
		peer_close(&r->f->web);
	}
	connect_web(r, 5);
	window(r, true);
	end(r);
}

static bool keeps(void *user, const char *name)
{
	(void)user;
	return !strncmp(name, "kept", 4);
}

static void dir_open(struct learned_dir *dir, char *top)
{
	static struct closer closer = { .pipe = -1 };

	assert_non_null(mkdtemp(top));
	assert_int_equal(learned_dir_open(dir, top, &closer, NULL), 0);
}

static void dir_close(struct learned_dir *dir)
{
	char path[64];

	snprintf(path, sizeof(path), "%s", dir->path);
	learned_dir_close(dir);
	assert_return_code(rmdir(path), errno);
}

/* Makes a file with @bytes that was written at @seconds of the clock. */
static void make_file(const struct learned_dir *dir, const char *name, off_t bytes, time_t seconds)
{
	const struct timespec times[2] = { { .tv_sec = seconds }, { .tv_sec = seconds } };
	int fd = openat(dir->fd, name, O_CREAT | O_WRONLY, 0600);

	assert_return_code(ftruncate(fd, bytes), errno);
	close(fd);
	assert_return_code(utimensat(dir->fd, name, times, 0), errno);
}

static bool dir_has(const struct learned_dir *dir, const char *name)
{
	return !faccessat(dir->fd, name, F_OK, 0);
}

/* The second sweep removes files of VMs that have gone, whatever the time; and nothing else. */
static void sweep(void **state)
{
	static const struct { const char *name; bool goes; } files[] = {
		{ "gone.learned", true }, { "gone.learned.new", true }, { "kept.learned", false },
		{ "other", false }, { ".learned", false },
	};
	/* Long ago; and when the clock was wrong. */
	static const time_t times[] = { 1000, INT32_MAX };
	char top[] = "/tmp/hmem-state-XXXXXX";
	struct learned_dir dir;

	(void)state;
	dir_open(&dir, top);
	for (size_t k = 0; k < 2; k++) {
		for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
			make_file(&dir, files[i].name, 0, times[k]);
		learned_dir_sweep(&dir, keeps, NULL);
		/* Since then, the VM was there again. */
		make_file(&dir, "back.learned", 0, times[k]);
		for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
			assert_true(dir_has(&dir, files[i].name));
		learned_dir_sweep(&dir, keeps, NULL);
		assert_true(dir_has(&dir, "back.learned"));
		for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
			assert_int_equal(dir_has(&dir, files[i].name), !files[i].goes);
			unlinkat(dir.fd, files[i].name, 0);
		}
		unlinkat(dir.fd, "back.learned", 0);
	}
	dir_close(&dir);
}

/* If not 0, no name can be removed, for this reason. */
static int unlinkat_error;

int __real_unlinkat(int fd, const char *name, int flags);
int __wrap_unlinkat(int fd, const char *name, int flags);

int __wrap_unlinkat(int fd, const char *name, int flags)
{
	errno = unlinkat_error;
	return unlinkat_error ? -1 : __real_unlinkat(fd, name, flags);
}

/* All files together have their bound: the oldest ones go, but none of a VM that is connected. */
static void room(void **state)
{
	char top[] = "/tmp/hmem-state-XXXXXX";
	struct hmem_err err;
	struct learned_dir dir;

	(void)state;
	dir_open(&dir, top);
	make_file(&dir, "kept.learned", 100, 1000);
	make_file(&dir, "old.learned", 100, 2000);
	make_file(&dir, "older.learned", 100, 1500);
	make_file(&dir, "young.learned", 100, 3000);
	make_file(&dir, "other", 10000, 1);
	assert_int_equal(learned_dir_make_room(&dir, 50, 450, keeps, NULL, &err), 0);
	assert_true(dir_has(&dir, "older.learned"));
	unlinkat_error = EROFS;
	assert_int_equal(learned_dir_make_room(&dir, 150, 450, keeps, NULL, &err), -EROFS);
	assert_non_null(strstr(err.msg, "older.learned: Read-only file system"));
	unlinkat_error = 0;
	assert_int_equal(learned_dir_make_room(&dir, 150, 450, keeps, NULL, &err), 0);
	assert_false(dir_has(&dir, "older.learned"));
	assert_true(dir_has(&dir, "old.learned"));
	assert_int_equal(learned_dir_make_room(&dir, 350, 450, keeps, NULL, &err), 0);
	assert_false(dir_has(&dir, "young.learned"));
	assert_int_equal(learned_dir_make_room(&dir, 351, 450, keeps, NULL, &err), -ENOSPC);
	assert_true(dir_has(&dir, "kept.learned"));
	assert_true(dir_has(&dir, "other"));
	unlinkat(dir.fd, "kept.learned", 0);
	unlinkat(dir.fd, "other", 0);
	dir_close(&dir);
}

/* A VM whose guest starts again and again does not fill the disk. */
static void boots_do_not_fill_the_disk(void **state)
{
	/* Room for two tables of 64 MiB, and so for about four files. */
	const char *const tables = "--max-tables=240K";
	struct restart *r = start("hmmv", tables);
	char command[128], names[4096];
	unsigned int files = 0;
	FILE *list;

	(void)state;
	r->args[3] = "--max-vms=2";
	for (uint32_t boot = 1; boot <= 12; boot++) {
		connect_web(r, boot);
		window(r, true);
		stop(r);
		restart(r);
	}
	assert_false(log_has(r, "is not saved"));
	snprintf(command, sizeof(command), "ls %s", r->dir);
	list = popen(command, "r");
	while (fgets(names, sizeof(names), list))
		files++;
	pclose(list);
	assert_in_range(files, 1, 6);
	snprintf(command, sizeof(command), "rm -f %s/*.learned", r->dir);
	assert_int_equal(system(command), 0);
	end(r);
}

/* A device can have any name, but a file's name has only harmless characters. */
static void names(void **state)
{
	const uint8_t uuid[16] = { 0xab, [15] = 0xcd };
	learned_name name;

	(void)state;
	learned_dir_name(uuid, "../../etc/x y", 0x12ab, name);
	assert_string_equal(name,
			    "ab000000-0000-0000-0000-0000000000cd-.._.._etc_x_y-000012ab.learned");
	/* A connected VM keeps its files, whatever the boot, but not those of a longer name. */
	learned_dir_name(uuid, "x", 0, name);
	assert_string_equal(name, "ab000000-0000-0000-0000-0000000000cd-x-");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(four_windows_are_enough),
		cmocka_unit_test(old_heat_is_not_used),
		cmocka_unit_test(reload_keeps_the_directory),
		cmocka_unit_test(restart_keeps_what_was_learned),
		cmocka_unit_test(another_boot_learns_anew),
		cmocka_unit_test(no_directory_no_file),
		cmocka_unit_test(bad_files_are_ignored),
		cmocka_unit_test(bad_directories_are_told),
		cmocka_unit_test(directory_is_made),
		cmocka_unit_test(no_room_on_disk),
		cmocka_unit_test(crash_keeps_what_was_saved),
		cmocka_unit_test(all_vms_are_saved),
		cmocka_unit_test(goes_meanwhile),
		cmocka_unit_test(sweep),
		cmocka_unit_test(room),
		cmocka_unit_test(boots_do_not_fill_the_disk),
		cmocka_unit_test(the_file_stays_until_it_is_read),
		cmocka_unit_test(a_second_signal_is_urgent),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests_name("restart", tests, NULL, NULL);
}
