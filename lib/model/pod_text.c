/* Finds in a Pod's text what pod_decode() reads from its tree, field by field the same. Called by
 * pod_scan(). The tables name the members that lib/feed/keep.c keeps: a member that json-c would
 * see must not be jumped over here, or a broken one would be taken. */
#include "lib/model/pod_text.h"

#include <string.h>

#include "lib/json/scan.h"
#include "lib/model/pod_asks.h"

#define PLACE(member) offsetof(struct pod_text, member)

/* ---- metadata ----------------------------------------------------------------------------------
 */

static bool
put_label(void *owner, struct json_span key, struct json_span value)
{
    struct pod_text *pod = owner;

    if (pod->n_labels == POD_TEXT_LABELS_MAX) {
        return false;
    }
    pod->labels[pod->n_labels++] = (struct pod_text_label){.key = key, .value = value};
    return true;
}

static const char *
read_labels(const char *text, const char *end, void *object, size_t offset)
{
    (void)offset;
    return json_plain_map(text, end, put_label, object);
}

/* What a pod asks for is read from its tree: nearly no pod does. */
static const char *
read_asks(const char *text, const char *end, void *object, size_t offset)
{
    struct json_span span = {0};
    const char *behind = json_plain_span(text, end, &span, 0);

    (void)object;
    (void)offset;
    return span.len == 0 ? behind : NULL;
}

#define ASKS(key) JSON_PLAIN(key, read_asks, 0),

static const char *
read_annotations(const char *text, const char *end, void *object, size_t offset)
{
    static const struct json_plain_field fields[] = {
        JSON_PLAIN("cni.projectcalico.org/podIPs", json_plain_span, PLACE(annotated_ips)),
        JSON_PLAIN("cni.projectcalico.org/podIP", json_plain_span, PLACE(annotated_ip)),
        POD_ASKS_ANNOTATIONS(ASKS) JSON_PLAIN_END,
    };

    (void)offset;
    return json_plain_object(text, end, fields, object);
}

static const char *
read_metadata(const char *text, const char *end, void *object, size_t offset)
{
    static const struct json_plain_field fields[] = {
        JSON_PLAIN("name", json_plain_span, PLACE(name)),
        JSON_PLAIN("namespace", json_plain_span, PLACE(ns)),
        JSON_PLAIN("labels", read_labels, 0),
        JSON_PLAIN("annotations", read_annotations, 0),
        JSON_PLAIN("deletionTimestamp", json_plain_span, PLACE(deleted_at)),
        JSON_PLAIN("resourceVersion", json_plain_span, PLACE(version)),
        JSON_PLAIN_END,
    };

    (void)offset;
    return json_plain_object(text, end, fields, object);
}

/* ---- spec --------------------------------------------------------------------------------------
 */

/* One container, which adds its ports to a list. */
struct container {
    struct pod_text_ports *ports;
    struct json_span restart_policy;
};

static const char *
read_port(const char *text, const char *end, void *object, size_t offset)
{
    static const struct json_plain_field fields[] = {
        JSON_PLAIN("name", json_plain_span, offsetof(struct pod_text_port, name)),
        JSON_PLAIN("containerPort", json_plain_number, offsetof(struct pod_text_port, number)),
        JSON_PLAIN("protocol", json_plain_span, offsetof(struct pod_text_port, protocol)),
        JSON_PLAIN_END,
    };
    struct pod_text_ports *ports = ((struct container *)object)->ports;

    (void)offset;
    if (ports->n == POD_TEXT_PORTS_MAX) {
        return NULL;
    }
    struct pod_text_port *port = &ports->items[ports->n++];
    *port = (struct pod_text_port){0};
    return json_plain_object(text, end, fields, port);
}

static const char *
read_ports(const char *text, const char *end, void *object, size_t offset)
{
    return json_plain_list(text, end, read_port, object, offset);
}

static const struct json_plain_field container_fields[] = {
    JSON_PLAIN("ports", read_ports, 0),
    JSON_PLAIN("restartPolicy", json_plain_span, offsetof(struct container, restart_policy)),
    JSON_PLAIN_END,
};

