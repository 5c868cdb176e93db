/* Decodes core/v1 Pod.
 *
 * The pools of shared values are the one state in this room: pods come and go one by one through
 * decode() and free(), which have no owner to keep them, and they are empty when no pod is left. */
#include "lib/model/pod.h"

#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/str.h"
#include "lib/base/vec.h"
#include "lib/json/json.h"
#include "lib/model/field.h"
#include "lib/model/kind.h"
#include "lib/model/meta.h"
#include "lib/model/pod_text.h"
#include "lib/model/share.h"

#define ANNOTATION_IPS "cni.projectcalico.org/podIPs"
#define ANNOTATION_IP "cni.projectcalico.org/podIP"
#define VERSION_LEN_MAX 32 /* of a plain one */

static struct share texts, label_sets, port_lists;

/* ---- addresses
 * ------------------------------------------------------------------------------------------- */

static void
address_add(struct pod *pod, const struct ip *ip)
{
    struct ip *slot = ip->family == 4 ? &pod->ip4 : &pod->ip6;

    if (slot->family == 0) {
        *slot = *ip;
    }
}

static void
address_read(struct pod *pod, const char *text, const char *what, const struct kind_issues *issues)
{
    struct ip ip;
    struct err err = ERR_INIT;

    if (text == NULL || text[0] == '\0') {
        return;
    }
    if (!ip_parse(text, &ip, &err)) {
        (void)err_wrap(&err, "%s", what);
        kind_issue(issues, &err);
        return;
    }
    address_add(pod, &ip);
}

static void
status_decode(struct pod *pod, struct json_object *json, const struct kind_issues *issues)
{
    struct json_object *array = NULL;
    struct err err = ERR_INIT;
    const char *text = NULL;
    char what[48];

    if (!field_array(json, "status.podIPs", &array, &err)) {
        kind_issue(issues, &err);
    }
    size_t n = array != NULL ? json_object_array_length(array) : 0;
    for (size_t i = 0; i < n; i++) {
        text = NULL;
        snprintf(what, sizeof what, "status.podIPs[%zu].ip", i);
        if (!field_text(json_object_array_get_idx(array, i), "ip", &text, &err)) {
            (void)err_set(&err, "%s: is not a string", what);
            kind_issue(issues, &err);
            continue;
        }
        address_read(pod, text, what, issues);
    }
    text = NULL;
    if (!field_text(json, "status.podIP", &text, &err)) {
        kind_issue(issues, &err);
    } else if (n == 0) {
        address_read(pod, text, "status.podIP", issues);
    }
}

/* "10.0.0.1/32,fd00::1/128": Calico's plugin writes it seconds before kubelet writes the status. */
static void
annotation_read(struct pod *pod, const char *key, const char *text,
                const struct kind_issues *issues)
{
    AUTO_FREE char *copy = xstrdup(text);
    char *save = NULL;

    for (char *item = strtok_r(copy, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
        struct prefix prefix;
        struct err err = ERR_INIT;
        if (prefix_parse_host(item, &prefix, &err) && prefix.len != ip_bits(&prefix.ip)) {
            (void)err_set(&err, "'%.64s' is not one address", item);
        }
        if (err.text[0] != '\0') {
            (void)err_wrap(&err, "annotation %s", key);
            kind_issue(issues, &err);
            continue;
        }
        address_add(pod, &prefix.ip);
    }
}

/* The annotation's text, NULL when there is none; podIPs stands before podIP. */
static const char *
annotation_ips(struct json_object *json, const char **ret_key)
{
    static const char *const keys[] = {ANNOTATION_IPS, ANNOTATION_IP};
    struct json_object *annotations = field_find(json, "metadata.annotations");

    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        const char *text = NULL;
        if (field_value_text(field_member(annotations, keys[i]), keys[i], &text, NULL)) {
            *ret_key = keys[i];
            return text;
        }
    }
    return NULL;
}

static bool
is_finished(struct json_object *json, const char *annotation)
{
    const char *phase = NULL;

    if (field_text(json, "status.phase", &phase, NULL) && phase != NULL &&
        (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0)) {
        return true;
    }
    return annotation != NULL && annotation[0] == '\0' &&
           field_find(json, "metadata.deletionTimestamp") != NULL;
}

static void
addresses_decode(struct pod *pod, struct json_object *json, const struct kind_issues *issues)
{
    const char *key = NULL;
    const char *annotation = annotation_ips(json, &key);

    status_decode(pod, json, issues);
    if (annotation != NULL && pod->ip4.family == 0 && pod->ip6.family == 0) {
        annotation_read(pod, key, annotation, issues);
    }
    pod->is_finished = is_finished(json, annotation);
}

