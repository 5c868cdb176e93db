/* What the CNI plugin and people ask over the socket. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "felix/dataplane/reaper.h"
#include "felix/parts.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"

LOG_MODULE("cni");

#define CODE_BAD_REQUEST 7
#define CODE_NOT_THERE 100
#define WAITING_MAX_MS 120000

static void
send_reply(struct felix *felix, uint64_t client, const struct proto_reply *reply)
{
    AUTO(str) struct str line = STR_INIT;

    proto_reply_write(reply, &line);
    server_reply(felix->server, client, line.text, line.len);
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
    server_reply(felix->server, client, line.text, line.len);
}

static bool
is_rules_in_place(const struct felix *felix)
{
    return felix->tables[0] && iptables_is_in_place(felix->tables[0]) &&
           (!felix->tables[1] || iptables_is_in_place(felix->tables[1]));
}

void
requests_answer(struct felix *felix)
{
    uint64_t now = clock_monotonic_ms();
    size_t i = 0;

    while (i < felix->waiting.n) {
        const struct waiting *waiting = &felix->waiting.items[i];
        bool rules = is_rules_in_place(felix) || (!felix->is_in_sync && felix->inherited);
        if (rules && endpoints_is_programmed(felix->endpoints, waiting->ifname)) {
            metric_observe(felix->m.pod_add_seconds, (double)(now - waiting->since_ms) / 1000);
            accept_request(felix, waiting->client);
        } else if (now - waiting->since_ms < WAITING_MAX_MS) {
            i++;
            continue;
        }
        VEC_REMOVE_SWAP(&felix->waiting, i);
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
    char *container_id;
    char *ifname; /* host side */
    VEC(char *) paths;
};

static void
release_free(struct release *release)
{
    VEC_FOREACH (&release->paths, path) {
        free(*path);
    }
    VEC_DONE(&release->paths);
    free(release->container_id);
    free(release->ifname);
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

    if (good) {
        VEC_FOREACH (&release->paths, path) {
            release_file(release->felix, *path, release->container_id);
        }
    } else {
        log_error("interface %s could not be deleted: %s; its addresses stay reserved",
                  release->ifname, err->text);
    }
    release_free(release);
}

static void
add_own_paths(struct release *release, const struct workload *workload)
{
    for (size_t i = 0; workload->network && i < workload->n_ips; i++) {
        AUTO(str) struct str path = STR_INIT;
        char text[IP_TEXT_MAX];
        str_addf(&path, "%s/%s/%s", release->felix->settings->address_dir, workload->network,
                 ip_format(&workload->ips[i].ip, text));
        VEC_PUSH(&release->paths, xstrdup(path.text));
    }
}

static void
remove_workload(struct felix *felix, const char *container_id, const char *pod_ifname,
                const struct proto_request *request)
{
    const struct workload *workload = workloads_find(felix->workloads, container_id, pod_ifname);
    const char *ifname = workload ? workload->ifname : request ? request->host_ifname : NULL;
    struct release *release = NEW(struct release);

    release->felix = felix;
    release->container_id = xstrdup(container_id);
    if (request) {
        VEC_FOREACH (&request->release, path) {
            VEC_PUSH(&release->paths, xstrdup(*path));
        }
    }
    if (workload) {
        add_own_paths(release, workload);
    }
    if (!ifname || strncmp(ifname, felix->settings->interface_prefix,
                           strlen(felix->settings->interface_prefix)) != 0) {
        /* Nothing is known of a link: what is named can only be files. */
        release->ifname = xstrdup("");
        on_link_gone(release, true, NULL);
        return;
    }
    release->ifname = xstrdup(ifname);
    reaper_delete(felix->loop, ifname, container_id, on_link_gone, release);
    workloads_remove(felix->workloads, release->container_id, pod_ifname);
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

static void
status(struct felix *felix, uint64_t client)
{
    const struct node *node = store_get(felix->store, KIND_NODE, felix->node_name);
    const char *reason = "";
    struct proto_reply reply = {.ok = true, .mtu = felix->pod_mtu};

    reply.ready = report_is_ready(felix, &reason);
    reply.reason = xstrdup(reason);
    for (size_t i = 0; node && i < node->n_pod_cidrs; i++) {
        VEC_PUSH(&reply.pod_cidrs, node->pod_cidrs[i]);
    }
    send_reply(felix, client, &reply);
    proto_reply_done(&reply);
}

/* ---- for people
 * --------------------------------------------------------------------------------------- */

struct listing {
    const struct felix *felix;
    struct json_object *array;
};

static void
list_workload(void *owner, const struct workload *workload)
{
    struct listing *listing = owner;
    struct json_object *item = json_object_new_object();
    struct json_object *ips = json_object_new_array();
    char text[PREFIX_TEXT_MAX];
    bool programmed = endpoints_is_programmed(listing->felix->endpoints, workload->ifname);

    for (size_t i = 0; i < workload->n_ips; i++) {
        json_object_array_add(ips, json_object_new_string(prefix_format(&workload->ips[i], text)));
    }
    json_object_object_add(item, "interface", json_object_new_string(workload->ifname));
    json_object_object_add(item, "namespace",
                           json_object_new_string(workload->ns ? workload->ns : ""));
    json_object_object_add(item, "pod", json_object_new_string(workload->pod ? workload->pod : ""));
    json_object_object_add(item, "ips", ips);
    json_object_object_add(item, "source",
                           json_object_new_string(workload->container_id ? "cni" : "api"));
    json_object_object_add(item, "programmed", json_object_new_boolean(programmed));
    json_object_array_add(listing->array, item);
}

static void
list_endpoints(struct felix *felix, uint64_t client)
{
    struct listing listing = {.felix = felix, .array = json_object_new_array()};
    struct json_object *json = json_object_new_object();
    AUTO(str) struct str line = STR_INIT;

    workloads_each(felix->workloads, list_workload, &listing);
    json_object_object_add(json, "ok", json_object_new_boolean(true));
    json_object_object_add(json, "endpoints", listing.array);
    str_addf(&line, "%s\n", json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN));
    json_object_put(json);
    server_reply(felix->server, client, line.text, line.len);
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
        list_endpoints(felix, client);
        break;
    }
    proto_request_done(&request);
}
