/* Decodes core/v1 Node. A bad field is left out and reported: a node with one bad pod CIDR still
 * has its address and its other blocks. */
#include "lib/model/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/parse.h"
#include "lib/model/field.h"
#include "lib/model/kind.h"
#include "lib/model/meta.h"

#define ANNOTATION "projectcalico.org/"

static bool
pod_cidr_parse(const char *text, struct prefix *ret_cidr, struct err *err)
{
    struct prefix cidr;

    if (!prefix_parse(text, &cidr, err)) {
        return false;
    }
    /* A block becomes a blackhole route: one that covers half the Internet is a typing error. */
    if (cidr.len < (cidr.ip.family == 4 ? 8 : 16) || !ip_is_global_unicast(&cidr.ip)) {
        return err_set(err, "'%.64s' cannot be the pods' network of a node", text);
    }
    *ret_cidr = cidr;
    return true;
}

static void
pod_cidr_add(struct node *node, struct json_object *value, const char *what,
             const struct kind_issues *issues)
{
    const char *text = NULL;
    struct prefix cidr;
    struct err err = ERR_INIT;

    if (!field_value_text(value, what, &text, &err)) {
        kind_issue(issues, &err);
        return;
    }
    if (!pod_cidr_parse(text, &cidr, &err)) {
        (void)err_wrap(&err, "%s", what);
        kind_issue(issues, &err);
        return;
    }
    for (size_t i = 0; i < node->n_pod_cidrs; i++) {
        if (prefix_overlaps(&node->pod_cidrs[i], &cidr)) {
            (void)err_set(&err, "%s: '%s' overlaps another block of the node", what, text);
            kind_issue(issues, &err);
            return;
        }
    }
    node->pod_cidrs =
        xreallocarray(node->pod_cidrs, node->n_pod_cidrs + 1, sizeof(*node->pod_cidrs));
    node->pod_cidrs[node->n_pod_cidrs++] = cidr;
}

static void
pod_cidrs_decode(struct node *node, struct json_object *json, const struct kind_issues *issues)
{
    struct json_object *array = NULL;
    struct json_object *single = field_find(json, "spec.podCIDR");
    struct err err = ERR_INIT;
    char what[48];

    if (!field_array(json, "spec.podCIDRs", &array, &err)) {
        kind_issue(issues, &err);
    }
    size_t n = array != NULL ? json_object_array_length(array) : 0;
    for (size_t i = 0; i < n; i++) {
        snprintf(what, sizeof what, "spec.podCIDRs[%zu]", i);
        pod_cidr_add(node, json_object_array_get_idx(array, i), what, issues);
    }
    if (n == 0 && single != NULL) {
        const char *text = json_object_get_string(single);
        if (text[0] != '\0') {
            pod_cidr_add(node, single, "spec.podCIDR", issues);
        }
    }
}

static bool
address_parse(const char *text, uint8_t family, struct prefix *ret_address, struct err *err)
{
    struct prefix address;

    if (!prefix_parse_host(text, &address, err)) {
        return false;
    }
    if (address.ip.family != family || !ip_is_global_unicast(&address.ip) || address.len == 0) {
        return err_set(err, "'%.64s' cannot be an IPv%u address of a node", text, family);
    }
    *ret_address = address;
    return true;
}

