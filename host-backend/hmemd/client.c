/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <string.h>

#include "client.h"
#include "numbers.h"

void client_reply(struct client *client, json *o, bool final)
{
	const char *text;

	json_object_object_add(o, "version", json_object_new_int(1));
	if (final)
		json_put_bool(o, "final", true);
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	if (text) {
		conn_send(&client->conn, text, strlen(text));
		conn_send(&client->conn, "\n", 1);
	} else {
		conn_drop(&client->conn, true, "no memory for an answer");
	}
	json_object_put(o);
}

void client_fail(struct client *client, const char *code, const char *fmt, ...)
{
	json *o = json_object_new_object(), *e = json_object_new_object();
	char msg[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	json_put_str(e, "code", code);
	json_put_str(e, "message", msg);
	json_object_object_add(o, "error", e);
	client_reply(client, o, true);
}

static bool has_uuid(const struct vm *vm, const char *uuid)
{
	char text[37];

	return vm_has_uuid(vm) && !strcasecmp(hmem_format_uuid(vm->hello.uuid, text), uuid);
}

struct vm *client_find_vm(struct client *client, json *req)
{
	const char *name = json_get_str(req, "vm");
	struct hmemd *d = client->d;
	struct vm *vm, *only = NULL, *by_uuid = NULL;
	unsigned int num = 0, num_by_uuid = 0;

	TAILQ_FOREACH(vm, &d->vms, link) {
		if (!vm_ready(vm))
			continue;
		if (name && !strcmp(vm->name, name))
			return vm;
		if (name && has_uuid(vm, name)) {
			by_uuid = vm;
			num_by_uuid++;
		}
		only = vm;
		num++;
	}
	if (num_by_uuid == 1)
		return by_uuid;
	if (num_by_uuid)
		client_fail(client, "which-vm", "%u devices have the UUID '%.80s': use a name of "
			    "hmemctl list", num_by_uuid, name);
	else if (name)
		client_fail(client, "no-such-vm", "no VM '%.80s' is connected: see "
			    "hmemctl list", name);
	else if (!num)
		client_fail(client, "no-such-vm", "no VM is connected: start QEMU with "
			    "-chardev socket,id=hmem,path=%s,reconnect-ms=1000 -device "
			    "virtio-hmem,chardev=hmem,...", d->vm_socket);
	else if (num > 1)
		client_fail(client, "which-vm", "%u VMs are connected: name one, see "
			    "hmemctl list", num);
	else
		return only;
	return NULL;
}
