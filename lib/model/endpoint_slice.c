/* Decodes discovery.k8s.io/v1 EndpointSlice. */
#include "lib/model/endpoint_slice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/vec.h"
#include "lib/model/field.h"
#include "lib/model/kind.h"
#include "lib/model/meta.h"

typedef VEC(struct ip) ip_vec;

static void
endpoint_decode(struct json_object *endpoint, size_t index, ip_vec *ips,
                const struct kind_issues *issues)
{
    struct json_object *array = NULL;
    struct err issue = ERR_INIT;
    char what[64];

    snprintf(what, sizeof what, "endpoints[%zu]", index);
    if (!field_array(endpoint, "addresses", &array, &issue)) {
        (void)err_wrap(&issue, "%s", what);
        kind_issue(issues, &issue);
    }
    size_t n = array != NULL ? json_object_array_length(array) : 0;
    for (size_t i = 0; i < n; i++) {
        const char *text = NULL;
        struct ip ip;
        if (!field_value_text(json_object_array_get_idx(array, i), "addresses", &text, &issue) ||
            !ip_parse(text, &ip, &issue)) {
            (void)err_wrap(&issue, "%s", what);
            kind_issue(issues, &issue);
        } else {
            VEC_PUSH(ips, ip);
        }
    }
}

static int
compare_ips(const void *a, const void *b)
{
    return ip_compare(a, b);
}

/* The API lists endpoints in any order, and re-orders them: sorted, that is no change. */
static void
take_ips(struct endpoint_slice *slice, ip_vec *ips)
{
    if (ips->n == 0) {
        return;
    }
    qsort(ips->items, ips->n, sizeof *ips->items, compare_ips);
    for (size_t i = 0; i < ips->n; i++) {
        if (i == 0 || !ip_equal(&ips->items[i], &ips->items[slice->n_ips - 1])) {
            ips->items[slice->n_ips++] = ips->items[i];
        }
    }
    slice->ips = xmemdup(ips->items, slice->n_ips * sizeof *ips->items);
}

static bool
ips_decode(struct endpoint_slice *slice, struct json_object *json, const struct kind_issues *issues,
           struct err *err)
{
    struct json_object *array = NULL;
    const char *type = "";
    ip_vec ips = VEC_INIT;

    if (!field_text(json, "addressType", &type, err) ||
        !field_array(json, "endpoints", &array, err)) {
        return false;
    }
    /* Names of hosts are nothing a packet could be compared with. */
    size_t n = array != NULL && strcmp(type, "FQDN") != 0 ? json_object_array_length(array) : 0;
    for (size_t i = 0; i < n; i++) {
        endpoint_decode(json_object_array_get_idx(array, i), i, &ips, issues);
    }
    take_ips(slice, &ips);
    VEC_DONE(&ips);
    return true;
}

static bool
service_decode(struct endpoint_slice *slice, struct json_object *json, struct err *err)
{
    struct json_object *label =
        field_member(field_find(json, "metadata.labels"), "kubernetes.io/service-name");
    const char *text = NULL;

    if (label == NULL) {
        return true;
    }
    if (!field_value_text(label, "label kubernetes.io/service-name", &text, err)) {
        return false;
    }
    if (text[0] != '\0') {
        slice->service = xstrdup(text);
    }
    return true;
}

void *
endpoint_slice_decode(struct json_object *json, const struct kind_issues *issues, struct err *err)
{
    static const struct named_port_form form = {
        .path = "ports", .port_field = "port", .takes_nameless = true};
    struct endpoint_slice *slice = NEW(struct endpoint_slice);

    if (!meta_name(json, &slice->name, err) || !meta_namespace(json, &slice->ns, err) ||
        !service_decode(slice, json, err) || !ips_decode(slice, json, issues, err) ||
        !named_ports_decode(json, &form, issues, &slice->ports, &slice->n_ports, err)) {
        endpoint_slice_free(slice);
        return NULL;
    }
    return slice;
}

void
endpoint_slice_free(void *object)
{
    struct endpoint_slice *slice = object;

    if (slice == NULL) {
        return;
    }
    free(slice->ns);
    free(slice->name);
    free(slice->service);
    free(slice->ips);
    free(slice->ports);
    free(slice);
}

bool
endpoint_slice_equal(const void *one, const void *other)
{
    const struct endpoint_slice *a = one, *b = other;

    if (!text_equal(a->ns, b->ns) || !text_equal(a->name, b->name) ||
        !text_equal(a->service, b->service) || a->n_ips != b->n_ips ||
        !named_ports_equal(a->ports, a->n_ports, b->ports, b->n_ports)) {
        return false;
    }
    for (size_t i = 0; i < a->n_ips; i++) {
        if (!ip_equal(&a->ips[i], &b->ips[i])) {
            return false;
        }
    }
    return true;
}
