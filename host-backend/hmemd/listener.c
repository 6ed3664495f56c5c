/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "address.h"
#include "listener.h"
#include "log.h"

/*
 * If hmemd was killed, its process that closes files still holds the lock and the socket
 * for a moment, or for seconds on a busy host.  So try for five seconds before giving up.
 */
#define LEFT_TRIES	500
#define LEFT_US		10000

int listener_default_dir(char *buf, size_t size, struct hmem_err *err)
{
	const char *run = geteuid() ? getenv("XDG_RUNTIME_DIR") : "/run";

	if (!run || !*run)
		return hmem_fail(err, ENOENT, "XDG_RUNTIME_DIR is not set: name the "
				 "sockets with --vm-socket and --socket");
	snprintf(buf, size, "%s/hmemd", run);
	if (mkdir(buf, geteuid() ? 0700 : 0755) < 0 && errno != EEXIST)
		return hmem_fail(err, errno, "cannot make %.150s: %s", buf,
				 strerror(errno));
	return 0;
}

static void accept_next(struct listener *l)
{
	struct io_uring_sqe *sqe = loop_sqe(l->loop);

	io_uring_prep_accept(sqe, l->fd, NULL, NULL, SOCK_CLOEXEC);
	loop_queue(l->loop, &l->io, IO_ACCEPT, sqe);
}

static void accepted(struct io *io, enum io_op op, int res)
{
	struct listener *l = (struct listener *)io;

	if (res >= 0 && l->loop->stop)
		close(res);
	else if (res >= 0)
		l->accept(l->user, res);
	else if (l->loop->stop)
		return;
	else if (!io_is_normal(op, res))
		log_msg(LOG_WARN, "%s: %s: %s", l->path, io_op_name(op),
			strerror(-res));
	l->paused = res == -EMFILE || res == -ENFILE || res == -ENOMEM ||
		    res == -ENOBUFS;
	if (!l->loop->stop && !l->paused)
		accept_next(l);
}

void listener_resume(struct listener *l)
{
	if (l->paused)
		accept_next(l);
	l->paused = false;
}

/* The owner of the lock owns the socket, so two that start together cannot race. */
static int lock(struct listener *l, struct hmem_err *err)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 8];
	int ret = -1;

	snprintf(path, sizeof(path), "%s.lock", l->path);
	l->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (l->lock_fd < 0)
		return hmem_fail(err, errno, "cannot open %.150s: %s", path,
				 strerror(errno));
	for (unsigned int i = 0; i < LEFT_TRIES && ret < 0; i++) {
		ret = flock(l->lock_fd, LOCK_EX | LOCK_NB);
		if (ret < 0)
			usleep(LEFT_US);
	}
	if (ret < 0)
		return hmem_fail(err, EBUSY, "another hmemd has %.150s: stop it, or "
				 "name another socket", l->path);
	return 0;
}

/* Somebody may have removed a lock file: check if someone listens all the same. */
static bool has_owner(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool owner = fd >= 0 && (!connect(fd, (const struct sockaddr *)addr,
					  sizeof(*addr)) || errno == EAGAIN);

	if (fd >= 0)
		close(fd);
	return owner;
}

/*
 * A killed hmemd can lose its lock before its socket, so check for a listener several
 * times.  A running hmemd must not be disturbed, so check in a tenth of the tries only.
 */
static bool keeps_owner(const struct sockaddr_un *addr)
{
	for (unsigned int i = 0; i < LEFT_TRIES / 10; i++) {
		if (!has_owner(addr))
			return false;
		usleep(10 * LEFT_US);
	}
	return true;
}

static int bind_path(struct listener *l, mode_t mode, struct hmem_err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct stat st;
	mode_t mask;
	int ret;

	strcpy(addr.sun_path, l->path);
	if (!lstat(l->path, &st)) {
		if (!S_ISSOCK(st.st_mode))
			return hmem_fail(err, EEXIST, "%.150s is there and is no socket: "
					 "remove it, or name another", l->path);
		if (keeps_owner(&addr))
			return hmem_fail(err, EBUSY, "someone listens on %.150s, although "
					 "the lock file is free: stop that, or name "
					 "another socket", l->path);
		unlink(l->path);
	}
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return hmem_fail(err, errno, "no socket: %s", strerror(errno));
	mask = umask(0777 & ~mode);
	ret = bind(l->fd, (struct sockaddr *)&addr, sizeof(addr));
	umask(mask);
	if (ret < 0 || listen(l->fd, 64) < 0)
		return hmem_fail(err, errno, "cannot listen on %.150s: %s", l->path,
				 strerror(errno));
	return 0;
}

