/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "conn.h"
#include "log.h"

#define IN_START	4096

static void conn_complete(struct io *io, enum io_op op, int res);
static void conn_turn(struct turn *turn);

static void receive(struct conn *c)
{
	struct io_uring_sqe *sqe = loop_sqe(c->loop);

	c->iov.iov_base = c->in + c->in_len;
	c->iov.iov_len = c->in_size - c->in_len;
	c->msg = (struct msghdr) { .msg_iov = &c->iov, .msg_iovlen = 1 };
	/* Accept no descriptors while too many others wait to be closed. */
	if (c->closer && !closer_is_full(c->closer)) {
		c->msg.msg_control = c->control;
		c->msg.msg_controllen = sizeof(c->control);
	}
	io_uring_prep_recvmsg(sqe, c->fd, &c->msg, MSG_CMSG_CLOEXEC);
	loop_queue(c->loop, &c->io, IO_RECV, sqe);
	c->receiving = true;
}

void conn_peer(int fd, struct ucred *cred)
{
	socklen_t len = sizeof(*cred);

	*cred = (struct ucred) { .uid = -1 };
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, cred, &len);
}

int conn_init(struct conn *c, struct loop *loop, int fd)
{
	struct ucred cred;
	int ret = -ENOMEM;

	c->loop = loop;
	c->fd = fd;
	c->passed_fd = -1;
	c->io.complete = conn_complete;
	c->turn.take = conn_turn;
	conn_peer(fd, &cred);
	c->pid = cred.pid;
	c->uid = cred.uid;
	c->in_size = c->in_max < IN_START ? c->in_max : IN_START;
	c->in = malloc(c->in_size);
	if (c->in)
		ret = loop_add(loop, &c->io);
	if (ret < 0) {
		free(c->in);
		close(fd);
		return ret;
	}
	loop->num_conns++;
	receive(c);
	return 0;
}

static void release(struct conn *c)
{
	int unread = 0;

	loop_remove(c->loop, &c->io);
	c->loop->num_conns--;
	if (c->passed_fd >= 0)
		closer_close(c->closer, &c->passed_fd, 1);
	/* Unreceived bytes may contain descriptors, too, which the close then closes. */
	if (c->closer && (ioctl(c->fd, FIONREAD, &unread) < 0 || unread))
		closer_close(c->closer, &c->fd, 1);
	else
		close(c->fd);
	free(c->in);
	free(c->out);
	free(c->sending);
	c->ops->release(c);
}

bool conn_has_ended(const struct conn *c)
{
	struct pollfd pfd = { .fd = c->fd };

	return poll(&pfd, 1, 0) == 1 && pfd.revents & POLLHUP;
}

void conn_drop(struct conn *c, bool fault, const char *why)
{
	if (c->closing)
		return;
	c->closing = true;
	/* This completes all requests that the kernel still has of this connection. */
	shutdown(c->fd, SHUT_RDWR);
	c->ops->closed(c, why, fault);
	loop_again(c->loop, &c->turn);
}

void conn_consume(struct conn *c, size_t len)
{
	c->in_at += len;
}

void conn_resume(struct conn *c)
{
	if (c->later)
		loop_again(c->loop, &c->turn);
	c->later = false;
}

size_t conn_queued(const struct conn *c)
{
	return c->out_len + (c->sending_len - c->sending_at);
}

static void flush(struct conn *c)
{
	struct io_uring_sqe *sqe;

	if (c->sending_at == c->sending_len) {
		char *buf = c->sending;
		size_t size = c->sending_size;

		if (!c->out_len)
			return;
		c->sending = c->out;
		c->sending_size = c->out_size;
		c->sending_len = c->out_len;
		c->sending_at = 0;
		c->out = buf;
		c->out_size = size;
		c->out_len = 0;
	}
	sqe = loop_sqe(c->loop);
	io_uring_prep_send(sqe, c->fd, c->sending + c->sending_at,
			   c->sending_len - c->sending_at, MSG_NOSIGNAL);
	loop_queue(c->loop, &c->io, IO_SEND, sqe);
}