static const char *
read_container(const char *text, const char *end, void *object, size_t offset)
{
    struct container container = {.ports = &((struct pod_text *)object)->containers};

    (void)offset;
    return json_plain_object(text, end, container_fields, &container);
}

/* An init container that ends before the pod serves has no port anybody could reach. */
static const char *
read_init_container(const char *text, const char *end, void *object, size_t offset)
{
    static const char always[] = "Always";
    struct pod_text_ports *ports = &((struct pod_text *)object)->sidecars;
    struct container container = {.ports = ports};
    const struct json_span *policy = &container.restart_policy;
    size_t n_before = ports->n;

    (void)offset;
    text = json_plain_object(text, end, container_fields, &container);
    if (policy->len != strlen(always) || memcmp(policy->text, always, policy->len) != 0) {
        ports->n = n_before;
    }
    return text;
}

static const char *
read_containers(const char *text, const char *end, void *object, size_t offset)
{
    return json_plain_list(text, end, read_container, object, offset);
}

static const char *
read_init_containers(const char *text, const char *end, void *object, size_t offset)
{
    return json_plain_list(text, end, read_init_container, object, offset);
}

static const char *
read_spec(const char *text, const char *end, void *object, size_t offset)
{
    static const struct json_plain_field fields[] = {
        JSON_PLAIN("nodeName", json_plain_span, PLACE(node_name)),
        JSON_PLAIN("hostNetwork", json_plain_bool, PLACE(is_host_network)),
        JSON_PLAIN("serviceAccountName", json_plain_span, PLACE(service_account)),
        JSON_PLAIN("containers", read_containers, 0),
        JSON_PLAIN("initContainers", read_init_containers, 0),
        JSON_PLAIN_END,
    };

    (void)offset;
    return json_plain_object(text, end, fields, object);
}

/* ---- status ------------------------------------------------------------------------------------
 */

bool
pod_text_add_ip(struct pod_text *pod, struct json_span text)
{
    char copy[IP_TEXT_MAX];
    struct ip ip;

    if (text.len >= sizeof copy) {
        return false;
    }
    memcpy(copy, text.text, text.len);
    copy[text.len] = '\0';
    if (!ip_parse(copy, &ip, NULL)) {
        return false;
    }
    struct ip *slot = ip.family == 4 ? &pod->ip4 : &pod->ip6;
    if (slot->family == 0) {
        *slot = ip;
    }
    return true;
}

static const char *
read_ip(const char *text, const char *end, void *object, size_t offset)
{
    static const struct json_plain_field fields[] = {
        JSON_PLAIN("ip", json_plain_span, 0),
        JSON_PLAIN_END,
    };
    struct pod_text *pod = object;
    struct json_span ip = {0};

    (void)offset;
    pod->has_ips = true;
    text = json_plain_whole_object(text, end, fields, &ip);
    return ip.len == 0 || pod_text_add_ip(pod, ip) ? text : NULL;
}

static const char *
read_ips(const char *text, const char *end, void *object, size_t offset)
{
    return json_plain_list(text, end, read_ip, object, offset);
}

static const char *
read_status(const char *text, const char *end, void *object, size_t offset)
{
    static const struct json_plain_field fields[] = {
        JSON_PLAIN("phase", json_plain_span, PLACE(phase)),
        JSON_PLAIN("podIP", json_plain_span, PLACE(ip)),
        JSON_PLAIN("podIPs", read_ips, 0),
        JSON_PLAIN_END,
    };

    (void)offset;
    return json_plain_object(text, end, fields, object);
}

bool
pod_text_read(const char *text, size_t len, struct pod_text *ret_pod)
{
    static const struct json_plain_field fields[] = {
        JSON_PLAIN("metadata", read_metadata, 0),
        JSON_PLAIN("spec", read_spec, 0),
        JSON_PLAIN("status", read_status, 0),
        JSON_PLAIN_END,
    };
    const char *end = text + len;

    *ret_pod = (struct pod_text){0};
    text = json_plain_object(json_skip_space(text, end), end, fields, ret_pod);
    return text && json_skip_space(text, end) == end;
}
