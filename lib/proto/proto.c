/* Encoding and decoding of the messages, for felix, the CNI plugin and canalctl alike. */
#include "lib/proto/proto.h"

#include <ctype.h>
#include <json-c/json.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/json/json.h"
#include "lib/proto/explain.h"

static const char *const op_names[] = {
    [PROTO_POD_ADD] = "pod_add", [PROTO_POD_DEL] = "pod_del", [PROTO_POD_CHECK] = "pod_check",
    [PROTO_POD_GC] = "pod_gc",   [PROTO_STATUS] = "status",   [PROTO_ENDPOINTS] = "endpoints",
    [PROTO_EXPLAIN] = "explain", [PROTO_DROPS] = "drops",     [PROTO_POLICIES] = "policies"};

void
proto_request_done(struct proto_request *request)
{
    free(request->container_id);
    free(request->ifname);
    free(request->netns);
    free(request->namespace);
    free(request->pod);
    free(request->network);
    free(request->host_ifname);
    VEC_DONE(&request->ips);
    VEC_FOREACH (&request->release, path) {
        free(*path);
    }
    VEC_DONE(&request->release);
    VEC_FOREACH (&request->valid, it) {
        free(it->container_id);
        free(it->ifname);
    }
    VEC_DONE(&request->valid);
    proto_explain_done(&request->explain);
    memset(request, 0, sizeof *request);
}

void
proto_reply_done(struct proto_reply *reply)
{
    free(reply->error);
    free(reply->reason);
    VEC_DONE(&reply->pod_cidrs);
    memset(reply, 0, sizeof *reply);
}

/* ---- writing
 * ------------------------------------------------------------------------------------------ */

static void
put_text(struct json_object *json, const char *key, const char *text)
{
    if (text) {
        json_object_object_add(json, key, json_object_new_string(text));
    }
}

static void
put_prefixes(struct json_object *json, const char *key, const struct prefix *prefixes, size_t n)
{
    char text[PREFIX_TEXT_MAX];
    struct json_object *array = json_object_new_array();

    for (size_t i = 0; i < n; i++) {
        json_object_array_add(array, json_object_new_string(prefix_format(&prefixes[i], text)));
    }
    json_object_object_add(json, key, array);
}

static void
add_line(struct str *out, struct json_object *json)
{
    str_add(out, json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN));
    str_add_char(out, '\n');
    json_object_put(json);
}

void
proto_request_write(const struct proto_request *request, struct str *out)
{
    struct json_object *json = json_object_new_object();

    put_text(json, "op", op_names[request->op]);
    put_text(json, "container_id", request->container_id);
    put_text(json, "ifname", request->ifname);
    put_text(json, "netns", request->netns);
    put_text(json, "namespace", request->namespace);
    put_text(json, "pod", request->pod);
    put_text(json, "network", request->network);
    put_text(json, "host_ifname", request->host_ifname);
    if (request->ips.n > 0) {
        put_prefixes(json, "ips", request->ips.items, request->ips.n);
    }
    if (request->release.n > 0) {
        struct json_object *array = json_object_new_array();
        VEC_FOREACH (&request->release, path) {
            json_object_array_add(array, json_object_new_string(*path));
        }
        json_object_object_add(json, "release", array);
    }
    if (request->op == PROTO_POD_GC) {
        struct json_object *array = json_object_new_array();
        VEC_FOREACH (&request->valid, it) {
            struct json_object *item = json_object_new_object();
            put_text(item, "container_id", it->container_id);
            put_text(item, "ifname", it->ifname);
            json_object_array_add(array, item);
        }
        json_object_object_add(json, "valid", array);
    }
    if (request->op == PROTO_EXPLAIN) {
        proto_explain_write(&request->explain, json);
    }
    if (request->recent) {
        json_object_object_add(json, "recent", json_object_new_boolean(true));
    }
    add_line(out, json);
}

void
proto_reply_write(const struct proto_reply *reply, struct str *out)
{
    struct json_object *json = json_object_new_object();

    json_object_object_add(json, "ok", json_object_new_boolean(reply->ok));
    if (!reply->ok) {
        json_object_object_add(json, "code", json_object_new_int(reply->code));
        put_text(json, "error", reply->error);
    }
    json_object_object_add(json, "ready", json_object_new_boolean(reply->ready));
    if (reply->limited) {
        json_object_object_add(json, "limited", json_object_new_boolean(true));
    }
    put_text(json, "reason", reply->reason);
    if (reply->pod_cidrs.n > 0) {
        put_prefixes(json, "pod_cidrs", reply->pod_cidrs.items, reply->pod_cidrs.n);
    }
    if (reply->mtu > 0) {
        json_object_object_add(json, "mtu", json_object_new_int64(reply->mtu));
    }
    if (reply->node) {
        put_text(json, "node", reply->node);
        put_text(json, "version", reply->version);
        json_object_object_add(json, "n_endpoints",
                               json_object_new_int64((int64_t)reply->n_endpoints));
        json_object_object_add(json, "n_policies",
                               json_object_new_int64((int64_t)reply->n_policies));
        json_object_object_add(json, "n_drops", json_object_new_int64((int64_t)reply->n_drops));
    }
    if (reply->in_force > 0) {
        json_object_object_add(json, "in_force", json_object_new_int64((int64_t)reply->in_force));
    }
    add_line(out, json);
}

