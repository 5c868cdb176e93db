/* Encoding and decoding of what is asked to be explained. Called by proto.c. */
#include "lib/proto/explain.h"

#include <ctype.h>
#include <json-c/json.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/parse.h"

static const struct {
    uint8_t number;
    const char *name;
} protocols[] = {
    {IPPROTO_TCP, "tcp"},   {IPPROTO_UDP, "udp"},       {IPPROTO_SCTP, "sctp"},
    {IPPROTO_ICMP, "icmp"}, {IPPROTO_ICMPV6, "icmpv6"}, {IPPROTO_UDPLITE, "udplite"},
};

const char *
proto_protocol_name(uint8_t protocol, char ret_text[4])
{
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
        if (protocols[i].number == protocol) {
            return protocols[i].name;
        }
    }
    snprintf(ret_text, 4, "%u", protocol);
    return ret_text;
}

bool
proto_protocol_parse(const char *text, uint8_t *ret_protocol, struct err *err)
{
    uint32_t number = 0;

    for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
        if (strcasecmp(protocols[i].name, text) == 0) {
            *ret_protocol = protocols[i].number;
            return true;
        }
    }
    if (!parse_u32(text, 1, 255, &number, NULL)) {
        return err_set(err,
                       "'%.32s' is not a protocol (tcp, udp, sctp, icmp, icmpv6, udplite or 1-255)",
                       text);
    }
    *ret_protocol = (uint8_t)number;
    return true;
}

bool
proto_has_ports(uint8_t protocol)
{
    return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP ||
           protocol == IPPROTO_UDPLITE;
}

static bool
is_icmp(uint8_t protocol)
{
    return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
}

void
proto_explain_done(struct proto_explain *explain)
{
    struct proto_place *const places[] = {&explain->from, &explain->to};

    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        free(places[i]->namespace);
        free(places[i]->pod);
    }
    memset(explain, 0, sizeof *explain);
}

/* ---- writing
 * ---------------------------------------------------------------------------------- */

static void
write_place(const struct proto_place *place, const char *key, struct json_object *json)
{
    struct json_object *object = json_object_new_object();

    if (place->pod) {
        AUTO(str) struct str name = STR_INIT;
        str_addf(&name, "%s/%s", place->namespace, place->pod);
        json_object_object_add(object, "pod", json_object_new_string(name.text));
    } else {
        char text[IP_TEXT_MAX];
        json_object_object_add(object, "ip", json_object_new_string(ip_format(&place->ip, text)));
    }
    json_object_object_add(json, key, object);
}

void
proto_explain_write(const struct proto_explain *explain, struct json_object *json)
{
    char text[4];

    write_place(&explain->from, "from", json);
    write_place(&explain->to, "to", json);
    json_object_object_add(json, "protocol",
                           json_object_new_string(proto_protocol_name(explain->protocol, text)));
    if (proto_has_ports(explain->protocol)) {
        json_object_object_add(json, "port", json_object_new_int(explain->port));
        json_object_object_add(json, "source_port", json_object_new_int(explain->source_port));
    }
    if (is_icmp(explain->protocol)) {
        json_object_object_add(json, "icmp_type", json_object_new_int(explain->icmp_type));
        json_object_object_add(json, "icmp_code", json_object_new_int(explain->icmp_code));
    }
    if (explain->family != 0) {
        json_object_object_add(json, "family", json_object_new_int(explain->family));
    }
}

/* ---- reading
 * ---------------------------------------------------------------------------------- */

/* The characters of a name in Kubernetes; that there is such a pod is not said. */
static bool
is_name(const char *text, size_t len)
{
    if (len == 0 || len > 253) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)text[i]) && !strchr("-.", text[i])) {
            return false;
        }
    }
    return true;
}

