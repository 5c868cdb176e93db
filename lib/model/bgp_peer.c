/* Decodes crd.projectcalico.org/v1 BGPPeer. */
#include "lib/model/bgp_peer.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/parse.h"
#include "lib/model/field.h"
#include "lib/model/kind.h"
#include "lib/model/meta.h"
#include "lib/selector/selector.h"

/* "10.0.0.1", "10.0.0.1:1179", "fd00::1", "[fd00::1]", "[fd00::1]:1179". */
static bool
endpoint_parse(const char *text, struct ip *ret_ip, uint16_t *ret_port, struct err *err)
{
    char address[IP_TEXT_MAX];
    const char *start = text, *end, *port_text = NULL;
    const char *colon = strchr(text, ':');
    uint32_t port = 0;
    struct ip ip;

    if (text[0] == '[') {
        start++;
        end = strchr(text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':')) {
            return err_set(err, "'%.64s' is not an address", text);
        }
        port_text = end[1] == ':' ? end + 2 : NULL;
    } else if (colon != NULL && strchr(colon + 1, ':') == NULL) {
        end = colon;
        port_text = colon + 1;
    } else {
        end = text + strlen(text);
    }
    size_t len = (size_t)(end - start);
    if (len >= sizeof address) {
        return err_set(err, "'%.64s' is not an address", text);
    }
    memcpy(address, start, len);
    address[len] = '\0';
    if (!ip_parse(address, &ip, NULL)) {
        return err_set(err, "'%.64s' is not an address, nor address:port", text);
    }
    if (!ip_is_global_unicast(&ip)) {
        return err_set(err, "'%.64s' is not an address that a peer can have", text);
    }
    if (port_text != NULL && !parse_u32(port_text, 1, UINT16_MAX, &port, err)) {
        return err_wrap(err, "'%.64s': port", text);
    }
    *ret_ip = ip;
    *ret_port = (uint16_t)port;
    return true;
}

/* Absent: 0. A number, or text in either notation. */
static bool
asn_field(struct json_object *json, const char *path, uint32_t *ret_asn, struct err *err)
{
    struct json_object *value = field_find(json, path);
    int64_t number = 0;

    if (json_object_is_type(value, json_type_string)) {
        const char *text = json_object_get_string(value);
        return parse_asn(text, ret_asn, err) || err_wrap(err, "%s", path);
    }
    /* 0 is how Calico's own client writes "absent". */
    if (!field_int(json, path, (struct field_range){0, UINT32_MAX}, &number, NULL, err)) {
        return false;
    }
    *ret_asn = (uint32_t)number;
    return true;
}

static bool
selector_field(struct json_object *json, const char *path, char **ret_text, struct err *err)
{
    struct selector *selector = NULL;

    if (!field_copy(json, path, ret_text, err)) {
        return false;
    }
    if (*ret_text == NULL) {
        return true;
    }
    if (!selector_parse(*ret_text, &selector, err)) {
        return err_wrap(err, "%s", path);
    }
    selector_free(selector);
    return true;
}

static bool
who_decode(struct json_object *json, struct bgp_peer *peer, struct err *err)
{
    const char *address = NULL;

    if (!field_copy(json, "spec.node", &peer->node, err) ||
        !selector_field(json, "spec.nodeSelector", &peer->node_selector, err) ||
        !selector_field(json, "spec.peerSelector", &peer->peer_selector, err) ||
        !field_text(json, "spec.peerIP", &address, err) ||
        !asn_field(json, "spec.asNumber", &peer->as_number, err) ||
        !asn_field(json, "spec.localASNumber", &peer->local_as_number, err)) {
        return false;
    }
    if (peer->node != NULL && peer->node_selector != NULL) {
        return err_set(err, "spec.nodeSelector: cannot be given together with spec.node");
    }
    if (address == NULL || address[0] == '\0') {
        if (peer->peer_selector == NULL) {
            return err_set(err, "spec.peerIP: is missing, and so is spec.peerSelector");
        }
        /* The AS number of a cluster node is known from the cluster; another one cannot work. */
        return peer->as_number == 0 ||
               err_set(err, "spec.asNumber: cannot be given together with spec.peerSelector");
    }
    if (peer->peer_selector != NULL) {
        return err_set(err, "spec.peerSelector: cannot be given together with spec.peerIP");
    }
    if (!endpoint_parse(address, &peer->peer_ip, &peer->peer_port, err)) {
        return err_wrap(err, "spec.peerIP");
    }
    return peer->as_number != 0 || err_set(err, "spec.asNumber: is missing");
}

