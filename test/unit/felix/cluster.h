/* A cluster for tests of felix/calc: objects by JSON or by hand into a store, whose changes go to a
 * policy_state. Functions here are static: each test is one program. */
#pragma once

#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "felix/calc/policy_state.h"
#include "felix/rules/set_names.h"
#include "lib/base/alloc.h"
#include "lib/base/own.h"
#include "lib/base/str.h"
#include "lib/base/vec.h"
#include "lib/model/policy.h"
#include "lib/model/store.h"
#include "test/unit/cmocka.h"

struct cluster {
    struct store *store;
    struct policy_state *state;
};

static void UNUSED
cluster_on_change(void *owner, const struct change *change)
{
    const struct cluster *cluster = owner;

    policy_state_note(cluster->state, change);
}

/* Key: "name" or "namespace/name". 'body' is what stands behind metadata's name and namespace, up
 * to the end: "}, \"spec\": {}" or "}". */
static void UNUSED
cluster_put(struct cluster *cluster, enum kind kind, const char *key, const char *body)
{
    const char *slash = strchr(key, '/');
    AUTO(str) struct str text = STR_INIT;
    struct err err = ERR_INIT;

    str_addf(&text, "{\"metadata\":{\"name\":\"%s\"", slash ? slash + 1 : key);
    if (slash != NULL) {
        str_addf(&text, ",\"namespace\":\"%.*s\"", (int)(slash - key), key);
    }
    str_add(&text, body);
    str_add_char(&text, '}');
    struct json_object *json = json_tokener_parse(text.text);
    if (json == NULL) {
        fail_msg("not JSON: %s", text.text);
    }
    void *object = kind_ops(kind)->decode(json, NULL, &err);
    if (object == NULL) {
        fail_msg("%s: %s", text.text, err.text);
    }
    json_object_put(json);
    store_put(cluster->store, kind, key, object);
}

static void UNUSED
cluster_delete(struct cluster *cluster, enum kind kind, const char *key)
{
    store_delete(cluster->store, kind, key);
}

/* "app=x,tier=y" as a JSON object's inside. */
static const char *UNUSED
json_labels(const char *labels, struct str *out)
{
    AUTO_FREE char *copy = xstrdup(labels);
    char *save = NULL;

    str_clear(out);
    str_add(out, "");
    for (char *item = strtok_r(copy, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
        char *equals = strchr(item, '=');
        *equals = '\0';
        str_addf(out, "%s\"%s\":\"%s\"", out->len > 0 ? "," : "", item, equals + 1);
    }
    return str_text(out);
}

static void UNUSED
put_namespace(struct cluster *cluster, const char *name, const char *labels)
{
    AUTO(str) struct str inside = STR_INIT;
    AUTO(str) struct str body = STR_INIT;

    str_addf(&body, ",\"labels\":{%s}}", json_labels(labels, &inside));
    cluster_put(cluster, KIND_NAMESPACE, name, body.text);
}

/* 'ip' NULL: none yet. */
static void UNUSED
put_pod(struct cluster *cluster, const char *key, const char *labels, const char *ip)
{
    AUTO(str) struct str inside = STR_INIT;
    AUTO(str) struct str body = STR_INIT;

    str_addf(&body,
             ",\"labels\":{%s}},\"spec\":{\"nodeName\":\"n1\",\"serviceAccountName\":\"sa\","
             "\"containers\":[{\"ports\":[{\"name\":\"http\",\"containerPort\":8080}]}]}",
             json_labels(labels, &inside));
    if (ip != NULL) {
        str_addf(&body, ",\"status\":{\"podIPs\":[{\"ip\":\"%s\"}]}", ip);
    }
    cluster_put(cluster, KIND_POD, key, body.text);
}

static void UNUSED
put_local(struct cluster *cluster, const char *ifname, const char *pod, const char *ip)
{
    AUTO_FREE char *ns = pod != NULL ? xstrdup(pod) : NULL;
    char *slash = ns != NULL ? strchr(ns, '/') : NULL;
    struct prefix prefix;

    if (slash != NULL) {
        *slash = '\0';
    }
    assert_true(prefix_parse_host(ip, &prefix, NULL));
    policy_state_put_local(cluster->state, ifname, ns, slash != NULL ? slash + 1 : NULL, &prefix,
                           1);
}

/* ---- policies by hand -------------------------------------------------------------------------
 */

static struct policy *UNUSED
policy_make(const char *ns, const char *name, const char *selector)
{
    struct policy *policy = NEW(struct policy);

    policy->origin = ns != NULL ? POLICY_NAMESPACED : POLICY_GLOBAL;
    policy->ns = ns != NULL ? xstrdup(ns) : NULL;
    policy->name = xstrdup(name);
    policy->tier = xstrdup("default");
    policy->order = HUGE_VAL;
    policy->selector = xstrdup(selector);
    policy->applies_ingress = true;
    return policy;
}

static struct policy_rule *UNUSED
policy_add_rule(struct policy *policy, bool is_ingress, enum rule_action action)
{
    struct policy_rule **rules = is_ingress ? &policy->ingress : &policy->egress;
    size_t *n = is_ingress ? &policy->n_ingress : &policy->n_egress;

    *rules = xreallocarray(*rules, *n + 1, sizeof **rules);
    struct policy_rule *rule = &(*rules)[(*n)++];
    *rule = (struct policy_rule){.action = action,
                                 .protocol = RULE_ANY,
                                 .not_protocol = RULE_ANY,
                                 .icmp_type = RULE_ANY,
                                 .icmp_code = RULE_ANY,
                                 .not_icmp_type = RULE_ANY,
                                 .not_icmp_code = RULE_ANY};
    return rule;
}

/* The kind that goes with it. */
static void UNUSED
put_policy(struct cluster *cluster, struct policy *policy)
{
    enum kind kind = policy->ns != NULL ? KIND_CALICONETWORKPOLICY : KIND_GLOBALNETWORKPOLICY;
    AUTO(str) struct str key = STR_INIT;

    if (policy->is_staged) {
        kind = policy->ns != NULL ? KIND_STAGEDNETWORKPOLICY : KIND_STAGEDGLOBALNETWORKPOLICY;
    }
    if (policy->ns != NULL) {
        str_addf(&key, "%s/", policy->ns);
    }
    str_add(&key, policy->name);
    store_put(cluster->store, kind, key.text, policy);
}

/* A policy that allows from what 'from' selects; 'from' NULL: without rules. */
static void UNUSED
put_simple_policy(struct cluster *cluster, const char *name, const char *selector, const char *from)
{
    struct policy *policy = policy_make(NULL, name, selector);

    if (from != NULL) {
        policy_add_rule(policy, true, RULE_ALLOW)->source.selector = xstrdup(from);
    }
    put_policy(cluster, policy);
}
