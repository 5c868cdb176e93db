/* Sources and files of local pods. A workload that the plugin told beats its Pod object: the plugin
 * knows first, and knows the addresses it gave. */
#include "felix/workloads.h"

#include <dirent.h>
#include <errno.h>
#include <sha1.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/table.h"

LOG_MODULE("workloads");

struct workloads {
    struct workloads_spec spec;
    char *dir;
    char *prefix;
    struct table *told;                /* "container ifname" -> struct workload */
    struct table *from_api;            /* host interface -> struct workload */
    VEC(struct proto_request) unended; /* removals of an earlier run */
};

void
workload_ifname(const char *prefix, const char *ns, const char *pod, char ret_ifname[16])
{
    AUTO(str) struct str name = STR_INIT;
    char hex[SHA1_DIGEST_STRING_LENGTH];

    str_addf(&name, "%s.%s", ns, pod);
    SHA1Data((const uint8_t *)name.text, name.len, hex);
    snprintf(ret_ifname, 16, "%.4s%.11s", prefix, hex);
}

static void
workload_free(void *value)
{
    struct workload *workload = value;

    if (workload) {
        free(workload->container_id);
        free(workload->pod_ifname);
        free(workload->network);
        free(workload->ns);
        free(workload->pod);
        free(workload);
    }
}

static char *
copy_or_null(const char *text)
{
    return text ? xstrdup(text) : NULL;
}

static struct workload *
workload_of_request(const struct proto_request *request)
{
    struct workload *workload = NEW(struct workload);

    snprintf(workload->ifname, sizeof workload->ifname, "%s", request->host_ifname);
    for (size_t i = 0; i < request->ips.n && i < ARRAY_LEN(workload->ips); i++) {
        workload->ips[workload->n_ips++] = request->ips.items[i];
    }
    workload->container_id = xstrdup(request->container_id);
    workload->pod_ifname = xstrdup(request->ifname);
    workload->network = copy_or_null(request->network);
    workload->ns = copy_or_null(request->namespace);
    workload->pod = copy_or_null(request->pod);
    return workload;
}

static void
add_key(struct str *key, const char *container_id, const char *pod_ifname)
{
    str_addf(key, "%s %s", container_id, pod_ifname);
}

static void
add_path(struct str *path, const struct workloads *workloads, const char *container_id,
         const char *pod_ifname)
{
    /* Both are words without slashes: lib/proto has checked. */
    str_addf(path, "%s/%s %s", workloads->dir, container_id, pod_ifname);
}

static void
load_file(struct workloads *workloads, const char *name)
{
    AUTO(str) struct str path = STR_INIT;
    AUTO(str) struct str text = STR_INIT;
    AUTO(str) struct str key = STR_INIT;
    struct proto_request request;
    struct err err = ERR_INIT;

    str_addf(&path, "%s/%s", workloads->dir, name);
    if (!file_read(path.text, PROTO_LINE_MAX, &text, &err)) {
        log_warn("%s; the pod it describes is not known until its object is seen", err.text);
        return;
    }
    if (!proto_request_read(str_text(&text), text.len, &request, &err)) {
        log_warn("%s: %s; the pod it describes is not known until its object is seen", path.text,
                 err.text);
        return;
    }
    if (request.op == PROTO_POD_ADD) {
        add_key(&key, request.container_id, request.ifname);
        workload_free(table_put(workloads->told, key.text, workload_of_request(&request)));
    } else if (request.op == PROTO_POD_DEL) {
        VEC_PUSH(&workloads->unended, request);
        return;
    }
    proto_request_done(&request);
}

bool
workloads_new(const struct workloads_spec *spec, struct workloads **ret_workloads, struct err *err)
{
    if (!file_make_dir(spec->dir, 0700, err)) {
        return false;
    }
    DIR *dir = opendir(spec->dir);
    if (!dir) {
        return err_sys(err, errno, "%s", spec->dir);
    }
    struct workloads *workloads = NEW(struct workloads);
    workloads->spec = *spec;
    workloads->dir = xstrdup(spec->dir);
    workloads->prefix = xstrdup(spec->prefix);
    workloads->told = table_new();
    workloads->from_api = table_new();
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (entry->d_name[0] != '.' && !strstr(entry->d_name, ".new.")) {
            load_file(workloads, entry->d_name);
        }
    }
    closedir(dir);
    *ret_workloads = workloads;
    return true;
}