/* ---- what pods share
 * ------------------------------------------------------------------------------------------- */

static struct label *
share_labels(const char *text, size_t len, size_t n)
{
    bool is_new;
    struct label *items = share_take(&label_sets, n * sizeof *items, text, len, &is_new);
    char *at = (char *)(items + n);

    for (size_t i = 0; is_new && i < n; i++) {
        items[i].key = at;
        at += strlen(at) + 1;
        items[i].value = at;
        at += strlen(at) + 1;
    }
    return items;
}

static bool
shared_labels(struct json_object *json, const struct kind_issues *issues, struct labels *ret_labels,
              struct err *err)
{
    struct labels labels;
    size_t len = 0;

    if (!labels_decode_own(field_find(json, "metadata.labels"), issues, &labels, err)) {
        return false;
    }
    *ret_labels = (struct labels){.n = labels.n};
    if (labels.n == 0) {
        return true;
    }
    const char *text = labels_bytes(&labels, &len);
    ret_labels->items = share_labels(text, len, labels.n);
    labels_done(&labels);
    return true;
}

typedef VEC(struct named_port) port_vec;

static bool
container_ports(struct json_object *container, const char *what, port_vec *ports,
                const struct kind_issues *issues, struct err *err)
{
    static const struct named_port_form form = {.port_field = "containerPort"};
    struct json_object *array = NULL;

    if (!field_array(container, "ports", &array, err)) {
        return err_wrap(err, "%s", what);
    }
    size_t n = array != NULL ? json_object_array_length(array) : 0;
    for (size_t i = 0; i < n && ports->n < UINT16_MAX; i++) {
        struct err issue = ERR_INIT;
        struct named_port port;
        bool is_usable = false;
        if (!named_port_decode(json_object_array_get_idx(array, i), &form, &port, &is_usable,
                               &issue)) {
            (void)err_wrap(&issue, "%s.ports[%zu]", what, i);
            kind_issue(issues, &issue);
        } else if (is_usable) {
            VEC_PUSH(ports, port);
        }
    }
    return true;
}

/* An init container that ends before the pod serves has no port anybody could reach. */
static bool
is_sidecar(struct json_object *container)
{
    const char *policy = NULL;

    return field_text(container, "restartPolicy", &policy, NULL) && policy != NULL &&
           strcmp(policy, "Always") == 0;
}

static bool
containers_decode(struct json_object *json, const char *path, bool are_init, port_vec *ports,
                  const struct kind_issues *issues, struct err *err)
{
    struct json_object *array = NULL;
    char what[48];

    if (!field_array(json, path, &array, err)) {
        return false;
    }
    size_t n = array != NULL ? json_object_array_length(array) : 0;
    for (size_t i = 0; i < n; i++) {
        struct json_object *container = json_object_array_get_idx(array, i);
        if (are_init && !is_sidecar(container)) {
            continue;
        }
        snprintf(what, sizeof what, "%s[%zu]", path, i);
        if (!container_ports(container, what, ports, issues, err)) {
            return false;
        }
    }
    return true;
}

/* The bytes that make two lists equal: protocol, number and name of each. */
static const struct named_port *
share_ports(const struct named_port *ports, size_t n)
{
    AUTO(str) struct str bytes = STR_INIT;
    bool is_new;

    if (n == 0) {
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        str_add_char(&bytes, (char)ports[i].protocol);
        str_add_bytes(&bytes, &ports[i].port, sizeof ports[i].port);
        str_add_bytes(&bytes, ports[i].name, strlen(ports[i].name) + 1);
    }
    struct named_port *items =
        share_take(&port_lists, n * sizeof *items, bytes.text, bytes.len, &is_new);
    char *at = (char *)(items + n);
    for (size_t i = 0; is_new && i < n; i++) {
        items[i] = ports[i];
        items[i].name = at + 1 + sizeof items[i].port;
        at = items[i].name + strlen(items[i].name) + 1;
    }
    return items;
}

static bool
ports_decode(struct pod *pod, struct json_object *json, const struct kind_issues *issues,
             struct err *err)
{
    port_vec ports = VEC_INIT;
    bool is_good = containers_decode(json, "spec.containers", false, &ports, issues, err) &&
                   containers_decode(json, "spec.initContainers", true, &ports, issues, err);

    if (is_good) {
        pod->ports = share_ports(ports.items, ports.n);
        pod->n_ports = (uint16_t)ports.n;
    }
    VEC_DONE(&ports);
    return is_good;
}