/* Text of one annotation, NULL when absent, empty or bad. */
static const char *
annotation_text(struct json_object *annotations, const char *key, const struct kind_issues *issues)
{
    struct json_object *value = field_member(annotations, key);
    struct err err = ERR_INIT;
    const char *text = NULL;

    if (value != NULL && !field_value_text(value, "metadata.annotations", &text, &err)) {
        (void)err_wrap(&err, "%s", key);
        kind_issue(issues, &err);
    }
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static void
annotation_issue(const char *key, struct err *err, const struct kind_issues *issues)
{
    (void)err_wrap(err, "annotation %s", key);
    kind_issue(issues, err);
}

static void
addresses_of_annotations(struct node *node, struct json_object *annotations,
                         const struct kind_issues *issues)
{
    static const char key4[] = ANNOTATION "IPv4Address";
    static const char key6[] = ANNOTATION "IPv6Address";
    static const char tunnel[] = ANNOTATION "IPv4IPIPTunnelAddr";
    struct err err = ERR_INIT;
    struct prefix address = {0};
    const char *text = annotation_text(annotations, key4, issues);

    if (text != NULL && !address_parse(text, 4, &node->bgp_ip4, &err)) {
        annotation_issue(key4, &err, issues);
    }
    text = annotation_text(annotations, key6, issues);
    if (text != NULL && !address_parse(text, 6, &node->bgp_ip6, &err)) {
        annotation_issue(key6, &err, issues);
    }
    text = annotation_text(annotations, tunnel, issues);
    if (text != NULL && !address_parse(text, 4, &address, &err)) {
        annotation_issue(tunnel, &err, issues);
    }
    node->ipip_tunnel_ip = address.ip;
}

static void
annotations_decode(struct node *node, struct json_object *json, const struct kind_issues *issues)
{
    static const char asn_key[] = ANNOTATION "ASNumber";
    static const char rr_key[] = ANNOTATION "RouteReflectorClusterID";
    struct json_object *annotations = field_find(json, "metadata.annotations");
    struct err err = ERR_INIT;
    struct ip id;
    const char *text;

    addresses_of_annotations(node, annotations, issues);
    text = annotation_text(annotations, asn_key, issues);
    if (text != NULL && !parse_asn(text, &node->asn, &err)) {
        annotation_issue(asn_key, &err, issues);
    }
    text = annotation_text(annotations, rr_key, issues);
    if (text == NULL) {
        return;
    }
    if (!ip_parse(text, &id, NULL) || id.family != 4) {
        (void)err_set(&err, "'%.64s' is not a cluster id in the form a.b.c.d", text);
        annotation_issue(rr_key, &err, issues);
        return;
    }
    node->rr_cluster_id = xstrdup(text);
}

static void
ips_add(struct node *node, const struct ip *ip)
{
    if (ip->family != 0) {
        node->ips = xreallocarray(node->ips, node->n_ips + 1, sizeof(*node->ips));
        node->ips[node->n_ips++] = *ip;
    }
}

static int
compare_ips(const void *a, const void *b)
{
    return ip_compare(a, b);
}

static void
ips_sort(struct node *node)
{
    size_t n = 0;

    if (node->n_ips == 0) {
        return;
    }
    qsort(node->ips, node->n_ips, sizeof(*node->ips), compare_ips);
    for (size_t i = 1; i < node->n_ips; i++) {
        if (!ip_equal(&node->ips[i], &node->ips[n])) {
            node->ips[++n] = node->ips[i];
        }
    }
    node->n_ips = n + 1;
}

static void
addresses_decode(struct node *node, struct json_object *json, const struct kind_issues *issues)
{
    struct json_object *array = NULL;
    struct err err = ERR_INIT;

    if (!field_array(json, "status.addresses", &array, &err)) {
        kind_issue(issues, &err);
    }
    size_t n = array != NULL ? json_object_array_length(array) : 0;
    for (size_t i = 0; i < n; i++) {
        struct json_object *item = json_object_array_get_idx(array, i);
        const char *type = NULL, *text = NULL;
        struct ip ip;

        if (!field_text(item, "type", &type, NULL) || !field_text(item, "address", &text, NULL) ||
            type == NULL || text == NULL) {
            continue;
        }
        bool is_internal = strcmp(type, "InternalIP") == 0;
        if (!is_internal && strcmp(type, "ExternalIP") != 0) {
            continue; /* a name */
        }
        if (!ip_parse(text, &ip, &err) || !ip_is_global_unicast(&ip)) {
            (void)err_set(&err, "status.addresses[%zu].address: '%.64s' is not a node's address", i,
                          text);
            kind_issue(issues, &err);
            continue;
        }
        struct ip *internal = ip.family == 4 ? &node->internal_ip4 : &node->internal_ip6;
        if (is_internal && internal->family == 0) {
            *internal = ip;
        }
        ips_add(node, &ip);
    }
}

void *
node_decode(struct json_object *json, const struct kind_issues *issues, struct err *err)
{
    struct node *node = NEW(struct node);

    if (!meta_name(json, &node->name, err) || !labels_decode(json, &node->labels, err)) {
        node_free(node);
        return NULL;
    }
    pod_cidrs_decode(node, json, issues);
    annotations_decode(node, json, issues);
    addresses_decode(node, json, issues);
    ips_add(node, &node->bgp_ip4.ip);
    ips_add(node, &node->bgp_ip6.ip);
    ips_sort(node);
    return node;
}

void
node_free(void *object)
{
    struct node *node = object;

    if (node == NULL) {
        return;
    }
    free(node->name);
    labels_done(&node->labels);
    free(node->pod_cidrs);
    free(node->ips);
    free(node->rr_cluster_id);
    free(node);
}

bool
node_ips_equal(const struct node *a, const struct node *b)
{
    if (a->n_ips != b->n_ips) {
        return false;
    }
    for (size_t i = 0; i < a->n_ips; i++) {
        if (!ip_equal(&a->ips[i], &b->ips[i])) {
            return false;
        }
    }
    return true;
}

bool
node_equal(const void *one, const void *other)
{
    const struct node *a = one, *b = other;

    return a->asn == b->asn && text_equal(a->name, b->name) &&
           text_equal(a->rr_cluster_id, b->rr_cluster_id) &&
           prefix_equal(&a->bgp_ip4, &b->bgp_ip4) && prefix_equal(&a->bgp_ip6, &b->bgp_ip6) &&
           ip_equal(&a->internal_ip4, &b->internal_ip4) &&
           ip_equal(&a->internal_ip6, &b->internal_ip6) &&
           ip_equal(&a->ipip_tunnel_ip, &b->ipip_tunnel_ip) &&
           prefixes_equal(a->pod_cidrs, a->n_pod_cidrs, b->pod_cidrs, b->n_pod_cidrs) &&
           node_ips_equal(a, b) && labels_equal(&a->labels, &b->labels);
}

struct prefix
node_address(const struct node *node, uint8_t family)
{
    const struct prefix *annotated = family == 4 ? &node->bgp_ip4 : &node->bgp_ip6;
    const struct ip *internal = family == 4 ? &node->internal_ip4 : &node->internal_ip6;

    if (annotated->ip.family != 0) {
        return *annotated;
    }
    return internal->family != 0 ? prefix_of_ip(internal) : (struct prefix){0};
}