void
workloads_free(struct workloads *workloads)
{
    if (workloads) {
        table_free(workloads->told, workload_free);
        table_free(workloads->from_api, workload_free);
        VEC_FOREACH (&workloads->unended, removal) {
            proto_request_done(removal);
        }
        VEC_DONE(&workloads->unended);
        free(workloads->dir);
        free(workloads->prefix);
        free(workloads);
    }
}

void
workloads_replay(struct workloads *workloads)
{
    TABLE_FOREACH (workloads->told, entry) {
        workloads->spec.put(workloads->spec.owner, table_value(entry));
    }
}

static const struct workload *
told_for_ifname(const struct workloads *workloads, const char *ifname)
{
    TABLE_FOREACH (workloads->told, entry) {
        const struct workload *workload = table_value(entry);
        if (strcmp(workload->ifname, ifname) == 0) {
            return workload;
        }
    }
    return NULL;
}

/* What belongs to an interface after something about it changed. */
static void
settle(struct workloads *workloads, const char *ifname)
{
    const struct workload *workload = told_for_ifname(workloads, ifname);

    if (!workload) {
        workload = table_get(workloads->from_api, ifname);
    }
    if (workload) {
        workloads->spec.put(workloads->spec.owner, workload);
    } else {
        workloads->spec.removed(workloads->spec.owner, ifname);
    }
}

static struct workload *
take_told(struct workloads *workloads, const char *container_id, const char *pod_ifname)
{
    AUTO(str) struct str key = STR_INIT;

    add_key(&key, container_id, pod_ifname);
    return table_take(workloads->told, key.text);
}

/* Without a word to anybody: another one has its interface. */
static void
forget(struct workloads *workloads, const char *container_id, const char *pod_ifname)
{
    AUTO(str) struct str path = STR_INIT;

    add_path(&path, workloads, container_id, pod_ifname);
    unlink(path.text);
    workload_free(take_told(workloads, container_id, pod_ifname));
}

bool
workloads_add(struct workloads *workloads, const struct proto_request *request, struct err *err)
{
    AUTO(str) struct str path = STR_INIT;
    AUTO(str) struct str text = STR_INIT;
    AUTO(str) struct str key = STR_INIT;

    if (request->ips.n > ARRAY_LEN(((struct workload *)0)->ips)) {
        return err_set(err, "ips: more than %zu addresses", ARRAY_LEN(((struct workload *)0)->ips));
    }
    if (strncmp(request->host_ifname, workloads->prefix, strlen(workloads->prefix)) != 0) {
        return err_set(err, "host_ifname: '%s' does not begin with %s", request->host_ifname,
                       workloads->prefix);
    }
    add_path(&path, workloads, request->container_id, request->ifname);
    add_key(&key, request->container_id, request->ifname);
    proto_request_write(request, &text);
    if (!file_replace(path.text, &text, 0600, err)) {
        return false;
    }
    struct workload *workload = workload_of_request(request);
    /* A sandbox that was made anew has the same interface: the old one has lost it. */
    const struct workload *old = told_for_ifname(workloads, workload->ifname);
    if (old && strcmp(old->container_id, workload->container_id) != 0) {
        forget(workloads, old->container_id, old->pod_ifname);
    }
    workload_free(table_put(workloads->told, key.text, workload));
    settle(workloads, workload->ifname);
    return true;
}

const struct workload *
workloads_find(const struct workloads *workloads, const char *container_id, const char *pod_ifname)
{
    AUTO(str) struct str key = STR_INIT;

    add_key(&key, container_id, pod_ifname);
    return table_get(workloads->told, key.text);
}