static void init(struct listener *l, struct loop *loop, const char *path,
		 void (*accept)(void *user, int fd), void *user)
{
	*l = (struct listener) {
		.io.complete = accepted,
		.loop = loop,
		.path = path,
		.fd = -1,
		.lock_fd = -1,
		.accept = accept,
		.user = user,
	};
}

static int begin(struct listener *l, struct hmem_err *err)
{
	int ret = loop_add(l->loop, &l->io);

	if (ret)
		return hmem_fail(err, -ret, "no memory");
	accept_next(l);
	return 0;
}

int listener_adopt(struct listener *l, struct loop *loop, int fd, bool tcp, char *path,
		   size_t size, void (*accept)(void *user, int fd), void *user,
		   struct hmem_err *err)
{
	struct sockaddr_storage addr = { 0 };
	const struct sockaddr_un *un = (const void *)&addr;
	socklen_t len = sizeof(addr);
	int listens = 0;
	socklen_t listens_len = sizeof(listens);

	init(l, loop, path, accept, user);
	l->adopted = true;
	if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_len) < 0 ||
	    !listens || !hmem_is_local(&addr) || (addr.ss_family != AF_UNIX && !tcp))
		return hmem_fail(err, EINVAL, "descriptor %d, which was passed to hmemd, is no "
				 "Unix socket%s that listens: see hmemd's .socket units", fd,
				 tcp ? ", and no TCP socket of the loopback interface," : "");
	if (addr.ss_family == AF_UNIX)
		snprintf(path, size, "%.*s", (int)sizeof(un->sun_path), un->sun_path);
	else
		snprintf(path, size, "tcp");
	l->fd = fd;
	return begin(l, err);
}

int listener_open_tcp(struct listener *l, struct loop *loop, const char *address,
		      void (*accept)(void *user, int fd), void *user, struct hmem_err *err)
{
	struct sockaddr_storage addr;
	const int on = 1;
	socklen_t len;
	int ret;

	init(l, loop, address, accept, user);
	ret = hmem_loopback_parse(address, &addr, &len, err);
	if (ret < 0)
		return ret;
	l->fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* A connection of the last hmemd may not have ended for TCP. */
	if (l->fd < 0 ||
	    setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(l->fd, (struct sockaddr *)&addr, len) < 0 || listen(l->fd, 64) < 0)
		ret = hmem_fail(err, errno, "cannot listen on %.100s: %s", address,
				strerror(errno));
	else
		ret = begin(l, err);
	if (ret < 0 && l->fd >= 0) {
		close(l->fd);
		l->fd = -1;
	}
	return ret;
}

int listener_open(struct listener *l, struct loop *loop, const char *path,
		  mode_t mode, void (*accept)(void *user, int fd), void *user,
		  struct hmem_err *err)
{
	int ret;

	init(l, loop, path, accept, user);
	if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return hmem_fail(err, ENAMETOOLONG, "the socket's path is too long: "
				 "%.150s", path);
	ret = lock(l, err);
	if (!ret)
		ret = bind_path(l, mode, err);
	if (!ret)
		ret = begin(l, err);
	if (ret < 0) {
		if (l->fd >= 0)
			close(l->fd);
		if (l->lock_fd >= 0)
			close(l->lock_fd);
		l->fd = -1;
	}
	return ret;
}

void listener_shut(struct listener *l)
{
	/* Whoever passed an adopted socket has others accept from it later. */
	if (l->fd < 0 || l->adopted)
		return;
	if (l->lock_fd >= 0)
		unlink(l->path);
	/* This ends requests that the kernel still has. */
	shutdown(l->fd, SHUT_RDWR);
}

void listener_close(struct listener *l)
{
	if (l->fd < 0)
		return;
	close(l->fd);
	if (l->lock_fd >= 0)
		close(l->lock_fd);
	l->fd = -1;
}
