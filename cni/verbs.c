/* ADD, DEL, CHECK, GC and STATUS. Called by main.c, one of them a process. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cni/delegate.h"
#include "cni/ipam.h"
#include "cni/result.h"
#include "cni/routes.h"
#include "cni/wire.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/json/json.h"
#include "lib/proto/proto.h"

/* DEL does not wait for a felix that is not there: it can do the work itself. */
#define DEL_TIMEOUT_MS 1000

struct add {
    const struct cni_env *env;
    const struct cni_config *config;
    struct wire *wire;
    ipam_range_vec ranges[2];
    struct cni_attachment attachment;
    uint32_t felix_mtu;
    bool has_addresses, has_link;
};

static void
add_pod_cidr(ipam_range_vec ranges[2], const struct prefix *cidr)
{
    /* A node may have an IPv6 pod CIDR and a kernel that was started without IPv6. */
    if (cidr->ip.family == 4 || access("/proc/sys/net/ipv6", F_OK) == 0) {
        VEC_PUSH(&ranges[cidr->ip.family == 4 ? 0 : 1], (struct ipam_range){.subnet = *cidr});
    }
}

/* While felix starts and the API is away, what felix wrote last holds. */
static bool
pod_cidrs_from_file(const struct cni_config *config, ipam_range_vec ranges[2], uint32_t *ret_mtu,
                    struct err *err)
{
    AUTO(str) struct str path = STR_INIT;
    AUTO(str) struct str text = STR_INIT;
    AUTO(json_tree) struct json_object *json = NULL;
    struct json_at cidrs;
    int64_t mtu = 0;

    str_addf(&path, "%s/podcidrs.json", config->state_dir);
    if (!file_read(path.text, 65536, &text, err) ||
        !json_parse(str_text(&text), text.len, &json, err)) {
        return false;
    }
    struct json_at root = json_root(json);
    if (!json_as_object(&root, err) ||
        !json_get_array(&root, "podCIDRs", JSON_OPTIONAL, &cidrs, err) ||
        !json_get_int(&root, "mtu", (struct json_range){0, 65535, JSON_OPTIONAL}, &mtu, err)) {
        return false;
    }
    for (size_t i = 0; i < json_len(&cidrs); i++) {
        struct json_at item = json_item(&cidrs, i);
        const char *cidr = NULL;
        struct prefix prefix;
        if (!json_as_string(&item, &cidr, err) || !prefix_parse(cidr, &prefix, err)) {
            return false;
        }
        add_pod_cidr(ranges, &prefix);
    }
    *ret_mtu = (uint32_t)mtu;
    return true;
}

static bool
felix_status(const struct cni_config *config, struct proto_reply *ret_reply, struct err *err)
{
    const struct proto_request request = {.op = PROTO_STATUS};

    return proto_call(config->felix_socket, &request, config->timeout_ms, ret_reply, err);
}

/* The ranges addresses come from, and the MTU. */
static bool
find_ranges(const struct cni_config *config, ipam_range_vec ranges[2], uint32_t *ret_mtu,
            struct err *err)
{
    struct proto_reply reply = {0};

    if (!felix_status(config, &reply, err)) {
        return false;
    }
    *ret_mtu = reply.mtu;
    for (size_t i = 0; config->use_pod_cidrs && i < reply.pod_cidrs.n; i++) {
        add_pod_cidr(ranges, &reply.pod_cidrs.items[i]);
    }
    proto_reply_done(&reply);
    if (config->use_pod_cidrs && ranges[0].n + ranges[1].n == 0 &&
        (!pod_cidrs_from_file(config, ranges, ret_mtu, NULL) || ranges[0].n + ranges[1].n == 0)) {
        return err_code(err, CNI_TRY_LATER,
                        "this node has no pod CIDR yet (Node.spec.podCIDRs); is the node IPAM of "
                        "kube-controller-manager on?");
    }
    for (size_t family = 0; family < 2; family++) {
        VEC_FOREACH (&config->ranges[family], range) {
            VEC_PUSH(&ranges[family], *range);
        }
    }
    return true;
}

static bool
allocate(struct add *add, struct err *err)
{
    struct ipam *ipam = NULL;

    if (add->config->is_delegated) {
        /* Also when its answer is of no use to us. */
        add->has_addresses = true;
        return delegate_run(add->env, add->config, "ADD", &add->attachment, err);
    }
    if (!ipam_open(add->config, add->wire, &ipam, err)) {
        return false;
    }
    bool good = ipam_allocate(ipam, add->env, add->ranges, &add->attachment, err);
    ipam_close(ipam);
    return good;
}

