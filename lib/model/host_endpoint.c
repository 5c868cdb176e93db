/* Decodes projectcalico HostEndpoint. */
#include "lib/model/host_endpoint.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/vec.h"
#include "lib/model/field.h"
#include "lib/model/kind.h"
#include "lib/model/meta.h"
#include "lib/model/pod_asks.h"

/* It stands in iptables rules, where '+' at the end would mean more than this interface. */
static bool
is_interface_name(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len < IF_NAMESIZE &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:@-") ==
               len;
}

static bool
place_decode(struct host_endpoint *host, struct json_object *json, struct err *err)
{
    if (!field_copy(json, "spec.node", &host->node, err) ||
        !field_copy(json, "spec.interfaceName", &host->interface_name, err)) {
        return false;
    }
    if (host->node == NULL) {
        return err_set(err, "spec.node: is missing");
    }
    if (!meta_is_name(host->node)) {
        return err_set(err, "spec.node: '%.64s' is not the name of a node", host->node);
    }
    if (host->interface_name != NULL && strcmp(host->interface_name, "*") != 0 &&
        !is_interface_name(host->interface_name)) {
        return err_set(err, "spec.interfaceName: '%.64s' is neither an interface name nor *",
                       host->interface_name);
    }
    return true;
}

/* A bad address is left out: without an interface name at least one good one must be there. */
static bool
ips_decode(struct host_endpoint *host, struct json_object *json, const struct kind_issues *issues,
           struct err *err)
{
    struct json_object *array = NULL;
    VEC(struct ip) ips = VEC_INIT;

    if (!field_array(json, "spec.expectedIPs", &array, err)) {
        return false;
    }
    size_t n = array != NULL ? json_object_array_length(array) : 0;
    for (size_t i = 0; i < n; i++) {
        struct err issue = ERR_INIT;
        const char *text = NULL;
        struct ip ip;
        char what[48];
        snprintf(what, sizeof what, "spec.expectedIPs[%zu]", i);
        if (!field_value_text(json_object_array_get_idx(array, i), what, &text, &issue)) {
            kind_issue(issues, &issue);
        } else if (!ip_parse(text, &ip, &issue)) {
            (void)err_wrap(&issue, "%s", what);
            kind_issue(issues, &issue);
        } else {
            VEC_PUSH(&ips, ip);
        }
    }
    host->n_expected_ips = ips.n;
    host->expected_ips = ips.items;
    return host->interface_name != NULL || ips.n > 0 ||
           err_set(err, "spec: neither interfaceName nor expectedIPs say which interface it is");
}

/* A profile nobody knows allows nothing: it stays in the list and is named. */
static bool
profiles_decode(struct host_endpoint *host, struct json_object *json,
                const struct kind_issues *issues, struct err *err)
{
    if (!field_copy_texts(json, "spec.profiles", &host->profiles, &host->n_profiles, err)) {
        return false;
    }
    for (size_t i = 0; i < host->n_profiles; i++) {
        struct err issue = ERR_INIT;
        if (strcmp(host->profiles[i], "projectcalico-default-allow") != 0 &&
            strncmp(host->profiles[i], "kns.", 4) != 0) {
            (void)err_set(&issue, "spec.profiles[%zu]: '%.64s' is not known; it allows nothing", i,
                          host->profiles[i]);
            kind_issue(issues, &issue);
        }
    }
    return true;
}

static bool
dscp_read(struct host_endpoint *host, struct json_object *json, const struct kind_issues *issues,
          struct err *err)
{
    struct json_object *metadata = NULL;

    if (!meta_calico(json, &metadata, err)) {
        return false;
    }
    host->dscp = dscp_decode(field_find(metadata, "annotations"), issues);
    json_object_put(metadata);
    return true;
}

void *
host_endpoint_decode(struct json_object *json, const struct kind_issues *issues, struct err *err)
{
    static const struct named_port_form form = {.path = "spec.ports", .port_field = "port"};
    struct host_endpoint *host = NEW(struct host_endpoint);

    if (!meta_name(json, &host->name, err) || !meta_calico_labels(json, &host->labels, err) ||
        !place_decode(host, json, err) || !ips_decode(host, json, issues, err) ||
        !profiles_decode(host, json, issues, err) ||
        !named_ports_decode(json, &form, issues, &host->ports, &host->n_ports, err) ||
        !dscp_read(host, json, issues, err)) {
        host_endpoint_free(host);
        return NULL;
    }
    return host;
}

void
host_endpoint_free(void *object)
{
    struct host_endpoint *host = object;

    if (host == NULL) {
        return;
    }
    free(host->name);
    free(host->node);
    free(host->interface_name);
    free(host->expected_ips);
    labels_done(&host->labels);
    texts_free(host->profiles, host->n_profiles);
    free(host->ports);
    free(host);
}

bool
host_endpoint_equal(const void *one, const void *other)
{
    const struct host_endpoint *a = one, *b = other;

    if (!text_equal(a->name, b->name) || !text_equal(a->node, b->node) ||
        !text_equal(a->interface_name, b->interface_name) ||
        !labels_equal(&a->labels, &b->labels) ||
        !texts_equal(a->profiles, a->n_profiles, b->profiles, b->n_profiles) ||
        !named_ports_equal(a->ports, a->n_ports, b->ports, b->n_ports) ||
        a->n_expected_ips != b->n_expected_ips || a->dscp != b->dscp) {
        return false;
    }
    for (size_t i = 0; i < a->n_expected_ips; i++) {
        if (!ip_equal(&a->expected_ips[i], &b->expected_ips[i])) {
            return false;
        }
    }
    return true;
}
