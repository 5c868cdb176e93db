/* What the CNI plugin and people ask over the socket. Called by lib/loop/unix_server, a line at a
 * time. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "felix/dataplane/reaper.h"
#include "felix/parts.h"
#include "felix/people.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"

LOG_MODULE("cni");

#define CODE_BAD_REQUEST 7
#define CODE_NOT_THERE 100
#define WAITING_MAX_MS 120000
/* So long a pod waits for its object; then it is wired all the same, and closed until it is known.
 */
#define UNKNOWN_MAX_MS 2000

/* The message ends in a newline, which the server adds by itself. */
static void
send_line(struct felix *felix, uint64_t client, const struct str *line)
{
    unix_server_send(felix->server, client, line->text, line->len - 1);
}

static void
send_reply(struct felix *felix, uint64_t client, const struct proto_reply *reply)
{
    AUTO(str) struct str line = STR_INIT;

    proto_reply_write(reply, &line);
    send_line(felix, client, &line);
}

static void
accept_request(struct felix *felix, uint64_t client)
{
    send_reply(felix, client, &(struct proto_reply){.ok = true, .ready = true});
}

static void
refuse(struct felix *felix, uint64_t client, int code, const char *reason)
{
    AUTO(str) struct str line = STR_INIT;

    proto_refuse(&line, code, reason);
    send_line(felix, client, &line);
}

/* Rules are in force that know the pod. Where it is not known, it is closed: without the API, or
 * when its object does not come in time. */
static bool
is_protected(const struct felix *felix, const struct waiting *waiting, uint64_t waited_ms)
{
    if (!felix->is_in_sync) {
        return felix->inherited;
    }
    if (waiting->is_wanted) {
        return tables_hold(felix, waiting->revisions);
    }
    return waited_ms >= UNKNOWN_MAX_MS && tables_are_in_place(felix);
}

static void
promise(struct felix *felix, const struct waiting *waiting, uint64_t waited_ms)
{
    if (felix->is_in_sync && !waiting->is_wanted) {
        log_warn_every(10,
                       "interface %s: its Pod object has not come; it is wired, and closed until "
                       "its policy is known",
                       waiting->ifname);
    }
    metric_observe(felix->m.pod_add_seconds, (double)waited_ms / 1000);
    accept_request(felix, waiting->client);
}

void
requests_answer(struct felix *felix)
{
    uint64_t now = clock_monotonic_ms(), look_again_ms = UINT64_MAX;
    size_t i = 0;

    while (i < felix->waiting.n) {
        const struct waiting *waiting = &felix->waiting.items[i];
        uint64_t waited_ms = now - waiting->since_ms;
        bool is_done = is_protected(felix, waiting, waited_ms) &&
                       endpoints_is_programmed(felix->endpoints, waiting->ifname);
        if (is_done) {
            promise(felix, waiting, waited_ms);
        }
        if (is_done || waited_ms >= WAITING_MAX_MS) {
            VEC_REMOVE_SWAP(&felix->waiting, i);
            continue;
        }
        if (!waiting->is_wanted && waited_ms < UNKNOWN_MAX_MS &&
            UNKNOWN_MAX_MS - waited_ms < look_again_ms) {
            look_again_ms = UNKNOWN_MAX_MS - waited_ms;
        }
        i++;
    }
    if (look_again_ms != UINT64_MAX) {
        kick_later(&felix->flush, look_again_ms);
    }
}

static void
pod_add(struct felix *felix, uint64_t client, const struct proto_request *request)
{
    struct err err = ERR_INIT;
    struct waiting waiting = {.client = client, .since_ms = clock_monotonic_ms()};

    if (!workloads_add(felix->workloads, request, &err)) {
        log_error("pod %s/%s: %s", request->namespace ? request->namespace : "",
                  request->pod ? request->pod : request->container_id, err.text);
        refuse(felix, client, CODE_BAD_REQUEST, err.text);
        return;
    }
    snprintf(waiting.ifname, sizeof waiting.ifname, "%s", request->host_ifname);
    VEC_PUSH(&felix->waiting, waiting);
    felix_apply_endpoints(felix);
}

/* ---- removal
 * ------------------------------------------------------------------------------------------ */

struct release {
    struct felix *felix;
    struct proto_request removal; /* a pod_del: what was asked, and the address files we know of */
    int link_index;               /* 0: none */
    bool is_link_found;           /* link_index is what it was when the removal was asked for */
};

static void
release_free(struct release *release)
{
    proto_request_done(&release->removal);
    free(release);
}