static void
release(const struct cni_env *env, const struct cni_config *config, struct wire *wire)
{
    struct ipam *ipam = NULL;

    if (config->is_delegated) {
        struct cni_attachment ignored;
        if (!delegate_run(env, config, "DEL", &ignored, NULL)) {
            fprintf(stderr, "the IPAM plugin could not release the address\n");
        }
        return;
    }
    if (ipam_open(config, wire, &ipam, NULL)) {
        ipam_release(ipam, env->container_id, env->ifname);
        ipam_close(ipam);
    }
}

static bool
settle_routes(struct add *add, struct err *err)
{
    const struct cni_routes given =
        add->config->is_delegated ? add->attachment.routes : add->config->routes;

    return routes_settle(&given, add->config->include_default_routes, &add->attachment, err);
}

static bool
wire_up(struct add *add, struct err *err)
{
    const struct wire_spec spec = {.ifname = add->env->ifname,
                                   .container_id = add->env->container_id,
                                   .mac = add->config->has_mac ? add->config->mac : NULL,
                                   .allow_forwarding = add->config->allow_forwarding};

    bool good = wire_enter(add->wire, add->env->netns, err) &&
                wire_make_pod_end(add->wire, &spec, &add->attachment, err);
    add->has_link = good;
    return wire_leave(add->wire, good ? err : NULL) && good &&
           wire_make_host_end(add->wire, &spec, &add->attachment, err);
}

static char *
borrow(const char *text)
{
    return (char *)(uintptr_t)text;
}

static bool
tell_felix(const struct add *add, struct err *err)
{
    struct proto_request request = {.op = PROTO_POD_ADD,
                                    .container_id = borrow(add->env->container_id),
                                    .ifname = borrow(add->env->ifname),
                                    .netns = borrow(add->env->netns),
                                    .namespace = add->env->ns,
                                    .pod = add->env->pod,
                                    .network = add->config->name,
                                    .host_ifname = borrow(add->attachment.host_ifname)};
    struct proto_reply reply = {0};

    for (size_t i = 0; i < add->attachment.n_ips; i++) {
        VEC_PUSH(&request.ips, add->attachment.ips[i]);
    }
    bool good =
        proto_call(add->config->felix_socket, &request, add->config->timeout_ms, &reply, err);
    if (good && !reply.ok) {
        good = err_code(err, reply.code, "felix: %s", reply.error ? reply.error : "refused");
    }
    VEC_DONE(&request.ips);
    proto_reply_done(&reply);
    return good;
}

/* felix may have taken the pod in although its answer did not reach us. */
static void
untell_felix(const struct cni_env *env, const struct cni_config *config, const char *host_ifname)
{
    struct proto_request request = {.op = PROTO_POD_DEL,
                                    .container_id = borrow(env->container_id),
                                    .ifname = borrow(env->ifname),
                                    .host_ifname = borrow(host_ifname)};
    struct proto_reply reply = {0};

    if (proto_call(config->felix_socket, &request, DEL_TIMEOUT_MS, &reply, NULL)) {
        proto_reply_done(&reply);
    }
}

static bool
add_steps(struct add *add, struct err *err)
{
    if (!find_ranges(add->config, add->ranges, &add->felix_mtu, err)) {
        return false;
    }
    add->attachment.mtu = add->config->mtu ? add->config->mtu
                          : add->felix_mtu ? add->felix_mtu
                                           : 1500;
    cni_host_ifname(add->env, add->attachment.host_ifname);
    /* A link of that name is of an earlier sandbox of the same pod. Before addresses are taken:
     * what is taken back after a failure is all of the attachment's, and must not be a live one's.
     */
    if (!wire_make_way(add->wire, add->attachment.host_ifname, add->env->container_id, err) ||
        !allocate(add, err)) {
        return false;
    }
    add->has_addresses = true;
    if (!settle_routes(add, err) || !wire_up(add, err)) {
        return false;
    }
    if (!tell_felix(add, err)) {
        untell_felix(add->env, add->config, add->attachment.host_ifname);
        return false;
    }
    return result_print(add->env, add->config, &add->attachment, err);
}