static bool
read_pod(const char *text, struct proto_place *place, struct err *err)
{
    const char *slash = strchr(text, '/');

    if (!slash || !is_name(text, (size_t)(slash - text)) ||
        !is_name(slash + 1, strlen(slash + 1))) {
        return err_set(err, "'%.64s' is not namespace/name", text);
    }
    place->namespace = xstrndup(text, (size_t)(slash - text));
    place->pod = xstrdup(slash + 1);
    return true;
}

static bool
read_place(const struct json_at *root, const char *key, struct proto_place *place, struct err *err)
{
    struct json_at at;
    const char *pod = NULL, *ip = NULL;

    if (!json_get_object(root, key, JSON_REQUIRED, &at, err) ||
        !json_get_string(&at, "pod", JSON_OPTIONAL, &pod, err) ||
        !json_get_string(&at, "ip", JSON_OPTIONAL, &ip, err)) {
        return false;
    }
    if (!pod == !ip) {
        return err_set(err, "%s: either pod or ip is wanted", key);
    }
    if (pod) {
        return read_pod(pod, place, err) || json_wrap(&at, "pod", err);
    }
    return ip_parse(ip, &place->ip, err) || json_wrap(&at, "ip", err);
}

static bool
read_details(const struct json_at *root, struct proto_explain *explain, struct err *err)
{
    bool ports = proto_has_ports(explain->protocol), icmp = is_icmp(explain->protocol);
    int64_t port = 0, source_port = PROTO_SOURCE_PORT, type = 8, code = 0, family = 0;

    if (explain->protocol == IPPROTO_ICMPV6) {
        type = 128;
    }
    if (!json_get_int(root, "port",
                      (struct json_range){1, 65535, ports ? JSON_REQUIRED : JSON_OPTIONAL}, &port,
                      err) ||
        !json_get_int(root, "source_port", (struct json_range){1, 65535, JSON_OPTIONAL},
                      &source_port, err) ||
        !json_get_int(root, "icmp_type", (struct json_range){0, 255, JSON_OPTIONAL}, &type, err) ||
        !json_get_int(root, "icmp_code", (struct json_range){0, 255, JSON_OPTIONAL}, &code, err) ||
        !json_get_int(root, "family", (struct json_range){4, 6, JSON_OPTIONAL}, &family, err)) {
        return false;
    }
    if (family == 5) {
        return err_set(err, "family: 4 or 6 is wanted");
    }
    explain->port = ports ? (uint16_t)port : 0;
    explain->source_port = ports ? (uint16_t)source_port : 0;
    explain->icmp_type = icmp ? (uint8_t)type : 0;
    explain->icmp_code = icmp ? (uint8_t)code : 0;
    explain->family = (uint8_t)family;
    return true;
}

/* What is left open is taken from the addresses and the protocol; they must not contradict. */
static bool
settle_family(struct proto_explain *explain, struct err *err)
{
    const uint8_t given[] = {explain->from.ip.family, explain->to.ip.family,
                             explain->protocol == IPPROTO_ICMP     ? 4
                             : explain->protocol == IPPROTO_ICMPV6 ? 6
                                                                   : 0};

    for (size_t i = 0; i < ARRAY_LEN(given); i++) {
        if (given[i] != 0 && explain->family != 0 && given[i] != explain->family) {
            return err_set(err, "addresses and protocol are of different families");
        }
        if (given[i] != 0) {
            explain->family = given[i];
        }
    }
    return true;
}

bool
proto_explain_read(const struct json_at *root, struct proto_explain *explain, struct err *err)
{
    const char *protocol = NULL;

    if (!read_place(root, "from", &explain->from, err) ||
        !read_place(root, "to", &explain->to, err) ||
        !json_get_string(root, "protocol", JSON_REQUIRED, &protocol, err)) {
        return false;
    }
    if (!proto_protocol_parse(protocol, &explain->protocol, err)) {
        return json_wrap(root, "protocol", err);
    }
    return read_details(root, explain, err) && settle_family(explain, err);
}
