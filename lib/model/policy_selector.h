/* The complete selector of a policy or of a rule's peer, put together from parts that must all
 * hold. Parts are what people wrote (Calico's selectors, Kubernetes' label selectors) and
 * restrictions of the kind. */
#pragma once

#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/json/json.h"

/* Longest selector of Calico's grammar that is taken from an object. */
#define POLICY_SELECTOR_MAX 65536

#define LABEL_NAMESPACE "projectcalico.org/namespace"
#define LABEL_ORCHESTRATOR "projectcalico.org/orchestrator"
#define LABEL_SERVICE_ACCOUNT "projectcalico.org/serviceaccount"

/* Whose labels a part is about. */
enum clause_scope {
    SCOPE_OWN,
    SCOPE_NAMESPACE,            /* all() is what has a namespace, global() what has none */
    SCOPE_SERVICE_ACCOUNT,      /* the same with service accounts */
    SCOPE_PEER_SERVICE_ACCOUNT, /* of a rule's serviceAccounts, where all() is everything */
};

struct clauses {
    struct str text; /* canonical parts with && between them; empty: everything */
};

void clauses_done(struct clauses *clauses); /* AUTO(clauses) struct clauses c = {0}; */
bool clauses_are_empty(const struct clauses *clauses);
/* 'value' is without quotes: a name that was checked. */
void clauses_add_equal(struct clauses *clauses, const char *key, const char *value);
void clauses_add_has(struct clauses *clauses, const char *key);
/* Pods of Kubernetes: no host endpoints, no network sets. */
void clauses_add_pods_only(struct clauses *clauses);
/* A selector of Calico's; "" adds nothing. */
MUST_CHECK bool clauses_add_selector(struct clauses *clauses, enum clause_scope scope,
                                     const char *text, struct err *err);
/* Its opposite. */
MUST_CHECK bool clauses_add_not(struct clauses *clauses, const char *text, struct err *err);
/* A LabelSelector of Kubernetes. An empty one in SCOPE_NAMESPACE is every namespace. The error has
 * the field's path. */
MUST_CHECK bool clauses_add_labels(struct clauses *clauses, enum clause_scope scope,
                                   const struct json_at *selector, struct err *err);
/* The canonical text, which is known to parse; "all()" when nothing was added. The caller frees. */
MUST_CHECK bool clauses_steal(struct clauses *clauses, char **ret_text, struct err *err);