bool
verb_add(const struct cni_env *env, const struct cni_config *config, struct err *err)
{
    struct add add = {.env = env, .config = config};

    if (!wire_open(&add.wire, err)) {
        return false;
    }
    bool good = add_steps(&add, err);
    if (!good && add.has_link &&
        !wire_delete_host_end(add.wire, add.attachment.host_ifname, env->container_id, NULL)) {
        fprintf(stderr, "interface %s could not be removed again\n", add.attachment.host_ifname);
    }
    if (!good && add.has_addresses) {
        release(env, config, add.wire);
    }
    VEC_DONE(&add.ranges[0]);
    VEC_DONE(&add.ranges[1]);
    json_object_put(add.attachment.dns);
    wire_close(add.wire);
    return good;
}

/* ---- DEL
 * ------------------------------------------------------------------------------------------------
 */

/* felix deletes the link, which takes the kernel 20-30 ms, and then the address files. */
static bool
hand_to_felix(const struct cni_env *env, const struct cni_config *config, const char *host_ifname,
              const path_vec *paths)
{
    struct proto_request request = {.op = PROTO_POD_DEL,
                                    .container_id = borrow(env->container_id),
                                    .ifname = borrow(env->ifname),
                                    .namespace = env->ns,
                                    .pod = env->pod,
                                    .network = config->name,
                                    .host_ifname = borrow(host_ifname)};
    struct proto_reply reply = {0};
    AUTO_FD int fd = -1;

    VEC_FOREACH (paths, path) {
        VEC_PUSH(&request.release, *path);
    }
    bool good = proto_connect(config->felix_socket, 0, &fd, NULL) &&
                proto_exchange(fd, &request, DEL_TIMEOUT_MS, &reply, NULL) && reply.ok;
    VEC_DONE(&request.release);
    proto_reply_done(&reply);
    return good;
}

/* Reads which files are the attachment's. */
static bool
find_files(const struct cni_env *env, const struct cni_config *config, struct wire *wire,
           path_vec *ret_paths, struct err *err)
{
    struct ipam *ipam = NULL;

    if (config->is_delegated) {
        return true;
    }
    if (!ipam_open(config, wire, &ipam, err)) {
        return false;
    }
    ipam_sweep(ipam);
    ipam_files_of(ipam, env->container_id, env->ifname, ret_paths);
    ipam_close(ipam);
    return true;
}

/* By whatever still leads to it: the pod's end, the host's name, the alias. */
static bool
delete_link_here(const struct cni_env *env, struct wire *wire, const char *host_ifname,
                 struct err *err)
{
    bool good = true;

    if (*env->netns != '\0' && wire_enter(wire, env->netns, NULL)) {
        good = wire_delete_pod_end(wire, env->ifname, err);
        good = wire_leave(wire, good ? err : NULL) && good;
    }
    return good && wire_delete_host_end(wire, host_ifname, env->container_id, err) &&
           wire_delete_by_alias(wire, env->container_id, err);
}

/* felix remembers pods in files beside its socket (felix/workloads.h). One that went while felix
 * was down must not be there when it comes back. */
static void
forget_at_felix(const struct cni_env *env, const struct cni_config *config)
{
    AUTO(str) struct str path = STR_INIT;
    const char *slash = strrchr(config->felix_socket, '/');

    str_addf(&path, "%.*s/endpoints/%s %s", slash ? (int)(slash - config->felix_socket) : 0,
             config->felix_socket, env->container_id, env->ifname);
    unlink(path.text);
}

static bool
del_steps(const struct cni_env *env, const struct cni_config *config, struct wire *wire,
          struct err *err)
{
    char host_ifname[16];
    path_vec paths = VEC_INIT;

    cni_host_ifname(env, host_ifname);
    if (!find_files(env, config, wire, &paths, err)) {
        return false;
    }
    bool is_taken = hand_to_felix(env, config, host_ifname, &paths);
    bool good = true;
    ipam_paths_done(&paths);
    if (!is_taken) {
        forget_at_felix(env, config);
    }
    /* An address that felix does not release must not be given anew while the link lives. */
    if (!is_taken || config->is_delegated) {
        good = delete_link_here(env, wire, host_ifname, err);
    }
    if (good && config->is_delegated) {
        struct cni_attachment ignored;
        good = delegate_run(env, config, "DEL", &ignored, err);
    } else if (good && !is_taken) {
        release(env, config, wire);
    }
    return good;
}

bool
verb_del(const struct cni_env *env, const struct cni_config *config, struct err *err)
{
    struct wire *wire = NULL;

    if (!wire_open(&wire, err)) {
        return false;
    }
    bool good = del_steps(env, config, wire, err);
    wire_close(wire);
    return good;
}