void conn_send(struct conn *c, const void *data, size_t len)
{
	bool idle = c->sending_at == c->sending_len && !c->out_len;

	if (c->closing)
		return;
	if (conn_queued(c) + len > c->out_max) {
		conn_drop(c, true, "the peer does not read its messages");
		return;
	}
	if (c->out_len + len > c->out_size) {
		size_t size = c->out_size ? c->out_size : IN_START;
		char *buf;

		while (size < c->out_len + len)
			size *= 2;
		buf = realloc(c->out, size);
		if (!buf) {
			conn_drop(c, true, "no memory for messages to the peer");
			return;
		}
		c->out = buf;
		c->out_size = size;
	}
	memcpy(c->out + c->out_len, data, len);
	c->out_len += len;
	if (idle)
		flush(c);
}

/* Keep one file descriptor for the user; more than one is a fault. */
static int take_fds(struct conn *c, struct hmem_err *err)
{
	int extra[CONN_MAX_FDS];
	unsigned int num_extra = 0;

	for (struct cmsghdr *m = CMSG_FIRSTHDR(&c->msg); m;
	     m = CMSG_NXTHDR(&c->msg, m)) {
		unsigned int num;

		if (m->cmsg_level != SOL_SOCKET || m->cmsg_type != SCM_RIGHTS)
			continue;
		num = (m->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (unsigned int i = 0; i < num; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(m) + i * sizeof(int), sizeof(fd));
			if (c->passed_fd < 0)
				c->passed_fd = fd;
			else
				extra[num_extra++] = fd;
		}
	}
	if (num_extra)
		closer_close(c->closer, extra, num_extra);
	if (num_extra)
		return hmem_fail(err, EPROTO, "it sent more file descriptors than one");
	if (c->msg.msg_flags & MSG_CTRUNC && closer_is_full(c->closer))
		return hmem_fail(err, EMFILE, "it sent a file descriptor, but none is taken "
				 "while %u that were sent before cannot be closed",
				 CLOSER_MAX);
	if (c->msg.msg_flags & MSG_CTRUNC)
		return hmem_fail(err, EMFILE, "it sent a file descriptor, but hmemd has no "
				 "room for more: see the limit on open files");
	return 0;
}

/* Receive more bytes if there is room for them. */
static void more(struct conn *c)
{
	if (c->receiving)
		return;
	if (c->in_at) {
		c->in_len -= c->in_at;
		memmove(c->in, c->in + c->in_at, c->in_len);
		c->in_at = 0;
	}
	if (c->in_len == c->in_size) {
		size_t size = c->in_size * 2 < c->in_max ? c->in_size * 2 : c->in_max;
		char *buf;

		if (c->later)
			return;
		buf = size > c->in_size ? realloc(c->in, size) : NULL;
		if (!buf) {
			conn_drop(c, true, "a message is too long");
			return;
		}
		c->in = buf;
		c->in_size = size;
	}
	receive(c);
}

static void conn_turn(struct turn *turn)
{
	struct conn *c = (struct conn *)((char *)turn - offsetof(struct conn, turn));
	struct hmem_err err;
	int ret;

	if (c->closing) {
		if (!c->io.pending)
			release(c);
		return;
	}
	ret = c->ops->received(c, &err);
	if (c->closing)
		return;
	if (ret < 0) {
		conn_drop(c, true, err.msg);
		return;
	}
	c->later = ret == CONN_LATER;
	if (ret == CONN_AGAIN)
		loop_again(c->loop, &c->turn);
	else
		more(c);
}

static void received(struct conn *c, int res)
{
	struct hmem_err err;

	if (c->closer && res >= 0 && take_fds(c, &err) < 0) {
		conn_drop(c, true, err.msg);
		return;
	}
	if (res <= 0) {
		conn_drop(c, !io_is_normal(IO_RECV, res),
			  res ? strerror(-res) : "closed by the peer");
		return;
	}
	c->in_len += res;
	if (c->later)
		more(c);
	else
		loop_again(c->loop, &c->turn);
}

static void sent(struct conn *c, int res)
{
	if (res <= 0) {
		conn_drop(c, !io_is_normal(IO_SEND, res),
			  res ? strerror(-res) : "nothing can be sent");
		return;
	}
	c->sending_at += res;
	flush(c);
	if (c->ops->sent && !conn_queued(c))
		c->ops->sent(c);
}

static void conn_complete(struct io *io, enum io_op op, int res)
{
	struct conn *c = (struct conn *)io;

	if (op == IO_RECV)
		c->receiving = false;
	if (!c->closing) {
		if (op == IO_RECV)
			received(c, res);
		else
			sent(c, res);
	} else {
		if (op == IO_RECV && res >= 0 && c->closer)
			take_fds(c, NULL);
		loop_again(c->loop, &c->turn);
	}
}
