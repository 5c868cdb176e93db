/* Labels of endpoints and network sets for both indexes. Decoders have left out of pods and network
 * sets what only the cluster may say (labels_is_reserved()). Used by set_pool.c (whole cluster),
 * active_policies.c and local_endpoints.c (this node). */
#include "felix/calc/item_labels.h"

#include <stdint.h>
#include <string.h>

#include "lib/model/host_endpoint.h"
#include "lib/model/namespace.h"
#include "lib/model/network_set.h"
#include "lib/model/pod.h"

#define LABEL_NAMESPACE "projectcalico.org/namespace"
#define LABEL_ORCHESTRATOR "projectcalico.org/orchestrator"
#define LABEL_ACCOUNT "projectcalico.org/serviceaccount"
#define OF_NAMESPACE "pcns."
#define OF_ACCOUNT "pcsa."
#define INHERITED_NAME "projectcalico.org/name"

void
item_labels_done(struct item_labels *labels)
{
    VEC_DONE(&labels->pairs);
    for (size_t i = 0; i < INDEX_PARENTS_MAX; i++) {
        str_done(&labels->names[i]);
    }
}

/* ---- what an item has -------------------------------------------------------------------------
 */

/* Keeps the order by key. */
static void
insert(struct item_labels *labels, const char *key, const char *value)
{
    /* Cast away const: these are only read. */
    const struct label label = {(char *)(uintptr_t)key, (char *)(uintptr_t)value};

    VEC_PUSH(&labels->pairs, label);
    size_t at = labels->pairs.n - 1;
    for (; at > 0 && strcmp(labels->pairs.items[at - 1].key, key) > 0; at--) {
        labels->pairs.items[at] = labels->pairs.items[at - 1];
    }
    labels->pairs.items[at] = label;
}

static void
copy_own(struct item_labels *labels, const struct labels *own)
{
    for (size_t i = 0; i < own->n; i++) {
        VEC_PUSH(&labels->pairs, own->items[i]);
    }
}

static void
name_namespace(struct str *name, const char *ns)
{
    str_clear(name);
    str_add(name, "n:");
    str_add(name, ns);
}

static void
name_account(struct str *name, const char *ns, const char *account)
{
    str_clear(name);
    str_add(name, "s:");
    str_add(name, ns);
    str_add_char(name, '/');
    str_add(name, account);
}

static void
inherit_namespace(struct item_labels *labels, const char *ns)
{
    name_namespace(&labels->names[0], ns);
    labels->parents[0] = str_text(&labels->names[0]);
    insert(labels, LABEL_NAMESPACE, ns);
}

static void
fill_pod(struct item_labels *labels, const struct pod *pod)
{
    copy_own(labels, &pod->labels);
    inherit_namespace(labels, pod->ns);
    insert(labels, LABEL_ORCHESTRATOR, "k8s");
    if (pod->service_account != NULL && pod->service_account[0] != '\0') {
        insert(labels, LABEL_ACCOUNT, pod->service_account);
        name_account(&labels->names[1], pod->ns, pod->service_account);
        labels->parents[1] = str_text(&labels->names[1]);
    }
}

void
item_labels_fill(struct item_labels *labels, enum kind kind, const void *object)
{
    labels->pairs.n = 0;
    memset(labels->parents, 0, sizeof labels->parents);
    if (kind == KIND_POD) {
        fill_pod(labels, object);
    } else if (kind == KIND_NETWORKSET) {
        const struct network_set *set = object;
        copy_own(labels, &set->labels);
        inherit_namespace(labels, set->ns);
    } else if (kind == KIND_GLOBALNETWORKSET) {
        copy_own(labels, &((const struct network_set *)object)->labels);
    } else if (kind == KIND_HOSTENDPOINT) {
        copy_own(labels, &((const struct host_endpoint *)object)->labels);
    }
    labels->labels = (struct labels){.items = labels->pairs.items, .n = labels->pairs.n};
}

static const struct labels *
own_labels(enum kind kind, const void *object)
{
    if (kind == KIND_POD) {
        return &((const struct pod *)object)->labels;
    }
    if (kind == KIND_HOSTENDPOINT) {
        return &((const struct host_endpoint *)object)->labels;
    }
    return &((const struct network_set *)object)->labels;
}

bool
item_labels_same(enum kind kind, const void *a, const void *b)
{
    if (kind == KIND_POD) {
        const char *one = ((const struct pod *)a)->service_account;
        const char *other = ((const struct pod *)b)->service_account;
        if (strcmp(one != NULL ? one : "", other != NULL ? other : "") != 0) {
            return false;
        }
    }
    return labels_equal(own_labels(kind, a), own_labels(kind, b));
}

/* ---- what parents hand down -------------------------------------------------------------------
 */

struct parent {
    struct str name;
    const struct labels *labels;
    const char *prefix; /* of each label's key */
    const char *object_name;
};

static void
put_parent(struct label_index *index, const struct parent *parent)
{
    struct label *pairs = xcalloc(parent->labels->n + 1, sizeof *pairs);
    AUTO(str) struct str keys = STR_INIT;
    size_t n = 0, at = 0;

    for (size_t i = 0; i < parent->labels->n; i++) {
        str_add(&keys, parent->prefix);
        str_add_bytes(&keys, parent->labels->items[i].key,
                      strlen(parent->labels->items[i].key) + 1);
    }
    str_add(&keys, parent->prefix);
    str_add(&keys, INHERITED_NAME);
    for (size_t i = 0; i < parent->labels->n; i++) {
        /* A label that is called like the name would be the name's. */
        if (strcmp(parent->labels->items[i].key, INHERITED_NAME) != 0) {
            pairs[n++] = (struct label){keys.text + at, parent->labels->items[i].value};
        }
        at += strlen(keys.text + at) + 1;
    }
    pairs[n++] = (struct label){keys.text + at, (char *)(uintptr_t)parent->object_name};
    struct labels labels = labels_from(pairs, n);
    label_index_put_parent(index, parent->name.text, &labels);
    labels_done(&labels);
    free(pairs);
}

void
item_labels_put_parent(struct label_index *index, const struct change *change)
{
    const void *known = change->now != NULL ? change->now : change->was;
    struct parent parent = {.name = STR_INIT};

    if (change->kind == KIND_NAMESPACE) {
        const struct namespace *ns = known;
        name_namespace(&parent.name, ns->name);
        parent.labels = &ns->labels;
        parent.prefix = OF_NAMESPACE;
        parent.object_name = ns->name;
    } else if (change->kind == KIND_SERVICEACCOUNT) {
        const struct service_account *account = known;
        name_account(&parent.name, account->ns, account->name);
        parent.labels = &account->labels;
        parent.prefix = OF_ACCOUNT;
        parent.object_name = account->name;
    } else {
        return;
    }
    if (change->now != NULL) {
        put_parent(index, &parent);
    } else {
        label_index_put_parent(index, parent.name.text, NULL);
    }
    str_done(&parent.name);
}