/* ---- CHECK
 * ---------------------------------------------------------------------------------------------- */

static bool
previous_addresses(const struct cni_env *env, const struct cni_config *config,
                   struct cni_attachment *ret_attachment, struct err *err)
{
    struct json_object *previous = NULL;

    if (!json_object_object_get_ex(config->json, "prevResult", &previous) ||
        !json_object_is_type(previous, json_type_object)) {
        return err_code(err, CNI_BAD_CONFIG, "prevResult is wanted");
    }
    return result_addresses(previous, env->ifname, ret_attachment, err) ||
           err_code(err, CNI_BAD_CONFIG, "%s", err ? err->text : "");
}

/* Those that ADD made. Where another IPAM plugin said which, the result does not tell them from
 * those of the plugins before us; they are left to it. */
static bool
expected_routes(const struct cni_config *config, struct cni_attachment *attachment, struct err *err)
{
    struct json_object *previous = NULL;
    struct json_object *listed = NULL;

    if (config->is_delegated && json_object_object_get_ex(config->json, "prevResult", &previous) &&
        json_object_object_get_ex(previous, "routes", &listed) &&
        json_object_is_type(listed, json_type_array) && json_object_array_length(listed) > 0) {
        attachment->routes.n = 0;
        return true;
    }
    return routes_settle(&config->routes, config->include_default_routes, attachment, err);
}

static bool
check_felix(const struct cni_env *env, const struct cni_config *config, struct err *err)
{
    struct proto_request request = {.op = PROTO_POD_CHECK,
                                    .container_id = borrow(env->container_id),
                                    .ifname = borrow(env->ifname)};
    struct proto_reply reply = {0};
    bool good = proto_call(config->felix_socket, &request, config->timeout_ms, &reply, err);

    if (good && !reply.ok) {
        good = err_code(err, CNI_BROKEN, "felix: %s", reply.error ? reply.error : "refused");
    }
    proto_reply_done(&reply);
    return good;
}

static bool
check_files(const struct cni_env *env, const struct cni_config *config, struct wire *wire, size_t n,
            struct err *err)
{
    struct ipam *ipam = NULL;
    struct cni_attachment ignored;
    path_vec paths = VEC_INIT;

    if (config->is_delegated) {
        return delegate_run(env, config, "CHECK", &ignored, err);
    }
    if (!ipam_open(config, wire, &ipam, err)) {
        return false;
    }
    ipam_files_of(ipam, env->container_id, env->ifname, &paths);
    bool good = paths.n >= n;
    ipam_paths_done(&paths);
    ipam_close(ipam);
    return good || err_code(err, CNI_BROKEN, "the pod's addresses are not reserved any more");
}

bool
verb_check(const struct cni_env *env, const struct cni_config *config, struct err *err)
{
    struct cni_attachment attachment = {0};
    struct wire *wire = NULL;

    if (config->version[0] == '0' && strcmp(config->version, "0.4.0") < 0) {
        return err_code(err, CNI_BAD_VERSION, "CHECK came with 0.4.0; this is %s", config->version);
    }
    if (!previous_addresses(env, config, &attachment, err) ||
        !expected_routes(config, &attachment, err) || !wire_open(&wire, err)) {
        return false;
    }
    bool good = wire_enter(wire, env->netns, err) &&
                wire_check_pod_end(wire, env->ifname, &attachment, err) && wire_leave(wire, err) &&
                check_files(env, config, wire, attachment.n_ips, err) &&
                check_felix(env, config, err);
    wire_close(wire);
    return good;
}

/* ---- GC and STATUS
 * ---------------------------------------------------------------------------------------- */

struct gc {
    const struct proto_request *request;
    struct wire *wire;
    struct err *err;
    bool is_good;
};

static bool
is_valid_container(const struct proto_request *request, const char *container_id)
{
    VEC_FOREACH (&request->valid, it) {
        if (strcmp(it->container_id, container_id) == 0) {
            return true;
        }
    }
    return false;
}

static void
gc_file(void *owner, const char *path, const char *container_id, const char *ifname)
{
    struct gc *gc = owner;

    VEC_FOREACH (&gc->request->valid, it) {
        if (strcmp(it->container_id, container_id) == 0 &&
            (*ifname == '\0' || strcmp(it->ifname, ifname) == 0)) {
            return;
        }
    }
    /* The link first: its address must not be given anew while packets can come from it. A
     * container that is valid with another interface keeps its link. */
    if (container_id[0] == '\0' || is_valid_container(gc->request, container_id) ||
        wire_delete_by_alias(gc->wire, container_id, gc->err)) {
        unlink(path);
    } else {
        gc->is_good = false;
    }
}