static bool
shared_text(struct json_object *json, const char *path, const char **ret_text, struct err *err)
{
    const char *text = NULL;

    if (!field_text(json, path, &text, err)) {
        return false;
    }
    *ret_text = text != NULL && text[0] != '\0' ? share_text(&texts, text) : NULL;
    return true;
}

/* ---- the kind's row
 * ------------------------------------------------------------------------------------------- */

static struct pod *
new_pod(const char *name, size_t len)
{
    struct pod *pod = xcalloc(1, sizeof *pod + len + 1);

    pod->name = memcpy(pod + 1, name, len);
    return pod;
}

void *
pod_decode(struct json_object *json, const struct kind_issues *issues, struct err *err)
{
    AUTO_FREE char *name = NULL;
    AUTO_FREE char *ns = NULL;

    if (!meta_name(json, &name, err) || !meta_namespace(json, &ns, err)) {
        return NULL;
    }
    struct pod *pod = new_pod(name, strlen(name));
    pod->ns = share_text(&texts, ns);
    if (!shared_text(json, "spec.nodeName", &pod->node_name, err) ||
        !shared_text(json, "spec.serviceAccountName", &pod->service_account, err) ||
        !field_bool(json, "spec.hostNetwork", &pod->is_host_network, NULL, err) ||
        !shared_labels(json, issues, &pod->labels, err) || !ports_decode(pod, json, issues, err)) {
        pod_free(pod);
        return NULL;
    }
    addresses_decode(pod, json, issues);
    pod->asks = pod_asks_take(field_find(json, "metadata.annotations"), issues);
    return pod;
}

/* ---- from the text
 * ------------------------------------------------------------------------------- What follows does
 * for a struct pod_text what the functions above do for a tree; where they would report or refuse
 * something it gives up.
 */

/* Room for the texts of one pod while they are terminated. */
struct scratch {
    char bytes[4096];
    size_t len;
};

/* The text with its NUL; NULL when there is no room. */
static const char *
scratch_add(struct scratch *scratch, struct json_span span)
{
    char *copy = scratch->bytes + scratch->len;

    if (span.len >= sizeof scratch->bytes - scratch->len) {
        return NULL;
    }
    if (span.len > 0) {
        memcpy(copy, span.text, span.len);
    }
    copy[span.len] = '\0';
    scratch->len += span.len + 1;
    return copy;
}

static bool
scan_text(struct json_span span, const char **ret_text)
{
    struct scratch scratch;

    scratch.len = 0;
    if (span.len == 0) {
        *ret_text = NULL;
        return true;
    }
    const char *text = scratch_add(&scratch, span);
    *ret_text = text ? share_text(&texts, text) : NULL;
    return text;
}

static int
compare_spans(struct json_span a, struct json_span b)
{
    int order = memcmp(a.text, b.text, a.len < b.len ? a.len : b.len);

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* False: a key stands there twice. */
static bool
sort_labels(struct pod_text_label *labels, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct pod_text_label label = labels[i];
        size_t place = i;
        int order = 1;
        while (place > 0 && (order = compare_spans(labels[place - 1].key, label.key)) > 0) {
            labels[place] = labels[place - 1];
            place--;
        }
        if (place > 0 && order == 0) {
            return false;
        }
        labels[place] = label;
    }
    return true;
}

static bool
scan_labels(struct pod *pod, struct pod_text *text)
{
    struct scratch scratch;

    scratch.len = 0;
    if (!sort_labels(text->labels, text->n_labels)) {
        return false;
    }
    for (size_t i = 0; i < text->n_labels; i++) {
        const char *key = scratch_add(&scratch, text->labels[i].key);
        if (!key || labels_is_reserved(key) || !scratch_add(&scratch, text->labels[i].value)) {
            return false;
        }
    }
    if (text->n_labels > 0) {
        pod->labels.items = share_labels(scratch.bytes, scratch.len, text->n_labels);
        pod->labels.n = text->n_labels;
    }
    return true;
}

static bool
span_is(struct json_span span, const char *text)
{
    return span.len == strlen(text) && memcmp(span.text, text, span.len) == 0;
}

/* False: a protocol that is none of the three, spelled as the API spells them. */
static bool
scan_protocol(struct json_span span, uint8_t *ret_protocol)
{
    if (!span.text || span_is(span, "TCP")) {
        *ret_protocol = IPPROTO_TCP;
    } else if (span_is(span, "UDP")) {
        *ret_protocol = IPPROTO_UDP;
    } else if (span_is(span, "SCTP")) {
        *ret_protocol = IPPROTO_SCTP;
    } else {
        return false;
    }
    return true;
}