static bool
next_hop_decode(struct json_object *json, struct bgp_peer *peer, struct err *err)
{
    bool keep = false;
    const char *mode = "";

    if (!field_bool(json, "spec.keepOriginalNextHop", &keep, NULL, err) ||
        !field_text(json, "spec.nextHopMode", &mode, err)) {
        return false;
    }
    peer->next_hop_mode = keep ? NEXT_HOP_KEEP : NEXT_HOP_AUTO;
    if (strcmp(mode, "Self") == 0) {
        peer->next_hop_mode = NEXT_HOP_SELF;
    } else if (strcmp(mode, "Keep") == 0) {
        peer->next_hop_mode = NEXT_HOP_KEEP;
    } else if (mode[0] != '\0' && strcmp(mode, "Auto") != 0) {
        return err_set(err, "spec.nextHopMode: '%.64s' is not Auto, Self or Keep", mode);
    }
    return true;
}

static bool
how_decode(struct json_object *json, struct bgp_peer *peer, struct err *err)
{
    int64_t ttl = 0, n_allowed = 0;
    const char *restart = NULL, *gateway = NULL;

    if (!next_hop_decode(json, peer, err) ||
        !field_int(json, "spec.ttlSecurity", (struct field_range){1, 255}, &ttl,
                   &peer->has_ttl_security, err) ||
        !field_int(json, "spec.numAllowedLocalASNumbers", (struct field_range){0, 255}, &n_allowed,
                   NULL, err) ||
        !field_copy(json, "spec.sourceAddress", &peer->source_address, err) ||
        !field_text(json, "spec.maxRestartTime", &restart, err) ||
        !field_text(json, "spec.reachableBy", &gateway, err)) {
        return false;
    }
    peer->ttl_security = (uint8_t)ttl;
    peer->num_allowed_local_as = (uint8_t)n_allowed;
    peer->has_source_address = peer->source_address != NULL;
    if (peer->has_source_address && strcmp(peer->source_address, "UseNodeIP") != 0 &&
        strcmp(peer->source_address, "None") != 0) {
        return err_set(err, "spec.sourceAddress: '%.64s' is not UseNodeIP or None",
                       peer->source_address);
    }
    if (restart != NULL && !parse_duration_ms(restart, &peer->max_restart_ms, err)) {
        return err_wrap(err, "spec.maxRestartTime");
    }
    if (gateway == NULL || gateway[0] == '\0') {
        return true;
    }
    if (!ip_parse(gateway, &peer->reachable_by, err)) {
        return err_wrap(err, "spec.reachableBy");
    }
    return (peer->peer_ip.family == peer->reachable_by.family &&
            ip_is_global_unicast(&peer->reachable_by)) ||
           err_set(err, "spec.reachableBy: '%.64s' is not a gateway of spec.peerIP's family",
                   gateway);
}

void *
bgp_peer_decode(struct json_object *json, const struct kind_issues *issues, struct err *err)
{
    struct bgp_peer *peer = NEW(struct bgp_peer);

    (void)issues;
    if (!meta_name(json, &peer->name, err) || !who_decode(json, peer, err) ||
        !how_decode(json, peer, err) ||
        !field_copy(json, "spec.password.secretKeyRef.name", &peer->password_secret_name, err) ||
        !field_copy(json, "spec.password.secretKeyRef.key", &peer->password_secret_key, err) ||
        !field_copy_texts(json, "spec.filters", &peer->filters, &peer->n_filters, err)) {
        bgp_peer_free(peer);
        return NULL;
    }
    if (field_find(json, "spec.password") != NULL && peer->password_secret_name == NULL) {
        bgp_peer_free(peer);
        (void)err_set(err, "spec.password.secretKeyRef.name: is missing");
        return NULL;
    }
    return peer;
}

void
bgp_peer_free(void *object)
{
    struct bgp_peer *peer = object;

    if (peer == NULL) {
        return;
    }
    free(peer->name);
    free(peer->node);
    free(peer->node_selector);
    free(peer->peer_selector);
    free(peer->source_address);
    free(peer->password_secret_name);
    free(peer->password_secret_key);
    texts_free(peer->filters, peer->n_filters);
    free(peer);
}

bool
bgp_peer_equal(const void *one, const void *other)
{
    const struct bgp_peer *a = one, *b = other;

    return text_equal(a->name, b->name) && text_equal(a->node, b->node) &&
           text_equal(a->node_selector, b->node_selector) &&
           text_equal(a->peer_selector, b->peer_selector) && ip_equal(&a->peer_ip, &b->peer_ip) &&
           a->peer_port == b->peer_port && a->as_number == b->as_number &&
           a->next_hop_mode == b->next_hop_mode && a->has_ttl_security == b->has_ttl_security &&
           a->ttl_security == b->ttl_security &&
           a->num_allowed_local_as == b->num_allowed_local_as &&
           text_equal(a->source_address, b->source_address) &&
           a->max_restart_ms == b->max_restart_ms && ip_equal(&a->reachable_by, &b->reachable_by) &&
           text_equal(a->password_secret_name, b->password_secret_name) &&
           text_equal(a->password_secret_key, b->password_secret_key) &&
           texts_equal(a->filters, a->n_filters, b->filters, b->n_filters) &&
           a->local_as_number == b->local_as_number;
}
