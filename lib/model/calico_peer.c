/* Decodes source and destination of Calico's rules. Called by calico_rule.c. */
#include "lib/model/calico_peer.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/parse.h"
#include "lib/model/meta.h"
#include "lib/model/policy_selector.h"

static bool
nets_decode(const struct json_at *at, const char *key, struct prefix **ret_nets, size_t *ret_n,
            struct err *err)
{
    struct json_at nets;
    const char *text = NULL;

    if (!json_get_array(at, key, JSON_OPTIONAL, &nets, err)) {
        return false;
    }
    if (json_len(&nets) == 0) {
        return true;
    }
    *ret_nets = xcalloc(json_len(&nets), sizeof(struct prefix));
    for (size_t i = 0; i < json_len(&nets); i++) {
        struct json_at item = json_item(&nets, i);
        if (!json_as_string(&item, &text, err)) {
            return false;
        }
        if (!net_decode(text, &(*ret_nets)[i], err)) {
            return json_wrap(&item, NULL, err);
        }
        (*ret_n)++;
    }
    return true;
}

/* ---- ports ---------------------------------------------------------------------------------- */

struct port_list {
    VEC(struct port_range) ranges;
    VEC(char *) names;
};

/* "80", "80:90", "http". */
static bool
port_parse(const char *text, struct port_list *ports, struct err *err)
{
    char number[8];
    const char *colon = strchr(text, ':');
    size_t len = colon != NULL ? (size_t)(colon - text) : strlen(text);
    uint32_t first = 0, last = 0;

    if (text[strspn(text, "0123456789:")] != '\0') {
        if (!port_name_is_good(text)) {
            return err_set(err, "'%.64s' is not a port, a range of ports or the name of one", text);
        }
        VEC_PUSH(&ports->names, xstrdup(text));
        return true;
    }
    if (len >= sizeof number) {
        return err_set(err, "'%.64s' is not a port", text);
    }
    memcpy(number, text, len);
    number[len] = '\0';
    if (!parse_u32(number, 1, UINT16_MAX, &first, err)) {
        return false;
    }
    last = first;
    if (colon != NULL && !parse_u32(colon + 1, 1, UINT16_MAX, &last, err)) {
        return false;
    }
    if (last < first) {
        return err_set(err, "'%.64s' ends before it begins", text);
    }
    VEC_PUSH(&ports->ranges, (struct port_range){(uint16_t)first, (uint16_t)last});
    return true;
}

static bool
port_decode(const struct json_at *item, struct port_list *ports, struct err *err)
{
    const char *text = NULL;

    if (json_object_is_type(item->json, json_type_int)) {
        int64_t number = json_object_get_int64(item->json);
        if (number < 1 || number > UINT16_MAX) {
            (void)err_set(err, "%lld is not a port", (long long)number);
            return json_wrap(item, NULL, err);
        }
        VEC_PUSH(&ports->ranges, (struct port_range){(uint16_t)number, (uint16_t)number});
        return true;
    }
    return json_as_string(item, &text, err) &&
           (port_parse(text, ports, err) || json_wrap(item, NULL, err));
}

static bool
ports_decode(const struct json_at *at, const char *key, struct port_list *ret_ports,
             struct err *err)
{
    struct json_at list;

    if (!json_get_array(at, key, JSON_OPTIONAL, &list, err)) {
        return false;
    }
    for (size_t i = 0; i < json_len(&list); i++) {
        struct json_at item = json_item(&list, i);
        if (!port_decode(&item, ret_ports, err)) {
            return false;
        }
    }
    return true;
}

static bool
all_ports_decode(const struct json_at *at, struct rule_peer *peer, struct err *err)
{
    struct port_list ports = {0}, not_ports = {0};
    bool is_good =
        ports_decode(at, "ports", &ports, err) && ports_decode(at, "notPorts", &not_ports, err);

    /* Also when it is not good: the peer's owner frees them. */
    peer->ports = ports.ranges.items;
    peer->n_ports = ports.ranges.n;
    peer->named_ports = ports.names.items;
    peer->n_named_ports = ports.names.n;
    peer->not_ports = not_ports.ranges.items;
    peer->n_not_ports = not_ports.ranges.n;
    peer->not_named_ports = not_ports.names.items;
    peer->n_not_named_ports = not_ports.names.n;
    return is_good;
}

/* ---- selectors ------------------------------------------------------------------------------ */

struct selectors {
    const char *own, *negated, *of_namespace; /* NULL and "": not given */
    struct json_at accounts;
};

static bool
is_given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static bool
account_names_add(struct clauses *clauses, const struct json_at *accounts, struct err *err)
{
    AUTO(str) struct str text = STR_INIT;
    struct json_at names;
    const char *name = NULL;

    if (!json_get_array(accounts, "names", JSON_OPTIONAL, &names, err)) {
        return false;
    }
    for (size_t i = 0; i < json_len(&names); i++) {
        struct json_at item = json_item(&names, i);
        if (!json_as_string(&item, &name, err)) {
            return false;
        }
        if (!meta_is_name(name)) {
            (void)err_set(err, "'%.64s' is not the name of a service account", name);
            return json_wrap(&item, NULL, err);
        }
        str_addf(&text, "%s'%s'", i > 0 ? ", " : LABEL_SERVICE_ACCOUNT " in {", name);
    }
    if (text.len == 0) {
        return true;
    }
    str_add_char(&text, '}');
    return clauses_add_selector(clauses, SCOPE_OWN, text.text, err) ||
           json_wrap(accounts, "names", err);
}

