/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capacity.h"
#include "files.h"
#include "hmem_trackers.h"
#include "log.h"
#include "service.h"
#include "settings.h"
#include "tracking.h"
#include "vm.h"

/* --policy NAME[,KEY=VALUE...] */
static int set_policy(struct hmem_config *c, const char *text, struct hmem_err *err)
{
	char *copy = strdup(text), *save, *word, *value;
	struct hmem_err why = { "no name" };
	int ret = -EINVAL;

	if (!copy)
		return hmem_fail(err, ENOMEM, "no memory for the configuration");
	word = strtok_r(copy, ",", &save);
	if (word)
		ret = hmem_policy_set(&c->policy, "name", word, &why);
	while (!ret && (word = strtok_r(NULL, ",", &save))) {
		value = strchr(word, '=');
		if (!value) {
			ret = hmem_fail(&why, EINVAL, "'%.64s' is not KEY=VALUE", word);
			break;
		}
		*value++ = '\0';
		ret = hmem_policy_set(&c->policy, word, value, &why);
	}
	free(copy);
	return ret < 0 ? hmem_fail(err, -ret, "--policy: %.200s", why.msg) : 0;
}

static int set_options(struct hmem_config *c, const struct settings *s,
		       struct hmem_err *err)
{
	struct hmem_err why;
	int ret = 0;

	for (unsigned int i = 0; i < s->num && !ret; i++) {
		if (!strcmp(s->options[i].key, "policy")) {
			ret = set_policy(c, s->options[i].value, err);
			continue;
		}
		ret = hmem_config_set(c, s->options[i].key, s->options[i].value, &why);
		if (ret < 0)
			hmem_fail(err, -ret, "--%.200s", why.msg);
	}
	return ret;
}

int settings_add(struct settings *s, const char *key, const char *value,
		 struct hmem_err *err)
{
	const struct settings one = { .options = { { key, value } }, .num = 1 };
	struct hmem_config scratch;
	int ret;

	if (s->num == sizeof(s->options) / sizeof(s->options[0]))
		return hmem_fail(err, E2BIG, "too many options");
	hmem_config_init(&scratch, 0);
	ret = set_options(&scratch, &one, err);
	hmem_config_free(&scratch);
	if (!ret)
		s->options[s->num++] = one.options[0];
	return ret;
}

static uint64_t host_memory(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
}

int settings_load(struct hmemd *d, struct hmem_err *err)
{
	const struct settings *s = &d->settings;
	struct hmem_config config;
	int ret;

	hmem_config_init(&config, host_memory());
	ret = hmem_config_read(&config, s->file, s->file_given, err);
	if (!ret)
		ret = set_options(&config, s, err);
	if (!ret)
		ret = hmem_config_check(&config, err);
	if (ret < 0) {
		hmem_config_free(&config);
		return ret;
	}
	if (d->lockstep.min)
		config.policy.lockstep = 1;
	hmem_config_free(&d->config);
	d->config = config;
	d->host_trackers.helper = config.trackers_socket ? config.trackers_socket :
				  HMEM_TRACKERS_SOCKET;
	if (config.verbose)
		log_set_level(LOG_DEBUG);
	else
		log_set_level(LOG_INFO);
	return 0;
}

int settings_listening(struct hmemd *d, struct hmem_err *err)
{
	struct settings *s = &d->settings;
	const struct hmem_config *c = &d->config;

	s->socket = c->socket ? strdup(c->socket) : NULL;
	s->vm_socket = c->vm_socket ? strdup(c->vm_socket) : NULL;
	s->monitor_socket = c->monitor_socket ? strdup(c->monitor_socket) : NULL;
	if (!s->socket != !c->socket || !s->vm_socket != !c->vm_socket ||
	    !s->monitor_socket != !c->monitor_socket)
		return hmem_fail(err, ENOMEM, "no memory for the configuration");
	return 0;
}

void settings_free(struct settings *s)
{
	free(s->socket);
	free(s->vm_socket);
	free(s->monitor_socket);
}

/* Was a configured socket added, removed or changed?  Those that systemd passes stay. */
static bool differs(const struct listener *l, const char *now, const char *before)
{
	return !l->adopted && (now ? !before || strcmp(now, before) : before != NULL);
}

int settings_reload(struct hmemd *d, const struct conn *by, struct hmem_err *err)
{
	struct vm *vm;
	int ret;

	service_reloading();
	ret = settings_load(d, err);
	service_ready();
	d->settings.failed = ret < 0;
	if (ret < 0) {
		events_tell(&d->events, LOG_ERR, "reload-failed", NULL, by,
			    "the configuration stays as it was: %s", err->msg);
		return ret;
	}
	if (differs(&d->control_listener, d->config.socket, d->settings.socket) ||
	    differs(&d->vm_listener, d->config.vm_socket, d->settings.vm_socket) ||
	    differs(&d->monitor_listener, d->config.monitor_socket,
		    d->settings.monitor_socket) ||
	    http_differs(&d->http, &d->config))
		log_msg(LOG_WARN, "the configuration has other sockets: start hmemd again to "
			"have it listen there");
	events_tell(&d->events, LOG_INFO, "reloaded", NULL, by,
		    "the configuration was read again");
	TAILQ_FOREACH(vm, &d->vms, link) {
		if (vm->have_hello)
			settings_apply(vm);
	}
	return 0;
}

static void configured(const struct vm *vm, struct hmem_vm_config *config)
{
	hmem_config_vm(&vm->d->config, vm->hello.vm, vm->hello.uuid, config);
}

static void note_place(struct vm *vm, const char *file)
{
	snprintf(vm->policy_from, sizeof(vm->policy_from), "%s", file ? file :
		 "the command line or default");
}

void settings_init_vm(struct vm *vm, struct hmem_policy *policy)
{
	struct hmem_vm_config config;

	configured(vm, &config);
	note_place(vm, config.from);
	*policy = config.policy;
	if (vm_kept_policy(vm, policy)) {
		note_place(vm, POLICY_BY_HAND);
		log_msg(LOG_INFO, "vm '%s': policy %s, as it was set before", vm->name,
			hmem_policy_name(policy->kind));
	}
}

void settings_apply(struct vm *vm)
{
	struct hmem_vm_config config;

	vm->apply_settings = vm->pass;
	if (vm->apply_settings)
		return;
	configured(vm, &config);
	capacity_configure(vm, &config);
	pooling_configure(vm, &config);
	trading_configure(vm, &config);
	if (!strcmp(vm->policy_from, POLICY_BY_HAND))
		return;
	note_place(vm, config.from);
	if (!memcmp(&config.policy, &vm->placer.policy, sizeof(config.policy)))
		return;
	hmem_placer_set_policy(&vm->placer, &config.policy);
	tracking_update(vm);
	vm_tell(vm, LOG_INFO, "policy", NULL, "policy %s, from %s",
		hmem_policy_name(config.policy.kind), vm->policy_from);
}

void settings_again(struct vm *vm)
{
	if (vm->apply_settings)
		settings_apply(vm);
}