void
proto_refuse(struct str *out, int code, const char *reason)
{
    AUTO_FREE char *copy = xstrdup(reason);
    const struct proto_reply reply = {.code = code, .error = copy};

    proto_reply_write(&reply, out);
}

/* ---- reading
 * ------------------------------------------------------------------------------------------ */

/* Container IDs and interface names become file contents and names: what CNI allows, nothing else.
 */
static bool
is_word(const char *text, size_t max, const char *extra)
{
    size_t len = strlen(text);

    if (len == 0 || len > max) {
        return false;
    }
    for (const char *c = text; *c != '\0'; c++) {
        if (!isalnum((unsigned char)*c) && !strchr(extra, *c)) {
            return false;
        }
    }
    return strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
}

struct word {
    const char *key;
    char **field;
    size_t max;
    const char *extra;
};

static bool
read_words(const struct json_at *at, const struct word *words, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        const char *text = NULL;
        if (!json_get_string(at, words[i].key, JSON_OPTIONAL, &text, err)) {
            return false;
        }
        if (!text) {
            continue;
        }
        if (!is_word(text, words[i].max, words[i].extra)) {
            return err_set(err, "%s: '%.64s' is not acceptable", words[i].key, text);
        }
        *words[i].field = xstrdup(text);
    }
    return true;
}

static bool
read_prefix(const struct json_at *item, struct prefix *ret_prefix, struct err *err)
{
    const char *text = NULL;

    return (json_as_string(item, &text, err) && prefix_parse_host(text, ret_prefix, err)) ||
           json_wrap(item, NULL, err);
}

static bool
read_ips(const struct json_at *root, struct proto_request *request, struct err *err)
{
    struct json_at array;

    if (!json_get_array(root, "ips", JSON_OPTIONAL, &array, err)) {
        return false;
    }
    for (size_t i = 0; i < json_len(&array); i++) {
        struct json_at item = json_item(&array, i);
        struct prefix ip;
        if (!read_prefix(&item, &ip, err)) {
            return false;
        }
        if (ip.len != ip_bits(&ip.ip)) {
            return err_set(err, "ips: a pod has single addresses, not prefixes");
        }
        VEC_PUSH(&request->ips, ip);
    }
    return true;
}

static bool
read_release(const struct json_at *root, struct proto_request *request, struct err *err)
{
    struct json_at array;

    if (!json_get_array(root, "release", JSON_OPTIONAL, &array, err)) {
        return false;
    }
    for (size_t i = 0; i < json_len(&array); i++) {
        struct json_at item = json_item(&array, i);
        const char *path = NULL;
        if (!json_as_string(&item, &path, err)) {
            return false;
        }
        if (path[0] != '/' || strstr(path, "/../") || strlen(path) > 1024) {
            return err_set(err, "release: '%.64s' is not an absolute path", path);
        }
        VEC_PUSH(&request->release, xstrdup(path));
    }
    return true;
}

static bool
read_valid(const struct json_at *root, struct proto_request *request, struct err *err)
{
    struct json_at array;

    if (!json_get_array(root, "valid", JSON_OPTIONAL, &array, err)) {
        return false;
    }
    for (size_t i = 0; i < json_len(&array); i++) {
        struct json_at item = json_item(&array, i);
        struct proto_attachment it = {0};
        const struct word words[] = {{"container_id", &it.container_id, 128, "_.-"},
                                     {"ifname", &it.ifname, 15, "_.-"}};
        bool good = json_as_object(&item, err) && read_words(&item, words, ARRAY_LEN(words), err);
        VEC_PUSH(&request->valid, it);
        if (!good) {
            return false;
        }
    }
    return true;
}

static bool
read_op(const struct json_at *root, enum proto_op *ret_op, struct err *err)
{
    const char *name = NULL;

    if (!json_get_string(root, "op", JSON_REQUIRED, &name, err)) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(op_names); i++) {
        if (strcmp(op_names[i], name) == 0) {
            *ret_op = (enum proto_op)i;
            return true;
        }
    }
    return err_set(err, "op: '%.64s' is not known", name);
}

