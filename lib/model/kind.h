/* The kinds Canal knows: one row each, with where the API serves it and how its JSON becomes a
 * typed object. A new kind is a pair of files, an enumerator and a row in kind.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

struct json_object;

enum kind {
    KIND_NODE,
    KIND_POD,
    KIND_IPPOOL,
    KIND_BGPCONFIGURATION,
    KIND_BGPPEER,
    KIND_NAMESPACE,
    KIND_SERVICEACCOUNT,
    KIND_TIER,
    KIND_NETWORKSET,
    KIND_GLOBALNETWORKSET,
    KIND_HOSTENDPOINT,
    KIND_ENDPOINTSLICE,
    /* Policies; all decode to struct policy. */
    KIND_NETWORKPOLICY, /* networking.k8s.io */
    KIND_CALICONETWORKPOLICY,
    KIND_GLOBALNETWORKPOLICY,
    KIND_STAGEDNETWORKPOLICY,
    KIND_STAGEDGLOBALNETWORKPOLICY,
    KIND_STAGEDKUBERNETESNETWORKPOLICY,
    KIND_CLUSTERNETWORKPOLICY,
    KIND_FELIXCONFIGURATION,
    N_KINDS,
};

/* Collects what is wrong inside an object that is used all the same (a bad pod CIDR of a node,
 * say). Texts name the field: "spec.podCIDRs[1]: '10.0.0.0/33' is not a prefix". */
struct kind_issues {
    void (*report)(void *owner, const char *text);
    void *owner;
};
void kind_issue(const struct kind_issues *issues, const struct err *err); /* NULL issues is fine */

/* What an object is called and which version it is. */
struct kind_head {
    const char *ns, *name; /* borrowed from the object; ns NULL: not namespaced */
    const char *version;   /* in the text, not terminated; NULL: none */
    size_t version_len;
};

struct kind_ops {
    const char *name;     /* "IPPool" */
    const char *resource; /* "ippools" */
    const char *group;    /* "" for core, "crd.projectcalico.org" */
    const char *version;  /* "v1" */
    bool is_namespaced;
    /* A version of which a part is left out does not replace one that was understood: what is
     * missing may be what denies. */
    bool is_kept_whole;
    /* The object, or NULL with err naming the field path and the reason. 'json' is borrowed. */
    void *(*decode)(struct json_object *json, const struct kind_issues *issues, struct err *err);
    /* The same straight from the object's text, without a tree. Only for plain objects: NULL is no
     * verdict, decode() then says what it is; what is not NULL is what decode() makes of it,
     * without an issue. NULL for kinds that have few objects. */
    void *(*scan)(const char *text, size_t len, struct kind_head *ret_head);
    void (*free)(void *object);
    bool (*equal)(const void *a, const void *b); /* as far as Canal uses the fields */
};

const struct kind_ops *kind_ops(enum kind kind);
bool kind_is_policy(enum kind kind);
