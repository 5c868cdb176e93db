/* Detection, duplicate check and annotations. */
#include "felix/node/identity.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "felix/node/detect.h"
#include "lib/base/alloc.h"
#include "lib/base/log.h"
#include "lib/base/parse.h"
#include "lib/base/str.h"

LOG_MODULE("node");

#define PATCH_DEADLINE_MS 20000

struct family {
    const char *wanted; /* "autodetect", "none", an address */
    const char *method; /* "": kubernetes-internal-ip, then first-found */
    struct prefix address;
};

struct identity {
    struct kube *kube;
    char *node_name;
    const struct felix_settings *settings;
    struct family v4, v6;
    struct identity_state state;
    bool is_patching;
    bool is_established; /* the addresses of 'state' were found to be ours alone */
};

struct identity *
identity_new(struct kube *kube, const char *node_name, const struct felix_settings *settings)
{
    struct identity *identity = NEW(struct identity);

    identity->kube = kube;
    identity->node_name = xstrdup(node_name);
    identity->settings = settings;
    identity->v4 = (struct family){.wanted = settings->ip, .method = settings->ip_method};
    identity->v6 = (struct family){.wanted = settings->ip6, .method = settings->ip6_method};
    return identity;
}

void
identity_free(struct identity *identity)
{
    if (identity) {
        free(identity->node_name);
        free(identity);
    }
}

static bool
detect_with(const char *method_text, uint8_t family, struct detect_input *input,
            struct prefix *ret_address, struct err *err)
{
    struct detect_method method;

    if (!detect_parse(method_text, &method, err)) {
        return false;
    }
    input->reachable_from = (struct ip){0};
    if (method.kind == DETECT_CAN_REACH &&
        !detect_source_towards(method.text, &input->reachable_from, err)) {
        return err_wrap(err, "%s", method_text);
    }
    return detect_address(&method, family, input, ret_address, err) ||
           err_wrap(err, "%s", method_text);
}

/* A fixed address without a length takes that of the interface which holds it. */
static bool
fixed_address(const char *text, uint8_t family, const struct detect_input *input,
              struct prefix *ret_address, struct err *err)
{
    struct prefix prefix;

    if (!prefix_parse_host(text, &prefix, err)) {
        return false;
    }
    if (prefix.ip.family != family) {
        return err_set(err, "'%s' is not an IPv%u address", text, family);
    }
    if (!strchr(text, '/')) {
        VEC_FOREACH (input->addresses, it) {
            if (ip_equal(&it->prefix.ip, &prefix.ip)) {
                prefix = it->prefix;
            }
        }
    }
    *ret_address = prefix;
    return true;
}

static bool
detect(struct family *family, uint8_t number, struct detect_input *input, struct err *err)
{
    struct prefix found = {0};

    if (strcmp(family->wanted, "none") == 0) {
        family->address = found;
        return true;
    }
    if (strcmp(family->wanted, "autodetect") != 0 && *family->wanted != '\0') {
        return fixed_address(family->wanted, number, input, &family->address, err);
    }
    bool good = *family->method != '\0'
                    ? detect_with(family->method, number, input, &found, err)
                    : detect_with("kubernetes-internal-ip", number, input, &found, NULL) ||
                          detect_with("first-found", number, input, &found, err);
    if (!good) {
        return false;
    }
    family->address = found;
    return true;
}

static bool
is_unique(const struct identity *identity, const struct node_state *nodes,
          const struct prefix *address, struct err *err)
{
    char text[IP_TEXT_MAX];
    const char *other = NULL;

    if (identity->settings->disable_ip_check || address->ip.family == 0) {
        return true;
    }
    other = node_state_other_owner(nodes, &address->ip);
    return !other ||
           err_set(err,
                   "Node %s: address %s is also that of node %s; give one of them another, "
                   "or set DISABLE_NODE_IP_CHECK",
                   identity->node_name, ip_format(&address->ip, text), other);
}

static void
on_patched(void *owner, const struct kube_reply *reply)
{
    struct identity *identity = owner;

    identity->is_patching = false;
    if (reply->status < 200 || reply->status > 299) {
        log_warn_every(30, "Node %s: annotations could not be written: %s; trying again",
                       identity->node_name, reply->err.text);
    }
}

static void
add_annotation(struct json_object *annotations, const char *key, const char *value)
{
    json_object_object_add(annotations, key, value ? json_object_new_string(value) : NULL);
}

/* An address that is not found just now stays as it was written; one that is not wanted goes. */
static void
add_address(struct json_object *annotations, const char *key, const struct family *family,
            const struct prefix *written)
{
    char text[PREFIX_TEXT_MAX];

    if (family->address.ip.family != 0 && !prefix_equal(&family->address, written)) {
        add_annotation(annotations, key, prefix_format(&family->address, text));
    } else if (written->ip.family != 0 && strcmp(family->wanted, "none") == 0) {
        add_annotation(annotations, key, NULL);
    }
}

