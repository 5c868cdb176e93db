/* Ports with names, as pods, host endpoints and endpoint slices have them. */
#include "lib/model/named_port.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/alloc.h"
#include "lib/base/vec.h"
#include "lib/model/field.h"
#include "lib/model/kind.h"

#define NAME_LEN_MAX 128

bool
named_port_is_name(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len <= NAME_LEN_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == len;
}

/* A word or a number, as Calico has it. False: a protocol that has no ports. */
static bool
protocol_decode(struct json_object *json, uint8_t *ret_protocol)
{
    static const struct {
        const char *name;
        uint8_t number;
    } known[] = {{"TCP", IPPROTO_TCP}, {"UDP", IPPROTO_UDP}, {"SCTP", IPPROTO_SCTP}};
    struct json_object *value = field_member(json, "protocol");
    const char *text = NULL;

    if (value == NULL) {
        *ret_protocol = IPPROTO_TCP;
        return true;
    }
    bool is_number = json_object_is_type(value, json_type_int);
    int64_t number = is_number ? json_object_get_int64(value) : -1;
    if (!is_number && !field_value_text(value, "protocol", &text, NULL)) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (text != NULL ? strcasecmp(text, known[i].name) == 0 : number == known[i].number) {
            *ret_protocol = known[i].number;
            return true;
        }
    }
    return false;
}

bool
named_port_decode(struct json_object *json, const struct named_port_form *form,
                  struct named_port *ret_port, bool *ret_is_usable, struct err *err)
{
    const struct field_range range = {.min = 1, .max = UINT16_MAX};
    const char *name = "";
    int64_t number = 0;
    struct named_port port = {0};

    if (!json_object_is_type(json, json_type_object)) {
        return err_set(err, "is not an object");
    }
    if (!field_text(json, "name", &name, err) ||
        !field_int(json, form->port_field, range, &number, NULL, err)) {
        return false;
    }
    *ret_is_usable = number != 0 && protocol_decode(json, &port.protocol) &&
                     (name[0] != '\0' || form->takes_nameless);
    if (!*ret_is_usable) {
        return true;
    }
    if (name[0] != '\0' && !named_port_is_name(name)) {
        return err_set(err, "name: '%.64s' is not the name of a port", name);
    }
    port.name = (char *)(uintptr_t)name; /* only read until it is copied */
    port.port = (uint16_t)number;
    *ret_port = port;
    return true;
}

bool
named_ports_decode(struct json_object *json, const struct named_port_form *form,
                   const struct kind_issues *issues, struct named_port **ret_ports, size_t *ret_n,
                   struct err *err)
{
    struct json_object *array = NULL;
    VEC(struct named_port) ports = VEC_INIT;

    if (!field_array(json, form->path, &array, err)) {
        return false;
    }
    size_t n = array != NULL ? json_object_array_length(array) : 0;
    for (size_t i = 0; i < n; i++) {
        struct named_port port;
        struct err issue = ERR_INIT;
        bool is_usable = false;
        if (!named_port_decode(json_object_array_get_idx(array, i), form, &port, &is_usable,
                               &issue)) {
            (void)err_wrap(&issue, "%s[%zu]", form->path, i);
            kind_issue(issues, &issue);
        } else if (is_usable) {
            VEC_PUSH(&ports, port);
        }
    }
    *ret_ports = named_ports_from(ports.items, ports.n);
    *ret_n = ports.n;
    VEC_DONE(&ports);
    return true;
}

struct named_port *
named_ports_from(const struct named_port *ports, size_t n)
{
    size_t len = n * sizeof *ports;

    if (n == 0) {
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        len += strlen(ports[i].name) + 1;
    }
    struct named_port *copy = xmalloc(len);
    char *text = (char *)(copy + n);
    for (size_t i = 0; i < n; i++) {
        size_t size = strlen(ports[i].name) + 1;
        copy[i] = ports[i];
        copy[i].name = memcpy(text, ports[i].name, size);
        text += size;
    }
    return copy;
}

bool
named_ports_equal(const struct named_port *a, size_t n_a, const struct named_port *b, size_t n_b)
{
    if (n_a != n_b) {
        return false;
    }
    for (size_t i = 0; a != b && i < n_a; i++) {
        if (a[i].protocol != b[i].protocol || a[i].port != b[i].port ||
            strcmp(a[i].name, b[i].name) != 0) {
            return false;
        }
    }
    return true;
}
