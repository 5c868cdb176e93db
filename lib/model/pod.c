/* Decodes core/v1 Pod.
 *
 * The pools of shared values are the one state in this room: pods come and go one by one through
 * decode() and free(), which have no owner to keep them, and they are empty when no pod is left. */
#include "lib/model/pod.h"

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
#include "lib/model/share.h"

#define ANNOTATION_IPS "cni.projectcalico.org/podIPs"
#define ANNOTATION_IP "cni.projectcalico.org/podIP"
#define ANNOTATION_SOURCES "cni.projectcalico.org/allowedSourcePrefixes"

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

/* ---- sources
 * ------------------------------------------------------------------------------------------- */

static void
source_issue(struct err *err, const struct kind_issues *issues)
{
    (void)err_wrap(err, "annotation " ANNOTATION_SOURCES);
    kind_issue(issues, err);
}

static void
add_sources(struct json_object *array, struct str *list, const struct kind_issues *issues)
{
    size_t n = json_object_array_length(array);

    for (size_t i = 0; i < n; i++) {
        struct err err = ERR_INIT;
        const char *text = NULL;
        struct prefix net;
        char canonical[PREFIX_TEXT_MAX];
        if (i == POD_SOURCES_MAX) {
            (void)err_set(&err, "%zu networks, %d are taken", n, POD_SOURCES_MAX);
            source_issue(&err, issues);
            return;
        }
        if (!field_value_text(json_object_array_get_idx(array, i), "value", &text, &err) || !text ||
            !prefix_parse_host(text, &net, &err)) {
            source_issue(&err, issues);
            continue;
        }
        net = prefix_network(&net);
        str_addf(list, "%s%s", list->len > 0 ? "," : "", prefix_format(&net, canonical));
    }
}

/* A JSON list in a text. What is not understood allows nothing. */
static void
sources_decode(struct pod *pod, struct json_object *json, const struct kind_issues *issues)
{
    struct json_object *annotations = field_find(json, "metadata.annotations");
    AUTO(str) struct str list = STR_INIT;
    struct err err = ERR_INIT;
    const char *text = NULL;

    if (!field_value_text(field_member(annotations, ANNOTATION_SOURCES), ANNOTATION_SOURCES, &text,
                          NULL) ||
        text == NULL || text[0] == '\0') {
        return;
    }
    struct json_object *array = NULL;
    bool is_good = json_parse(text, strlen(text), &array, &err) &&
                   (json_object_is_type(array, json_type_array) ||
                    err_set(&err, "'%.64s' is not a list", text));
    if (is_good) {
        add_sources(array, &list, issues);
    } else {
        source_issue(&err, issues);
    }
    json_object_put(array);
    pod->allowed_sources = list.len > 0 ? share_text(&texts, list.text) : NULL;
}

size_t
pod_allowed_sources(const struct pod *pod, struct prefix ret_nets[POD_SOURCES_MAX])
{
    AUTO_FREE char *copy = xstrdup(pod->allowed_sources ? pod->allowed_sources : "");
    char *save = NULL;
    size_t n = 0;

    for (char *item = strtok_r(copy, ",", &save); item && n < POD_SOURCES_MAX;
         item = strtok_r(NULL, ",", &save)) {
        n += prefix_parse_host(item, &ret_nets[n], NULL);
    }
    return n;
}

/* ---- what pods share
 * ------------------------------------------------------------------------------------------- */

static bool
shared_labels(struct json_object *json, const struct kind_issues *issues, struct labels *ret_labels,
              struct err *err)
{
    struct labels labels;
    size_t len = 0;
    bool is_new;

    if (!labels_decode_own(field_find(json, "metadata.labels"), issues, &labels, err)) {
        return false;
    }
    *ret_labels = (struct labels){.n = labels.n};
    if (labels.n == 0) {
        return true;
    }
    const char *text = labels_bytes(&labels, &len);
    ret_labels->items =
        share_take(&label_sets, labels.n * sizeof *labels.items, text, len, &is_new);
    char *at = (char *)(ret_labels->items + labels.n);
    for (size_t i = 0; is_new && i < labels.n; i++) {
        ret_labels->items[i].key = at;
        at += strlen(at) + 1;
        ret_labels->items[i].value = at;
        at += strlen(at) + 1;
    }
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
shared_ports(const port_vec *ports)
{
    AUTO(str) struct str bytes = STR_INIT;
    bool is_new;

    if (ports->n == 0) {
        return NULL;
    }
    VEC_FOREACH (ports, port) {
        str_add_char(&bytes, (char)port->protocol);
        str_add_bytes(&bytes, &port->port, sizeof port->port);
        str_add_bytes(&bytes, port->name, strlen(port->name) + 1);
    }
    struct named_port *items =
        share_take(&port_lists, ports->n * sizeof *items, bytes.text, bytes.len, &is_new);
    char *at = (char *)(items + ports->n);
    for (size_t i = 0; is_new && i < ports->n; i++) {
        items[i] = ports->items[i];
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
        pod->ports = shared_ports(&ports);
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
new_pod(const char *name)
{
    size_t len = strlen(name) + 1;
    struct pod *pod = xcalloc(1, sizeof *pod + len);

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
    struct pod *pod = new_pod(name);
    pod->ns = share_text(&texts, ns);
    if (!shared_text(json, "spec.nodeName", &pod->node_name, err) ||
        !shared_text(json, "spec.serviceAccountName", &pod->service_account, err) ||
        !field_bool(json, "spec.hostNetwork", &pod->is_host_network, NULL, err) ||
        !shared_labels(json, issues, &pod->labels, err) || !ports_decode(pod, json, issues, err)) {
        pod_free(pod);
        return NULL;
    }
    addresses_decode(pod, json, issues);
    sources_decode(pod, json, issues);
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
    share_drop(&texts, pod->allowed_sources);
    free(pod);
}

/* Shared values are equal when their pointers are. */
bool
pod_equal(const void *one, const void *other)
{
    const struct pod *a = one, *b = other;

    return strcmp(a->name, b->name) == 0 && a->ns == b->ns && a->node_name == b->node_name &&
           a->service_account == b->service_account && a->labels.items == b->labels.items &&
           a->ports == b->ports && a->allowed_sources == b->allowed_sources &&
           ip_equal(&a->ip4, &b->ip4) && ip_equal(&a->ip6, &b->ip6) &&
           a->is_host_network == b->is_host_network && a->is_finished == b->is_finished;
}

bool
pod_is_local_endpoint(const struct pod *pod, const char *node_name)
{
    return pod->node_name != NULL && strcmp(pod->node_name, node_name) == 0 &&
           !pod->is_host_network && !pod->is_finished;
}