static void
patch(struct identity *identity, struct json_object *annotations)
{
    AUTO(str) struct str path = STR_INIT;
    struct json_object *json = json_object_new_object();
    struct json_object *metadata = json_object_new_object();

    json_object_object_add(metadata, "annotations", annotations);
    json_object_object_add(json, "metadata", metadata);
    /* The name was checked against RFC 1123. */
    str_addf(&path, "/api/v1/nodes/%s/status", identity->node_name);
    const char *text = json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN);
    const struct kube_write write = {
        .path = path.text, .json = text, .deadline_ms = PATCH_DEADLINE_MS};
    log_info("Node %s: writing annotations %s", identity->node_name, text);
    identity->is_patching = true;
    kube_patch(identity->kube, &write, on_patched, identity);
    json_object_put(json);
}

/* Only what differs is written; true when nothing does. */
static bool
write_annotations(struct identity *identity, const struct node *node, const struct ip *tunnel)
{
    char text[PREFIX_TEXT_MAX];
    uint32_t asn = 0;
    struct json_object *annotations = json_object_new_object();

    add_address(annotations, "projectcalico.org/IPv4Address", &identity->v4, &node->bgp_ip4);
    add_address(annotations, "projectcalico.org/IPv6Address", &identity->v6, &node->bgp_ip6);
    if (!ip_equal(tunnel, &node->ipip_tunnel_ip)) {
        add_annotation(annotations, "projectcalico.org/IPv4IPIPTunnelAddr",
                       tunnel->family ? ip_format(tunnel, text) : NULL);
    }
    if (*identity->settings->as_number && parse_asn(identity->settings->as_number, &asn, NULL) &&
        asn != node->asn) {
        add_annotation(annotations, "projectcalico.org/ASNumber", identity->settings->as_number);
    }
    bool is_equal = json_object_object_length(annotations) == 0;
    if (is_equal || identity->is_patching) {
        json_object_put(annotations);
    } else {
        patch(identity, annotations);
    }
    return is_equal;
}

static void
find_interface(struct identity *identity, const address_vec *addresses)
{
    identity->state.index4 = 0;
    VEC_FOREACH (addresses, it) {
        if (ip_equal(&it->prefix.ip, &identity->v4.address.ip)) {
            identity->state.index4 = it->index;
        }
    }
}

static bool
find_addresses(struct identity *identity, struct netlink *netlink, const struct node *node,
               struct err *err)
{
    link_vec links = VEC_INIT;
    address_vec addresses = VEC_INIT;
    struct detect_input input = {.links = &links, .addresses = &addresses, .node = node};
    struct err why4 = ERR_INIT;
    struct err why6 = ERR_INIT;
    bool good = link_list(netlink, &links, err) && address_list(netlink, &addresses, err);

    if (good) {
        bool has4 = detect(&identity->v4, 4, &input, &why4) && identity->v4.address.ip.family;
        bool has6 = detect(&identity->v6, 6, &input, &why6) && identity->v6.address.ip.family;
        /* One family is enough, unless the other was asked for by name. */
        if (!has4 && !has6) {
            good =
                err_set(err, "no address for this node: IPv4: %s; IPv6: %s", why4.text, why6.text);
        } else if (!has4 && *identity->v4.method != '\0' && why4.text[0] != '\0') {
            good = err_set(err, "IPv4: %s", why4.text);
        } else if (!has6 && *identity->v6.method != '\0' && why6.text[0] != '\0') {
            good = err_set(err, "IPv6: %s", why6.text);
        }
        find_interface(identity, &addresses);
    }
    VEC_DONE(&links);
    VEC_DONE(&addresses);
    return good;
}

static void
unsettled(struct identity *identity, const char *reason)
{
    if (strcmp(identity->state.reason, reason) != 0) {
        log_error("%s", reason);
    }
    identity->state.is_settled = false;
    identity->state.is_contested = true;
    snprintf(identity->state.reason, sizeof identity->state.reason, "%.255s", reason);
}

void
identity_update(struct identity *identity, struct netlink *netlink, const struct node *node,
                const struct node_state *nodes, const struct ip *tunnel_address)
{
    struct err err = ERR_INIT;

    if (!node) {
        err_set_code(&err, 0, "there is no Node %s in the API; is NODENAME right?",
                     identity->node_name);
        unsettled(identity, err.text);
        return;
    }
    if (!find_addresses(identity, netlink, node, &err)) {
        unsettled(identity, err.text);
        return;
    }
    bool is_established = identity->is_established &&
                          prefix_equal(&identity->state.address4, &identity->v4.address) &&
                          prefix_equal(&identity->state.address6, &identity->v6.address);
    if (!is_unique(identity, nodes, &identity->v4.address, &err) ||
        !is_unique(identity, nodes, &identity->v6.address, &err)) {
        if (!is_established) {
            unsettled(identity, err.text);
            return;
        }
        /* Who came second has to give way: a mistake elsewhere does not take a working node down.
         */
        log_error_every(60, "%s; this node had it first and goes on", err.text);
    }
    identity->is_established = true;
    identity->state.address4 = identity->v4.address;
    identity->state.address6 = identity->v6.address;
    identity->state.is_settled = write_annotations(identity, node, tunnel_address);
    identity->state.is_contested = false;
    snprintf(identity->state.reason, sizeof identity->state.reason, "%s",
             identity->state.is_settled ? "" : "the Node's annotations are being written");
}

const struct identity_state *
identity_state(const struct identity *identity)
{
    return &identity->state;
}