static bool
accounts_add(struct clauses *clauses, const struct json_at *accounts, struct err *err)
{
    static const char *const known[] = {"names", "selector", NULL};
    const char *selector = NULL;

    if (!draft_members_known(accounts, known, err) ||
        !json_get_string(accounts, "selector", JSON_OPTIONAL, &selector, err) ||
        !account_names_add(clauses, accounts, err)) {
        return false;
    }
    return selector == NULL ||
           clauses_add_selector(clauses, SCOPE_PEER_SERVICE_ACCOUNT, selector, err) ||
           json_wrap(accounts, "selector", err);
}

/* In a namespaced policy, whatever selects is about the policy's own namespace unless a
 * namespaceSelector says otherwise. */
static bool
positive_add(struct clauses *clauses, const struct json_at *at, const struct selectors *given,
             const char *ns, struct err *err)
{
    bool selects = is_given(given->own) || is_given(given->negated) || given->accounts.json != NULL;

    if (is_given(given->of_namespace)) {
        if (!clauses_add_selector(clauses, SCOPE_NAMESPACE, given->of_namespace, err)) {
            return json_wrap(at, "namespaceSelector", err);
        }
    } else if (ns != NULL && selects) {
        clauses_add_equal(clauses, LABEL_NAMESPACE, ns);
    }
    if (given->accounts.json != NULL && !accounts_add(clauses, &given->accounts, err)) {
        return false;
    }
    return !is_given(given->own) || clauses_add_selector(clauses, SCOPE_OWN, given->own, err) ||
           json_wrap(at, "selector", err);
}

static bool
selectors_decode(const struct json_at *at, const char *ns, struct rule_peer *peer, struct err *err)
{
    AUTO(clauses) struct clauses positive = {0};
    AUTO(clauses) struct clauses negative = {0};
    struct selectors given = {0};

    if (!json_get_string(at, "selector", JSON_OPTIONAL, &given.own, err) ||
        !json_get_string(at, "notSelector", JSON_OPTIONAL, &given.negated, err) ||
        !json_get_string(at, "namespaceSelector", JSON_OPTIONAL, &given.of_namespace, err) ||
        !json_get_object(at, "serviceAccounts", JSON_OPTIONAL, &given.accounts, err) ||
        !positive_add(&positive, at, &given, ns, err)) {
        return false;
    }
    if (is_given(given.negated)) {
        /* Alone it is true of addresses the cluster does not know; beside others it is not. */
        if (clauses_are_empty(&positive)) {
            return (clauses_add_selector(&negative, SCOPE_OWN, given.negated, err) &&
                    clauses_steal(&negative, &peer->not_selector, err)) ||
                   json_wrap(at, "notSelector", err);
        }
        if (!clauses_add_not(&positive, given.negated, err)) {
            return json_wrap(at, "notSelector", err);
        }
    }
    return clauses_are_empty(&positive) || clauses_steal(&positive, &peer->selector, err) ||
           json_wrap(at, "selector", err);
}

/* ---- services ------------------------------------------------------------------------------- */

static bool
name_decode(const struct json_at *at, const char *key, const char *fallback, char **ret_name,
            struct err *err)
{
    const char *name = NULL;

    if (!json_get_string(at, key, JSON_OPTIONAL, &name, err)) {
        return false;
    }
    name = is_given(name) ? name : fallback;
    if (name == NULL) {
        (void)err_set(err, "is missing");
        return json_wrap(at, key, err);
    }
    if (!meta_is_name(name)) {
        (void)err_set(err, "'%.64s' is not a name", name);
        return json_wrap(at, key, err);
    }
    *ret_name = xstrdup(name);
    return true;
}

static bool
services_decode(const struct json_at *at, const char *ns, bool is_destination,
                struct rule_peer *peer, struct err *err)
{
    static const char *const known[] = {"name", "namespace", NULL};
    static const char *const others[] = {"nets",        "notNets",           "selector",
                                         "notSelector", "namespaceSelector", "serviceAccounts"};
    struct json_at services;

    if (!json_get_object(at, "services", JSON_OPTIONAL, &services, err)) {
        return false;
    }
    if (services.json == NULL) {
        return true;
    }
    if (!draft_members_known(&services, known, err) ||
        !name_decode(&services, "name", NULL, &peer->service_name, err) ||
        !name_decode(&services, "namespace", ns, &peer->service_ns, err)) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        if (json_has(at, others[i])) {
            (void)err_set(err, "cannot be given together with %s", others[i]);
            return json_wrap(at, "services", err);
        }
    }
    if (is_destination && (json_has(at, "ports") || json_has(at, "notPorts"))) {
        (void)err_set(err, "has ports of its own, and cannot be given together with any");
        return json_wrap(at, "services", err);
    }
    return true;
}

bool
calico_peer_decode(const struct json_at *rule, const char *key, const char *ns,
                   struct rule_peer *peer, struct err *err)
{
    static const char *const known[] = {
        "nets",     "notNets", "selector", "notSelector", "namespaceSelector", "serviceAccounts",
        "services", "ports",   "notPorts", NULL};
    struct json_at at;

    if (!json_get_object(rule, key, JSON_OPTIONAL, &at, err)) {
        return false;
    }
    if (at.json == NULL) {
        return true;
    }
    if (!draft_members_known(&at, known, err) ||
        !nets_decode(&at, "nets", &peer->nets, &peer->n_nets, err) ||
        !nets_decode(&at, "notNets", &peer->not_nets, &peer->n_not_nets, err) ||
        !all_ports_decode(&at, peer, err) || !selectors_decode(&at, ns, peer, err)) {
        return false;
    }
    peer->has_nets = peer->n_nets > 0;
    return services_decode(&at, ns, strcmp(key, "destination") == 0, peer, err);
}