static bool
scan_ports_of(const struct pod_text_ports *from, struct named_port *ports, size_t *n_ports,
              struct scratch *scratch)
{
    for (size_t i = 0; i < from->n; i++) {
        const struct pod_text_port *item = &from->items[i];
        struct named_port port = {.port = (uint16_t)item->number};
        if (item->number > UINT16_MAX || !scan_protocol(item->protocol, &port.protocol)) {
            return false;
        }
        if (item->number == 0 || item->name.len == 0) {
            continue;
        }
        const char *name = scratch_add(scratch, item->name);
        if (!name || !named_port_is_name(name)) {
            return false;
        }
        port.name = (char *)(uintptr_t)name; /* only read until it is copied */
        ports[(*n_ports)++] = port;
    }
    return true;
}

static bool
scan_ports(struct pod *pod, const struct pod_text *text)
{
    struct named_port ports[2 * POD_TEXT_PORTS_MAX];
    struct scratch scratch;
    size_t n = 0;

    scratch.len = 0;
    if (!scan_ports_of(&text->containers, ports, &n, &scratch) ||
        !scan_ports_of(&text->sidecars, ports, &n, &scratch)) {
        return false;
    }
    pod->ports = share_ports(ports, n);
    pod->n_ports = (uint16_t)n;
    return true;
}

static bool
scan_addresses(struct pod *pod, struct pod_text *text)
{
    struct json_span annotation =
        text->annotated_ips.text ? text->annotated_ips : text->annotated_ip;

    if (!text->has_ips && text->ip.len > 0 && !pod_text_add_ip(text, text->ip)) {
        return false;
    }
    if (text->ip4.family == 0 && text->ip6.family == 0 && annotation.len > 0) {
        return false; /* the address is in the annotation alone: for seconds, at a pod's start */
    }
    pod->ip4 = text->ip4;
    pod->ip6 = text->ip6;
    pod->is_finished = span_is(text->phase, "Succeeded") || span_is(text->phase, "Failed") ||
                       (annotation.text && annotation.len == 0 && text->deleted_at.text);
    return true;
}

void *
pod_scan(const char *json, size_t len, struct kind_head *ret_head)
{
    struct pod_text text;

    if (!pod_text_read(json, len, &text) || !text.name.text || !text.ns.text ||
        text.version.len > VERSION_LEN_MAX) {
        return NULL;
    }
    struct pod *pod = new_pod(text.name.text, text.name.len);
    pod->is_host_network = text.is_host_network;
    if (!meta_is_name(pod->name) || !scan_text(text.ns, &pod->ns) || !pod->ns ||
        !meta_is_name(pod->ns) || !scan_text(text.node_name, &pod->node_name) ||
        !scan_text(text.service_account, &pod->service_account) || !scan_labels(pod, &text) ||
        !scan_ports(pod, &text) || !scan_addresses(pod, &text)) {
        pod_free(pod);
        return NULL;
    }
    *ret_head = (struct kind_head){.ns = pod->ns,
                                   .name = pod->name,
                                   .version = text.version.text,
                                   .version_len = text.version.len};
    return pod;
}

void
pod_free(void *object)
{
    struct pod *pod = object;

    if (pod == NULL) {
        return;
    }
    share_drop(&texts, pod->ns);
    share_drop(&texts, pod->node_name);
    share_drop(&texts, pod->service_account);
    share_drop(&label_sets, pod->labels.items);
    share_drop(&port_lists, pod->ports);
    pod_asks_drop(pod->asks);
    free(pod);
}

/* Shared values are equal when their pointers are. */
bool
pod_equal(const void *one, const void *other)
{
    const struct pod *a = one, *b = other;

    return strcmp(a->name, b->name) == 0 && a->ns == b->ns && a->node_name == b->node_name &&
           a->service_account == b->service_account && a->labels.items == b->labels.items &&
           a->ports == b->ports && a->asks == b->asks && ip_equal(&a->ip4, &b->ip4) &&
           ip_equal(&a->ip6, &b->ip6) && a->is_host_network == b->is_host_network &&
           a->is_finished == b->is_finished;
}

bool
pod_is_local_endpoint(const struct pod *pod, const char *node_name)
{
    return pod->node_name != NULL && strcmp(pod->node_name, node_name) == 0 &&
           !pod->is_host_network && !pod->is_finished;
}
