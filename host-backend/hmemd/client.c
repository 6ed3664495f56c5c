/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "json_text.h"
#include "numbers.h"

void client_reply(struct client *client, json *o, bool final)
{
	size_t len;
	char *text;

	json_put_u64(o, "version", 1);
	if (final)
		json_put_bool(o, "final", true);
	text = json_text(o, &len);
	if (text) {
		conn_send(&client->conn, text, len);
		conn_send(&client->conn, "\n", 1);
	} else {
		conn_drop(&client->conn, true, "no memory for an answer");
	}
	free(text);
	json_object_put(o);
}

void client_fail(struct client *client, const char *code, const char *fmt, ...)
{
	json *o = json_new_object(), *e = json_new_object();
	char msg[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	json_put_str(e, "code", code);
	json_put_str(e, "message", msg);
	json_add(o, "error", e);
	client_reply(client, o, true);
}

static bool is_called(const struct vm *vm, const char *name)
{
	char text[37];

	return !strcmp(vm->name, name) ||
	       (vm_has_uuid(vm) && !strcasecmp(hmem_format_uuid(vm->hello.uuid, text), name));
}

/*
 * The last VM with this name or UUID (NULL: any VM), and the number of such VMs.  A VM can claim
 * another one's UUID, also as its name, so there can be more than one.
 */
static struct vm *find(struct hmemd *d, const char *name, unsigned int *num)
{
	struct vm *vm, *found = NULL;

	*num = 0;
	TAILQ_FOREACH(vm, &d->vms, link) {
		if (!vm_ready(vm) || (name && !is_called(vm, name)))
			continue;
		found = vm;
		++*num;
	}
	return found;
}

static void fail_which(struct client *client, unsigned int num, const char *name)
{
	client_fail(client, "which-vm", "%u VMs have the name or the UUID '%.80s': use another "
		    "name of hmemctl list", num, name);
}

bool client_vm_name(struct client *client, json *req, const char **name)
{
	unsigned int num = 0;
	struct vm *vm;

	*name = json_get_str(req, "vm");
	vm = *name ? find(client->d, *name, &num) : NULL;
	if (num > 1) {
		fail_which(client, num, *name);
		return false;
	}
	if (vm)
		*name = vm->name;
	return true;
}

struct vm *client_find_vm(struct client *client, json *req)
{
	const char *name = json_get_str(req, "vm");
	struct hmemd *d = client->d;
	unsigned int num;
	struct vm *vm = find(d, name, &num);

	if (num == 1)
		return vm;
	if (name && num)
		fail_which(client, num, name);
	else if (name)
		client_fail(client, "no-such-vm", "no VM '%.80s' is connected: see "
			    "hmemctl list", name);
	else if (!num)
		client_fail(client, "no-such-vm", "no VM is connected: start QEMU with "
			    "-chardev socket,id=hmem,path=%s,reconnect-ms=1000 -device "
			    "virtio-hmem,chardev=hmem,...", d->vm_socket);
	else
		client_fail(client, "which-vm", "%u VMs are connected: name one, see "
			    "hmemctl list", num);
	return NULL;
}