static bool
is_complete(const struct proto_request *request, struct err *err)
{
    bool is_pod = request->op == PROTO_POD_ADD || request->op == PROTO_POD_DEL ||
                  request->op == PROTO_POD_CHECK;

    if (is_pod && (!request->container_id || !request->ifname)) {
        return err_set(err, "container_id and ifname are wanted");
    }
    if (request->op == PROTO_POD_ADD && (!request->host_ifname || request->ips.n == 0)) {
        return err_set(err, "host_ifname and ips are wanted");
    }
    if (request->op == PROTO_POD_GC && !request->network) {
        return err_set(err, "network is wanted");
    }
    return true;
}

bool
proto_request_read(const char *line, size_t len, struct proto_request *ret_request, struct err *err)
{
    AUTO(json_tree) struct json_object *json = NULL;
    struct proto_request request = {0};
    const struct word words[] = {{"container_id", &request.container_id, 128, "_.-"},
                                 {"ifname", &request.ifname, 15, "_.-"},
                                 {"netns", &request.netns, 1024, "/_.-:@%+="},
                                 {"namespace", &request.namespace, 253, ".-"},
                                 {"pod", &request.pod, 253, ".-"},
                                 {"network", &request.network, 128, "_.-"},
                                 {"host_ifname", &request.host_ifname, 15, "_.-"}};

    memset(ret_request, 0, sizeof *ret_request);
    if (!json_parse(line, len, &json, err)) {
        return false;
    }
    struct json_at root = json_root(json);
    if (!json_as_object(&root, err) || !read_op(&root, &request.op, err) ||
        !read_words(&root, words, ARRAY_LEN(words), err) || !read_ips(&root, &request, err) ||
        !read_release(&root, &request, err) || !read_valid(&root, &request, err) ||
        (request.op == PROTO_EXPLAIN && !proto_explain_read(&root, &request.explain, err)) ||
        !json_get_bool(&root, "recent", JSON_OPTIONAL, &request.recent, err) ||
        !is_complete(&request, err)) {
        proto_request_done(&request);
        return false;
    }
    *ret_request = request;
    return true;
}

static bool
read_reply(const struct json_at *root, struct proto_reply *reply, struct err *err)
{
    const char *text = NULL;
    int64_t number = 0;
    struct json_at array;

    if (!json_as_object(root, err) || !json_get_bool(root, "ok", JSON_REQUIRED, &reply->ok, err) ||
        !json_get_int(root, "code", (struct json_range){0, 999, JSON_OPTIONAL}, &number, err) ||
        !json_get_string(root, "error", JSON_OPTIONAL, &text, err)) {
        return false;
    }
    reply->code = (int)number;
    reply->error = text ? xstrdup(text) : NULL;
    number = 0;
    if (!json_get_bool(root, "ready", JSON_OPTIONAL, &reply->ready, err) ||
        !json_get_bool(root, "limited", JSON_OPTIONAL, &reply->limited, err) ||
        !json_get_string(root, "reason", JSON_OPTIONAL, &text, err) ||
        !json_get_int(root, "mtu", (struct json_range){0, 65536, JSON_OPTIONAL}, &number, err) ||
        !json_get_array(root, "pod_cidrs", JSON_OPTIONAL, &array, err)) {
        return false;
    }
    reply->reason = text ? xstrdup(text) : NULL;
    reply->mtu = (uint32_t)number;
    number = 0;
    if (!json_get_int(root, "in_force", (struct json_range){0, INT64_MAX, JSON_OPTIONAL}, &number,
                      err)) {
        return false;
    }
    reply->in_force = (uint64_t)number;
    for (size_t i = 0; i < json_len(&array); i++) {
        struct json_at item = json_item(&array, i);
        struct prefix cidr;
        if (!read_prefix(&item, &cidr, err)) {
            return false;
        }
        VEC_PUSH(&reply->pod_cidrs, cidr);
    }
    return true;
}

bool
proto_reply_read(const char *line, size_t len, struct proto_reply *ret_reply, struct err *err)
{
    AUTO(json_tree) struct json_object *json = NULL;
    struct proto_reply reply = {0};

    memset(ret_reply, 0, sizeof *ret_reply);
    if (!json_parse(line, len, &json, err)) {
        return false;
    }
    struct json_at root = json_root(json);
    if (!read_reply(&root, &reply, err)) {
        proto_reply_done(&reply);
        return false;
    }
    *ret_reply = reply;
    return true;
}