/* An address file goes only when it lies where addresses lie and still names this container. */
static void
release_file(const struct felix *felix, const char *path, const char *container_id)
{
    AUTO(str) struct str text = STR_INIT;
    size_t len = strlen(felix->settings->address_dir);
    size_t id_len = strlen(container_id);

    if (strncmp(path, felix->settings->address_dir, len) != 0 || path[len] != '/' ||
        strstr(path, "/..") || !file_read(path, 4096, &text, NULL)) {
        return;
    }
    const char *content = str_text(&text);
    if (strncmp(content, container_id, id_len) == 0 &&
        (content[id_len] == '\0' || content[id_len] == '\r' || content[id_len] == '\n')) {
        unlink(path);
    }
}

static void
on_link_gone(void *owner, bool good, const struct err *err)
{
    struct release *release = owner;
    struct felix *felix = release->felix;
    struct proto_request *removal = &release->removal;

    if (!good) {
        log_error_every(60,
                        "interface %s could not be deleted: %s; its addresses stay reserved, "
                        "trying again",
                        removal->host_ifname, err->text);
        VEC_PUSH(&felix->unreaped, release);
        return;
    }
    VEC_FOREACH (&removal->release, path) {
        release_file(felix, *path, removal->container_id);
    }
    workloads_removed(felix->workloads, removal->container_id, removal->ifname);
    release_free(release);
}

/* Nothing that is not named like a pod's interface is touched. */
static bool
find_link(struct release *release, struct err *err)
{
    const struct proto_request *removal = &release->removal;
    const char *prefix = release->felix->prefixes.items[0];

    release->is_link_found = !removal->host_ifname ||
                             strncmp(removal->host_ifname, prefix, strlen(prefix)) != 0 ||
                             reaper_find(release->felix->netlink, removal->host_ifname,
                                         removal->container_id, &release->link_index, err);
    return release->is_link_found;
}

static void
reap(struct release *release)
{
    struct err err = ERR_INIT;

    if (!release->is_link_found && !find_link(release, &err)) {
        on_link_gone(release, false, &err);
    } else if (release->link_index > 0) {
        reaper_delete(release->felix->loop, release->link_index, on_link_gone, release);
    } else {
        on_link_gone(release, true, NULL);
    }
}

void
requests_retry(struct felix *felix)
{
    size_t n = felix->unreaped.n;

    if (n == 0) {
        return;
    }
    AUTO_FREE struct release **again = xmemdup(felix->unreaped.items, n * sizeof *again);
    felix->unreaped.n = 0;
    for (size_t i = 0; i < n; i++) {
        reap(again[i]);
    }
}

void
requests_close(struct felix *felix)
{
    /* Their files stay: the next run goes on with them. */
    VEC_FOREACH (&felix->unreaped, release) {
        release_free(*release);
    }
    VEC_DONE(&felix->unreaped);
}

static void
add_own_paths(struct felix *felix, struct proto_request *removal, const struct workload *workload)
{
    for (size_t i = 0; workload->network && i < workload->n_ips; i++) {
        AUTO(str) struct str path = STR_INIT;
        char text[IP_TEXT_MAX];
        str_addf(&path, "%s/%s/%s", felix->settings->address_dir, workload->network,
                 ip_format(&workload->ips[i].ip, text));
        VEC_PUSH(&removal->release, xstrdup(path.text));
    }
}

/* 'request' NULL: nobody asked for this one by name, gc did. */
static void
remove_workload(struct felix *felix, const char *container_id, const char *pod_ifname,
                const struct proto_request *request)
{
    const struct workload *workload = workloads_find(felix->workloads, container_id, pod_ifname);
    const char *ifname = workload ? workload->ifname : request ? request->host_ifname : NULL;
    struct release *release = NEW(struct release);
    struct proto_request *removal = &release->removal;

    release->felix = felix;
    removal->op = PROTO_POD_DEL;
    removal->container_id = xstrdup(container_id);
    removal->ifname = xstrdup(pod_ifname);
    removal->host_ifname = ifname ? xstrdup(ifname) : NULL;
    if (request) {
        VEC_FOREACH (&request->release, path) {
            VEC_PUSH(&removal->release, xstrdup(*path));
        }
    }
    if (workload) {
        add_own_paths(felix, removal, workload);
    }
    workloads_remove(felix->workloads, removal);
    reap(release);
}