static bool
read_attachments(const struct cni_config *config, struct proto_request *request, struct err *err)
{
    struct json_at root = json_root(config->json);
    struct json_at list;
    /* libcni writes both spellings; the specification's text had the other (cni issue 1101). */
    const char *key = json_has(&root, "cni.dev/valid-attachments") ? "cni.dev/valid-attachments"
                                                                   : "cni.dev/attachments";

    if (!json_get_array(&root, key, JSON_REQUIRED, &list, err)) {
        return err_code(err, CNI_BAD_CONFIG, "%s", err ? err->text : "");
    }
    for (size_t i = 0; i < json_len(&list); i++) {
        struct json_at item = json_item(&list, i);
        const char *id = NULL;
        const char *ifname = NULL;
        if (!json_as_object(&item, err) ||
            !json_get_string(&item, "containerID", JSON_REQUIRED, &id, err) ||
            !json_get_string(&item, "ifname", JSON_REQUIRED, &ifname, err)) {
            return err_code(err, CNI_BAD_CONFIG, "%s", err ? err->text : "");
        }
        VEC_PUSH(&request->valid,
                 (struct proto_attachment){.container_id = xstrdup(id), .ifname = xstrdup(ifname)});
    }
    return true;
}

static bool
gc_files(const struct cni_config *config, const struct proto_request *request, struct wire *wire,
         struct err *err)
{
    struct ipam *ipam = NULL;
    struct gc gc = {.request = request, .wire = wire, .err = err, .is_good = true};

    if (!ipam_open(config, wire, &ipam, err)) {
        return false;
    }
    ipam_each(ipam, gc_file, &gc);
    ipam_close(ipam);
    return gc.is_good;
}

/* Goes on after an error and tells the first. */
static bool
gc_steps(const struct cni_env *env, const struct cni_config *config,
         const struct proto_request *request, struct wire *wire, struct err *err)
{
    struct proto_reply reply = {0};
    struct err later = ERR_INIT;
    struct cni_attachment ignored;

    bool good = proto_call(config->felix_socket, request, config->timeout_ms, &reply, err);
    if (good && !reply.ok) {
        good = err_code(err, reply.code, "felix: %s", reply.error ? reply.error : "");
    }
    proto_reply_done(&reply);
    bool rest = config->is_delegated ? delegate_run(env, config, "GC", &ignored, &later)
                                     : gc_files(config, request, wire, &later);
    if (good && !rest) {
        good = err_code(err, later.code, "%s", later.text);
    }
    return good;
}

bool
verb_gc(const struct cni_env *env, const struct cni_config *config, struct err *err)
{
    struct proto_request request = {.op = PROTO_POD_GC, .network = xstrdup(config->name)};
    struct wire *wire = NULL;

    bool good = read_attachments(config, &request, err) && wire_open(&wire, err) &&
                gc_steps(env, config, &request, wire, err);
    proto_request_done(&request);
    wire_close(wire);
    return good;
}

bool
verb_status(const struct cni_env *env, const struct cni_config *config, struct err *err)
{
    struct proto_reply reply = {0};
    struct cni_attachment ignored;
    struct wire *wire = NULL;
    struct ipam *ipam = NULL;
    ipam_range_vec ranges[2] = {VEC_INIT, VEC_INIT};
    uint32_t mtu = 0;

    if (!felix_status(config, &reply, err)) {
        return err_code(err, CNI_NOT_AVAILABLE, "%s", err ? err->text : "");
    }
    bool ready =
        reply.ready || err_code(err, reply.limited ? CNI_LIMITED : CNI_NOT_AVAILABLE,
                                "felix is not ready: %s", reply.reason ? reply.reason : "");
    proto_reply_done(&reply);
    if (!ready) {
        return false;
    }
    if (config->is_delegated) {
        return delegate_run(env, config, "STATUS", &ignored, err);
    }
    bool good = find_ranges(config, ranges, &mtu, err) && wire_open(&wire, err) &&
                ipam_open(config, wire, &ipam, err) && ipam_has_room(ipam, ranges, err);
    ipam_close(ipam);
    wire_close(wire);
    VEC_DONE(&ranges[0]);
    VEC_DONE(&ranges[1]);
    return good || err_code(err, CNI_NOT_AVAILABLE, "%s", err ? err->text : "");
}