void
workloads_remove(struct workloads *workloads, const struct proto_request *removal)
{
    AUTO(str) struct str path = STR_INIT;
    AUTO(str) struct str text = STR_INIT;
    struct err err = ERR_INIT;

    add_path(&path, workloads, removal->container_id, removal->ifname);
    proto_request_write(removal, &text);
    if (!file_replace(path.text, &text, 0600, &err)) {
        log_warn("%s; if felix is killed now, interface %s may be left over", err.text,
                 removal->host_ifname);
        unlink(path.text);
    }
    struct workload *workload = take_told(workloads, removal->container_id, removal->ifname);
    if (!workload) {
        return;
    }
    /* The Pod object lives on for a while after its sandbox; its addresses must not come back. */
    if (!told_for_ifname(workloads, workload->ifname)) {
        workload_free(table_take(workloads->from_api, workload->ifname));
    }
    settle(workloads, workload->ifname);
    workload_free(workload);
}

void
workloads_removed(struct workloads *workloads, const char *container_id, const char *pod_ifname)
{
    AUTO(str) struct str path = STR_INIT;

    /* Unless it was added again meanwhile: then the file is that of the living. */
    if (!workloads_find(workloads, container_id, pod_ifname)) {
        add_path(&path, workloads, container_id, pod_ifname);
        unlink(path.text);
    }
}

void
workloads_resume(struct workloads *workloads,
                 void (*each)(void *owner, const struct proto_request *removal), void *owner)
{
    VEC_FOREACH (&workloads->unended, removal) {
        each(owner, removal);
        proto_request_done(removal);
    }
    workloads->unended.n = 0;
}

/* The plugin has given this address to a pod with another interface. */
static bool
is_given_to_other(const struct workloads *workloads, const struct prefix *ip, const char *ifname)
{
    TABLE_FOREACH (workloads->told, entry) {
        const struct workload *workload = table_value(entry);
        for (size_t i = 0; i < workload->n_ips; i++) {
            if (prefix_equal(&workload->ips[i], ip) && strcmp(workload->ifname, ifname) != 0) {
                return true;
            }
        }
    }
    return false;
}

/* A Pod object may outlive its sandbox, and its address may belong to the next pod already: what
 * the plugin gave is not taken away by what the API still says. */
static void
add_api_ip(const struct workloads *workloads, struct workload *workload, const struct ip *ip)
{
    struct prefix prefix = prefix_of_ip(ip);

    if (ip->family != 0 && !is_given_to_other(workloads, &prefix, workload->ifname)) {
        workload->ips[workload->n_ips++] = prefix;
    }
}

void
workloads_note_pod(struct workloads *workloads, const struct pod *was, const struct pod *now)
{
    const struct pod *pod = now ? now : was;
    char ifname[16];

    workload_ifname(workloads->prefix, pod->ns, pod->name, ifname);
    if (!now) {
        struct workload *old = table_take(workloads->from_api, ifname);
        if (old) {
            workload_free(old);
            settle(workloads, ifname);
        }
        return;
    }
    /* Without an address, too: its chains are then there before the plugin wires it. */
    struct workload *workload = NEW(struct workload);
    snprintf(workload->ifname, sizeof workload->ifname, "%s", ifname);
    add_api_ip(workloads, workload, &now->ip4);
    add_api_ip(workloads, workload, &now->ip6);
    workload->ns = xstrdup(now->ns);
    workload->pod = xstrdup(now->name);
    workload_free(table_put(workloads->from_api, ifname, workload));
    settle(workloads, ifname);
}

const struct workload **
workloads_of_network(const struct workloads *workloads, const char *network, size_t *ret_n)
{
    const struct workload **found = xcalloc(table_count(workloads->told), sizeof *found);

    *ret_n = 0;
    TABLE_FOREACH (workloads->told, entry) {
        const struct workload *workload = table_value(entry);
        if (workload->network && strcmp(workload->network, network) == 0) {
            found[(*ret_n)++] = workload;
        }
    }
    return found;
}

void
workloads_each(const struct workloads *workloads,
               void (*each)(void *owner, const struct workload *workload), void *owner)
{
    TABLE_FOREACH (workloads->told, entry) {
        each(owner, table_value(entry));
    }
    TABLE_FOREACH (workloads->from_api, entry) {
        const struct workload *workload = table_value(entry);
        if (!told_for_ifname(workloads, workload->ifname)) {
            each(owner, workload);
        }
    }
}
