/* Decodes core/v1 Pod. */
#include "lib/model/pod.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/model/field.h"
#include "lib/model/kind.h"
#include "lib/model/meta.h"

static void
address_add(struct pod *pod, const char *text, const char *what, const struct kind_issues *issues)
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
    struct ip *slot = ip.family == 4 ? &pod->ip4 : &pod->ip6;
    if (slot->family == 0) {
        *slot = ip;
    }
}

static void
addresses_decode(struct pod *pod, struct json_object *json, const struct kind_issues *issues)
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
        address_add(pod, text, what, issues);
    }
    text = NULL;
    if (!field_text(json, "status.podIP", &text, &err)) {
        kind_issue(issues, &err);
    } else if (n == 0) {
        address_add(pod, text, "status.podIP", issues);
    }
}

/* A terminating pod keeps its addresses until the CNI DEL blanked its annotation. */
static bool
is_finished(struct json_object *json)
{
    const char *phase = NULL, *deletion = NULL;
    struct json_object *ips =
        field_member(field_find(json, "metadata.annotations"), "cni.projectcalico.org/podIPs");

    if (field_text(json, "status.phase", &phase, NULL) && phase != NULL &&
        (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0)) {
        return true;
    }
    return field_text(json, "metadata.deletionTimestamp", &deletion, NULL) && deletion != NULL &&
           json_object_is_type(ips, json_type_string) && json_object_get_string_len(ips) == 0;
}

void *
pod_decode(struct json_object *json, const struct kind_issues *issues, struct err *err)
{
    struct pod *pod = NEW(struct pod);

    if (!meta_name(json, &pod->name, err) || !meta_namespace(json, &pod->ns, err) ||
        !field_copy(json, "spec.nodeName", &pod->node_name, err) ||
        !field_bool(json, "spec.hostNetwork", &pod->is_host_network, NULL, err) ||
        !labels_decode(json, &pod->labels, err)) {
        pod_free(pod);
        return NULL;
    }
    addresses_decode(pod, json, issues);
    pod->is_finished = is_finished(json);
    return pod;
}

void
pod_free(void *object)
{
    struct pod *pod = object;

    if (pod == NULL) {
        return;
    }
    free(pod->name);
    free(pod->ns);
    free(pod->node_name);
    labels_done(&pod->labels);
    free(pod);
}

bool
pod_equal(const void *one, const void *other)
{
    const struct pod *a = one, *b = other;

    return text_equal(a->name, b->name) && text_equal(a->ns, b->ns) &&
           text_equal(a->node_name, b->node_name) && ip_equal(&a->ip4, &b->ip4) &&
           ip_equal(&a->ip6, &b->ip6) && a->is_host_network == b->is_host_network &&
           a->is_finished == b->is_finished && labels_equal(&a->labels, &b->labels);
}

bool
pod_is_local_endpoint(const struct pod *pod, const char *node_name)
{
    return pod->node_name != NULL && strcmp(pod->node_name, node_name) == 0 &&
           !pod->is_host_network && !pod->is_finished;
}