static void
resume(void *owner, const struct proto_request *removal)
{
    struct felix *felix = owner;

    log_info("going on with the removal of container %s, interface %s", removal->container_id,
             removal->host_ifname ? removal->host_ifname : "unknown");
    remove_workload(felix, removal->container_id, removal->ifname, removal);
}

void
requests_resume(struct felix *felix)
{
    workloads_resume(felix->workloads, resume, felix);
}

static void
pod_del(struct felix *felix, uint64_t client, const struct proto_request *request)
{
    remove_workload(felix, request->container_id, request->ifname, request);
    accept_request(felix, client);
    felix_apply_endpoints(felix);
}

static void
pod_check(struct felix *felix, uint64_t client, const struct proto_request *request)
{
    const struct workload *workload =
        workloads_find(felix->workloads, request->container_id, request->ifname);

    if (!workload) {
        refuse(felix, client, CODE_NOT_THERE, "felix does not know this pod");
    } else if (!endpoints_is_programmed(felix->endpoints, workload->ifname)) {
        refuse(felix, client, CODE_NOT_THERE, "the pod's interface or route is not in place");
    } else {
        accept_request(felix, client);
    }
}

static bool
is_valid(const struct proto_request *request, const struct workload *workload)
{
    VEC_FOREACH (&request->valid, it) {
        if (it->container_id && it->ifname &&
            strcmp(it->container_id, workload->container_id) == 0 &&
            strcmp(it->ifname, workload->pod_ifname) == 0) {
            return true;
        }
    }
    return false;
}

static void
pod_gc(struct felix *felix, uint64_t client, const struct proto_request *request)
{
    size_t n = 0;
    const struct workload **found = workloads_of_network(felix->workloads, request->network, &n);

    for (size_t i = 0; i < n; i++) {
        if (!is_valid(request, found[i])) {
            AUTO_FREE char *container_id = xstrdup(found[i]->container_id);
            AUTO_FREE char *ifname = xstrdup(found[i]->pod_ifname);
            log_info("pod interface %s of container %s is not valid any more; removing it",
                     found[i]->ifname, container_id);
            remove_workload(felix, container_id, ifname, NULL);
        }
    }
    free(found);
    accept_request(felix, client);
    felix_apply_endpoints(felix);
}

/* Nothing waits to be calculated or written, so all that the feed has brought is in the kernel. */
static uint64_t
version_in_force(const struct felix *felix)
{
    bool is_idle = !felix->flush.armed && felix->is_in_sync;

    return is_idle && felix_is_dataplane_good(felix) && tables_are_in_place(felix)
               ? feed_version(felix->feed)
               : 0;
}

static void
status(struct felix *felix, uint64_t client)
{
    const struct node *node = store_get(felix->store, KIND_NODE, felix->node_name);
    const char *reason = "";
    struct proto_reply reply = {.ok = true, .mtu = felix->pod_mtu};

    reply.ready = report_is_ready(felix, &reason, &reply.limited);
    reply.reason = xstrdup(reason);
    for (size_t i = 0; node && i < node->n_pod_cidrs; i++) {
        VEC_PUSH(&reply.pod_cidrs, node->pod_cidrs[i]);
    }
    reply.in_force = version_in_force(felix);
    reply.node = felix->node_name;
    reply.version = CANAL_VERSION;
    reply.n_endpoints = endpoints_count(felix->endpoints);
    reply.n_policies = in_force_n_policies(people_in_force(felix->people));
    reply.n_drops = people_n_drops(felix->people);
    send_reply(felix, client, &reply);
    proto_reply_done(&reply);
}

void
requests_handle(void *owner, uint64_t client, const char *line, size_t len)
{
    struct felix *felix = owner;
    struct proto_request request;
    struct err err = ERR_INIT;

    if (!proto_request_read(line, len, &request, &err)) {
        log_warn_every(10, "a request on the socket is not understood: %s", err.text);
        refuse(felix, client, CODE_BAD_REQUEST, err.text);
        return;
    }
    switch (request.op) {
    case PROTO_POD_ADD:
        pod_add(felix, client, &request);
        break;
    case PROTO_POD_DEL:
        pod_del(felix, client, &request);
        break;
    case PROTO_POD_CHECK:
        pod_check(felix, client, &request);
        break;
    case PROTO_POD_GC:
        pod_gc(felix, client, &request);
        break;
    case PROTO_STATUS:
        status(felix, client);
        break;
    case PROTO_ENDPOINTS:
    case PROTO_EXPLAIN:
    case PROTO_DROPS:
    case PROTO_POLICIES:
        people_handle(felix->people, client, &request);
        break;
    }
    proto_request_done(&request);
}
